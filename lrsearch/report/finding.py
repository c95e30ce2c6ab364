"""Finds a trial by the name that people give it: `7`, or `7/2` for its second retest."""

from __future__ import annotations

from lrsearch.errors import UnknownName
from lrsearch.values import TrialRecord, Trials


def find_trial(study: str, records: Trials, name: str) -> TrialRecord:
    """Find the trial or retest of that name. Raises UnknownName with the numbers of the study."""
    found = {each.short_label: each for each in records}
    if name not in found:
        last = max((each.number for each in records if each.is_search), default=None)
        known = f"0 to {last}, and retests like 0/1" if last is not None else "none yet"
        raise UnknownName("trial", got=name, known=(), fix=f"{study} has {known}.")
    return found[name]
