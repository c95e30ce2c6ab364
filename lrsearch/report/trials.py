"""The trials of a study: as data for programs, and as a table for people."""

from __future__ import annotations

from lrsearch.answer.words import rate_text
from lrsearch.jsonable import to_json
from lrsearch.report.flat_rows import csv_text, flatten
from lrsearch.report.layout import Column, table
from lrsearch.report.words import (
    further_text,
    schedule_text,
    trial_setting_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import Json, StudyFacts, TrialRecord, Trials


def trial_row(record: TrialRecord, fold: int | None = None) -> dict[str, Json]:
    """A trial as one dict; `fold`: that it trained on, None without folds."""

    def pick(*names: str) -> dict[str, Json]:
        return {name: getattr(record, name) for name in names}

    return {
        "trial": record.number,
        "kind": record.kind.value,
        "origin": record.origin.value,
        "state": record.state.value,
        **pick("parent", "repeat"),
        "fold": fold,
        **pick("value", "best_value", "best_epoch"),
        "setting": record.setting.to_json() if record.setting else None,
        **pick("seed", "epochs", "steps", "seconds"),
        "attempts": record.attempt,
        **pick("lost", "engine", "reason"),
        "rates": to_json(record.rates),
    }


def trial_rows(records: Trials, facts: StudyFacts) -> list[dict[str, Json]]:
    """A row for each trial and retest of the study that has these facts."""
    return [trial_row(each, facts.fold_of(each.repeat)) for each in records]


def trials_csv(records: Trials, facts: StudyFacts) -> str:
    """The trials and retests as CSV: a column for each field, knob and logged number."""
    pairs = zip(trial_rows(records, facts), records, strict=True)
    rows = ({**row, "logs": dict(each.logs)} for row, each in pairs)
    return csv_text(flatten(row, whole=("setting",)) for row in rows)


def trials_table(
    records: Trials, *, facts: StudyFacts | None = None, width: int | None = None
) -> str:
    """A line for each trial; retests after the search. Facts with folds add a column of them."""
    if not records:
        return "no trials yet."
    digits = value_digits((each.value for each in records), least=4)
    values = [value_text(each.value, digits) for each in records]
    seconds = [f"{each.seconds:.1f}" if each.ended else "" for each in records]
    reasons = [
        each.reason.splitlines()[0][:90] if each.reason else "" for each in records
    ]
    folds = (
        [facts.fold_of(each.repeat) for each in records]
        if facts and facts.folds
        else []
    )
    columns = [
        Column("trial", [each.short_label for each in records], right=True),
        *([Column("fold", [*map(str, folds)], right=True)] if folds else []),
        Column("value", values, right=True),
        Column("state", [each.state.value for each in records]),
        *_setting_columns(records, wide=width is None),
        Column("seconds", seconds, right=True, rank=6),
        Column("why", reasons, rank=4, least=16),
    ]
    return "\n".join(table(columns, width))


def _setting_columns(records: Trials, *, wide: bool) -> list[Column]:
    """The setting: one text where there is room for all, else its parts by their weight."""
    varying = varying_of(records)
    marks = ["yours: " if each.is_yours else "" for each in records]
    settings = [each.setting for each in records]
    if wide:
        cells = [trial_setting_text(each, varying) for each in records]
        return [Column("setting", [*map("".join, zip(marks, cells, strict=True))])]
    names = [each.optimizer if each else "-" for each in settings]
    schedules = [schedule_text(each) if each else "-" for each in settings]
    further = [further_text(each, varying) if each else "" for each in settings]
    return [
        Column(
            "optimizer",
            [*map("".join, zip(marks, names, strict=True))],
            rank=1,
            least=9,
        ),
        Column(
            "rate",
            [rate_text(each.learning_rate) if each else "-" for each in settings],
            rank=2,
        ),
        Column("schedule", schedules, rank=3, least=8),
        Column("also", further, rank=5, least=12),
    ]
