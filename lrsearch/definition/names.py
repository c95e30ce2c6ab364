"""Study names: one rule for every database, shell and folder."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from lrsearch.errors import InvalidValue

LONGEST = 255  # MySQL's index over utf8mb4 takes no more
_FORBIDDEN = frozenset('/\\:*?"<>|')  # a name is a folder's name too


def check_study_name(name: str) -> str:
    """`name`, if every database, shell and file system takes it; raises InvalidValue."""
    allowed = (
        f"1 to {LONGEST} printable characters without {' '.join(sorted(_FORBIDDEN))}, not "
        "beginning with a dot or dash"
    )
    bad = (
        not name
        or len(name) > LONGEST
        or name != name.strip()
        or name[0] in ".-"
        or any(
            each in _FORBIDDEN or unicodedata.category(each)[0] == "C" for each in name
        )
    )
    if bad:
        raise InvalidValue(
            "study name",
            got=name if len(name) <= LONGEST else name[:20] + "...",
            allowed=allowed,
        )
    return name


def study_name(path: str | Path, given: str | None = None) -> str:
    """The name of a file's study: as `given`, else the file's stem."""
    return check_study_name(Path(path).stem if given is None else given)
