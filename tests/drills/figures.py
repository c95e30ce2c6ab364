"""Adds up what drills noted in the file that LRSEARCH_DRILL_FIGURES named.

python tests/drills/figures.py FILE
"""

import json
import sys
from collections import Counter
from pathlib import Path


def main():
    rows = [
        json.loads(line)
        for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    ]
    faults = Counter()
    for row in rows:
        faults.update(row["faults"])
    trials, attempts, lost = (
        sum(row[name] for row in rows) for name in ("trials", "attempts", "lost")
    )
    print(
        f"{len(rows)} drills, {trials} trials in {attempts} attempts, {lost} of them lost with their worker and trained again"
    )
    print(
        "faults: "
        + ", ".join(f"{number} x {name}" for name, number in sorted(faults.items()))
    )


if __name__ == "__main__":
    main()
