"""The answer and the trials as notes for optuna-dashboard, in Markdown.

Notes are written when somebody opens the dashboard, so that workers need no time for
them. A trial's note goes to Optuna's row of its number, which the ledger's mirror
makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.answer import Answer
from lrsearch.answer.words import count_text, rate_text
from lrsearch.report.answer_page import answer_text
from lrsearch.report.words import duration_text, schedule_text, value_text
from lrsearch.values import Json, StudyRecord, TrialRecord, Trials

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

_LONGEST_TRACEBACK = 3000
_MOST = 1000  # notes a study
_MARK = "*Written by lrsearch; a note that you edit stays as you leave it.*"


def study_note(answer: Answer) -> str:
    """The page of `lrsearch best`, as the study's note."""
    parts = [
        fence(answer_text(answer)),
        f"The same in a terminal: {quote_inline(f'lrsearch best {quote(answer.study)}')}",
        _MARK,
    ]
    if answer.best is not None and answer.ranked[0].number != answer.best.trial:
        parts.insert(
            1,
            "Where this page itself says best trial, it means the best single training: "
            f"{answer.ranked[0].number}.",
        )
    return "\n\n".join(parts)


def trial_note(record: TrialRecord, objective: str) -> str:
    """What a trial did, in a few lines.

    Texts and names of the study's own code are fenced, since they are no Markdown.
    """
    setting = record.setting
    lines = [f"**{record.state.value}**"]
    if setting is not None:
        text = (
            f"{setting.optimizer}, peak learning rate {rate_text(setting.learning_rate)}, "
            f"{schedule_text(setting)}"
        )
        lines.append(f"{quote_inline(text)} ({record.origin.value})")
    value = f"{quote_inline(objective)} {value_text(record.value)}"
    if record.best_epoch is not None:
        value += f"; best {value_text(record.best_value)} at epoch {record.best_epoch}"
    ran = (
        f"{count_text(record.epochs, 'epoch')}, {count_text(record.steps, 'update')} in "
        f"{duration_text(record.seconds)}"
    )
    lines.append(f"{value}; {ran}")
    texts = (record.reason, *record.notes, record.traceback_text[-_LONGEST_TRACEBACK:])
    lines += [fence(text) for text in texts if text.strip()]
    return "\n\n".join([*lines, _MARK])


def fence(text: str) -> str:
    """`text` as a block of code that nothing in the text can close.

    Its fence is longer than any row of backticks within.
    """
    fence = "`" * max(3, _longest_ticks(text) + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def quote_inline(text: str) -> str:
    """`text` as code within a line, which nothing in the text can close."""
    ticks = "`" * (_longest_ticks(text) + 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{room}{' '.join(text.split())}{room}{ticks}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def write_notes(
    ledger: Ledger, study: StudyRecord, answer: Answer, records: Trials
) -> int:
    """Bring the notes of a study and its finished trials up to date, in one transaction.

    Returns how many were written. A note that somebody edited stays. Raises
    StorageUnavailable.
    """
    written, page = 0, study_note(answer)
    texts = {
        each.number: trial_note(each, answer.objective) for each in _with_notes(records)
    }

    def renew(attrs: Mapping[str, Json], numbers: Mapping[int, int]) -> dict[str, Json]:
        nonlocal written
        wanted: dict[int | None, str] = {None: page}
        wanted |= {
            numbers[number]: text for number, text in texts.items() if number in numbers
        }
        renewed = {
            trial_id: text
            for trial_id, text in wanted.items()
            if _ours_to_write(attrs, trial_id, text)
        }
        written = len(renewed)
        return {
            key: value
            for trial_id, text in renewed.items()
            for key, value in _rows(attrs, trial_id, text).items()
        }

    ledger.change_optuna_attrs(study.optuna_study_id, renew)
    return written


# Private names, read in optuna-dashboard 0.21.0: its public functions take no trial of
# a finished study, and three transactions a note, which is a minute and a half for a
# thousand.


def _ours_to_write(attrs: Mapping[str, Json], trial_id: int | None, text: str) -> bool:
    from optuna_dashboard._note import note_str_key_prefix, note_ver_key

    if note_ver_key(trial_id) not in attrs:
        return True
    prefix, there, place = note_str_key_prefix(trial_id), "", 0
    while part := attrs.get(f"{prefix}{place}"):
        there, place = there + part, place + 1
    return there != text and (not there or there.endswith(_MARK))


def _rows(
    attrs: Mapping[str, Json], trial_id: int | None, text: str
) -> dict[str, Json]:
    """The rows of a note; further rows of a longer note before it are emptied."""
    from optuna_dashboard._note import note_str_key_prefix, note_ver_key, split_body

    parts, prefix = split_body(text, trial_id), note_str_key_prefix(trial_id)
    left, place = {}, len(parts)
    while f"{prefix}{place}" in attrs:
        left[f"{prefix}{place}"], place = "", place + 1
    return {
        note_ver_key(trial_id): int(attrs.get(note_ver_key(trial_id), 0)) + 1,
        **parts,
        **left,
    }


def _with_notes(records: Trials) -> list[TrialRecord]:
    """Finished trials, at most the newest _MOST: every page loads the rows of all notes."""
    return [each for each in records if each.is_search and each.ended][-_MOST:]
