"""The trials of a study: as data for programs, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.report.layout import Column, table
from lrsearch.report.words import (
    further_text,
    rate_text,
    schedule_text,
    trial_setting_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import Json, TrialRecord


def trial_row(record: TrialRecord) -> dict[str, Json]:
    """One dict a trial."""
    return {
        "trial": record.number,
        "kind": record.kind.value,
        "origin": record.origin.value,
        "state": record.state.value,
        "parent": record.parent,
        "repeat": record.repeat,
        "value": record.value,
        "best_value": record.best_value,
        "best_epoch": record.best_epoch,
        "setting": record.setting.to_json() if record.setting else None,
        "seed": record.seed,
        "epochs": record.epochs,
        "steps": record.steps,
        "seconds": record.seconds,
        "attempts": record.attempt,
        "lost": record.lost,
        "engine": record.engine,
        "reason": record.reason,
    }


def trials_table(records: Sequence[TrialRecord], *, width: int | None = None) -> str:
    """A line a trial; retests after the search."""
    if not records:
        return "no trials yet."
    digits = max(4, value_digits(each.value for each in records))
    columns = [
        Column(head="trial", cells=[each.short_label for each in records], right=True),
        Column(
            head="value", cells=[value_text(each.value, digits) for each in records], right=True
        ),
        Column(head="state", cells=[each.state.value for each in records]),
        *_setting_columns(records, wide=width is None),
        Column(
            head="seconds",
            cells=[f"{each.seconds:.1f}" if each.ended else "" for each in records],
            right=True,
            rank=6,
        ),
        Column(
            head="why",
            cells=[each.reason.splitlines()[0][:90] if each.reason else "" for each in records],
            rank=4,
            least=16,
        ),
    ]
    return "\n".join(table(columns, width))


def _setting_columns(records: Sequence[TrialRecord], *, wide: bool) -> list[Column]:
    """The setting: one text where there is room for all, else its parts by their weight."""
    varying = varying_of(
        each.setting for each in records if each.setting is not None and not each.is_yours
    )
    mark = ["yours: " if each.is_yours else "" for each in records]
    if wide:
        cells = [
            name + trial_setting_text(each, varying)
            for name, each in zip(mark, records, strict=True)
        ]
        return [Column(head="setting", cells=cells)]
    settings = [each.setting for each in records]
    return [
        Column(
            head="optimizer",
            cells=[
                name + (each.optimizer if each else "-")
                for name, each in zip(mark, settings, strict=True)
            ],
            rank=1,
            least=9,
        ),
        Column(
            head="rate",
            cells=[rate_text(each.learning_rate) if each else "-" for each in settings],
            rank=2,
        ),
        Column(
            head="schedule",
            cells=[schedule_text(each) if each else "-" for each in settings],
            rank=3,
            least=8,
        ),
        Column(
            head="also",
            cells=[further_text(each, varying) if each else "" for each in settings],
            rank=5,
            least=12,
        ),
    ]
