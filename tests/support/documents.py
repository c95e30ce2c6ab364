"""What documents hold: their commands, and their listings that have a file's name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Their commands are parsed. The reference is left out: its commands are headings.
DOCUMENTS = [
    str(each.relative_to(ROOT))
    for each in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    if each.name != "reference.md"
] + ["lrsearch/cli/skill.md"]  # fmt: skip


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def written(document: str) -> list[str]:
    """Every `lrsearch ...` command of a document, from its blocks and its sentences, as arguments."""
    text = text_of(document)
    blocks = "".join(
        each
        for _, each in re.findall(
            r"^```([^\n`]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
        )
    )
    found = (
        re.findall(r"^lrsearch (.*)$", blocks, re.MULTILINE)
        + re.findall(r"(?:&& |wrap ')lrsearch ([a-z][^`'\n]*)", text)
        + re.findall(r"`lrsearch ([a-z][^`]*)`", text)
    )
    # a sentence may break a command; what a shell does with the output is its own
    asked = (" ".join(each.split()).partition(" > ")[0] for each in found)
    return [each for each in dict.fromkeys(asked) if not each.startswith("--")]


def listings(document: str) -> dict[str, str]:
    """The listings with a title, by the title: a file's name."""
    found = re.findall(
        r'^```python title="(\S+)"\n(.*?)^```$',
        text_of(document),
        re.DOTALL | re.MULTILINE,
    )
    return dict(found)


def build_site(folder: Path) -> None:
    """Build the documentation site as its one command does; what is not strict fails."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
