"""Writes the table of what engines hand on into docs/guide.md, between its two markers.

python docs/make_engines.py        # tests/unit/engine/test_ways.py holds the guide equal to the table
"""

from __future__ import annotations

import re
from pathlib import Path

from lrsearch.engine.limits import LIMITS, AttemptFacts, ModelFacts
from lrsearch.values import TrialSpec

GUIDE = Path(__file__).with_name("guide.md")
BEGIN = "<!-- engines: written by docs/make_engines.py -->"
END = "<!-- end of engines -->"

# The engine that gets what an engine cannot carry.
NEXT = {"vectorized": "graph", "graph": "fit"}
# When a row is asked, by the facts that its test reads.
ASKED = {
    TrialSpec: "once per attempt",
    ModelFacts: "once per model",
    AttemptFacts: "once per attempt",
    None: "while it is built, traced or trained",
}


def table() -> str:
    """Every row of the table of ways, engine by engine."""
    lines: list[str] = []
    for engine, following in NEXT.items():
        lines += [
            "",
            f"| `{engine}` hands a trial to `{following}`, since | seen |",
            "| --- | --- |",
        ]
        for limit in LIMITS:
            if engine in limit.engines:
                why = re.sub(r"\{(\w+)\}", r"*\1*", limit.reason)
                lines.append(f"| {why} | {ASKED[limit.facts]} |")
    return "\n".join([*lines, ""])


def guide(text: str) -> str:
    """The guide's text with the table of today between the markers."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    GUIDE.write_text(guide(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
