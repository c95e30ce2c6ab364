"""Finds a trial by the name that people give it: `7`, or `7/2` for its second retest."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.errors import UnknownName
from lrsearch.values import TrialRecord


def find_trial(study: str, records: Sequence[TrialRecord], name: str) -> TrialRecord:
    """The trial or retest of that name. Raises UnknownName, with what the study has."""
    found = {str(each.number): each for each in records if each.is_search}
    last = max(found, key=int) if found else None
    found |= {f"{each.parent}/{(each.repeat or 0) + 1}": each for each in records if each.is_retest}
    if name not in found:
        known = f"0 to {last}, and retests like 0/1" if last is not None else "none yet"
        raise UnknownName("trial", got=name, known=(), fix=f"{study} has {known}.")
    return found[name]
