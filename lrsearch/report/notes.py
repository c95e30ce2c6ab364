"""The answer and the trials as notes for optuna-dashboard, in Markdown.

Notes are written when somebody opens the dashboard: workers have better things to do. Optuna's rows are made by the ledger's
mirror; a trial's note goes to the row of its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrsearch.answer import Answer
from lrsearch.report.answer_page import answer_text
from lrsearch.report.words import counted, duration_text, rate_text, schedule_text, value_text
from lrsearch.values import Kind, TrialRecord

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_LONGEST_TRACEBACK = 3000
_MOST = 1000  # notes a study
_MARK = "*Written by lrsearch; a note that you edit stays as you leave it.*"


def study_note(answer: Answer) -> str:
    """The page of `lrsearch best`, as the study's note."""
    return f"```\n{answer_text(answer).rstrip()}\n```\n\nThe same in a terminal: `lrsearch best {answer.study}`\n\n{_MARK}"


def trial_note(record: TrialRecord, objective: str) -> str:
    """What a trial did, in a few lines."""
    setting = record.setting
    lines = [f"**{record.state.value}**" + (f": {record.reason}" if record.reason else "")]
    if setting is not None:
        rate = rate_text(setting.learning_rate)
        lines.append(f"{setting.optimizer}, peak learning rate **{rate}**, {schedule_text(setting)} ({record.origin.value})")
    value = f"{objective} {value_text(record.value)}"
    if record.best_epoch is not None:
        value += f"; best {value_text(record.best_value)} at epoch {record.best_epoch}"
    lines.append(
        f"{value}; {counted(record.epochs, 'epoch')}, {counted(record.steps, 'update')} in {duration_text(record.seconds)}"
    )
    lines += record.notes
    if record.traceback_text:
        lines.append(f"```\n{record.traceback_text[-_LONGEST_TRACEBACK:].rstrip()}\n```")
    return "\n\n".join([*lines, _MARK])


def write_notes(storage: BaseStorage, study: str, answer: Answer, records: Sequence[TrialRecord]) -> int:
    """Bring the notes of a study and its finished trials up to date; returns how many were written."""
    # Private names, read in optuna-dashboard 0.21.0: the public functions take no trial of a finished study.
    from optuna_dashboard._note import get_note_from_system_attrs, note_ver_key, save_note_with_version

    study_id = storage.get_study_id_from_name(study)
    numbers = {each.number: each._trial_id for each in storage.get_all_trials(study_id, deepcopy=False)}  # noqa: SLF001
    wanted: dict[int | None, str] = {None: study_note(answer)}
    wanted |= {numbers[each.number]: trial_note(each, answer.objective) for each in _noted(records) if each.number in numbers}
    attrs = storage.get_study_system_attrs(study_id)
    written = 0
    for trial_id, text in wanted.items():
        there = get_note_from_system_attrs(attrs, trial_id)["body"]
        if there != text and (not there or there.endswith(_MARK)):
            save_note_with_version(storage, study_id, trial_id, attrs.get(note_ver_key(trial_id), 0) + 1, text)
            written += 1
    return written


def _noted(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Finished trials; of very many the newest: every note is a row that each page loads."""
    return [each for each in records if each.kind is Kind.SEARCH and each.state.terminal][-_MOST:]
