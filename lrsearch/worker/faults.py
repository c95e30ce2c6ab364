"""Tells a study whose own code fails from one with a bad trial. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lrsearch.values import Kind, TrialRecord, TrialState

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
ALIKE = 3  # identical failures at the very start; one or two may be a setting's own


def breaking_failure(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The first failed trial when at least three have ended, all of them by the same exception; else None.

    One trial of another end proves that the study can be trained, so nothing later breaks it.
    """
    ended = sorted((each for each in records if each.kind is Kind.SEARCH and each.state.terminal), key=lambda each: each.number)
    if len(ended) < ALIKE or any(each.state is not TrialState.FAILED for each in ended):
        return None
    alike = {_ADDRESS.sub("", each.reason) for each in ended}
    return ended[0] if len(alike) == 1 else None
