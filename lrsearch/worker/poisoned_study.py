"""Distinguishes a study whose own code fails from a study with a bad trial."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lrsearch.values import Kind, TrialRecord, TrialState

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_PLACE = re.compile(r'^  File "(?P<file>[^"\n]*)", line (?P<line>\d+)', re.MULTILINE)
ALIKE = 3  # failures at the very start; one or two may be a setting's own


def breaking_failure(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The first failed trial, where at least three have ended, all by the same fault; else None.

    One trial with another end proves that the study can be trained, so nothing later
    breaks it.
    """
    ended = sorted(
        (each for each in records if each.kind is Kind.SEARCH and each.state.terminal),
        key=lambda each: each.number,
    )
    if len(ended) < ALIKE or any(each.state is not TrialState.FAILED for each in ended):
        return None
    return ended[0] if len({fault_of(each) for each in ended}) == 1 else None


def fault_of(record: TrialRecord) -> tuple[str, str, str]:
    """The class, file and line of a failure, whatever numbers its text has.

    A failure without a traceback (its workers were lost) has its text without
    addresses.
    """
    places = _PLACE.findall(record.traceback_text)
    if not places:
        return _ADDRESS.sub("", record.reason), "", ""
    file, line = places[-1]
    return record.reason.partition(":")[0], file, line
