"""The second run of some trainings beside their first, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.answer.verification import Repetition
from lrsearch.answer.words import count_text
from lrsearch.report.layout import Column, table
from lrsearch.report.words import value_text


def verification_text(
    study: str,
    repetitions: Sequence[Repetition],
    other_versions: Sequence[str],
    *,
    width: int | None,
) -> str:
    """A line for each training, then what they say together."""
    columns = [
        Column("trial", [each.label for each in repetitions], right=True),
        Column("value", [_outcome(each.value, each.state) for each in repetitions], right=True),
        Column(
            "again", [_outcome(each.value_again, each.state_again) for each in repetitions],
            right=True,
        ),
        Column("difference", [_difference(each) for each in repetitions], right=True, rank=1),
        Column("verdict", [each.verdict for each in repetitions]),
    ]  # fmt: skip
    lines = [*table(columns, width), "", _summary(study, repetitions)]
    if other_versions:
        lines.append(f"Other versions: {'; '.join(other_versions)}.")
    return "\n".join(lines)


def _outcome(value: float | None, state: str) -> str:
    return state if value is None else value_text(value, 6)


def _difference(each: Repetition) -> str:
    return "" if each.difference is None else f"{each.difference:+.1e}"


def _summary(study: str, repetitions: Sequence[Repetition]) -> str:
    trained = count_text(len(repetitions), "training")
    bad = [each.label for each in repetitions if each.verdict == "differs"]
    if bad:
        which = f"trial{'s' * (len(bad) > 1)} {', '.join(bad)}"
        return (
            f"{study}: {which} of {trained} gave another result than the archive says, by more "
            "than seeds differ."
        )
    same = sum(each.verdict == "same" for each in repetitions)
    close = len(repetitions) - same
    parts = [
        f"{same} the same" if same else "",
        f"{close} within the seeds' noise" * bool(close),
    ]
    return f"{study}: {trained} made again, {' and '.join(filter(None, parts))}."
