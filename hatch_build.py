"""Makes the long description for package indexes of README.md.

The README's links and pictures are relative: they work in a checkout. An index has no
files beside the page, so it would show dead links and a broken picture. While the
project has no public address, links become their words and pictures go; once it has
one, set ADDRESS, and both become absolute.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

ADDRESS = ""  # of the files, such as https://example.org/lrsearch/blob/main
RELATIVE = re.compile(r"(!?)\[([^]]*)\]\((?![a-z]+:|#)([^)]+)\)")


def long_description(readme: str, address: str = ADDRESS) -> str:
    """The README with absolute links, or with none that are relative."""

    def put(match: re.Match[str]) -> str:
        picture, words, path = match.groups()
        if address:
            return f"{picture}[{words}]({address}/{path})"
        return "" if picture else words

    return RELATIVE.sub(put, readme)


class LongDescription(MetadataHookInterface):
    """The hook that hatchling calls."""

    def update(self, metadata: dict) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": long_description(text),
        }
