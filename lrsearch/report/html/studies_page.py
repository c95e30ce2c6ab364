"""The page of all studies: state, progress, verdict and cost of each; the way to its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.answer import Answer, seconds_left
from lrsearch.answer.words import count_text
from lrsearch.report.html.headline import (
    headline,
    is_sure,
    progress_bar,
    stand_of,
    stand_text,
    sureness,
)
from lrsearch.report.html.markup import Content, Markup, tag
from lrsearch.report.words import duration_text
from lrsearch.values import StudyRecord, StudyState, Trials, WorkerRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyLine:
    """A study as the page shows it."""

    study: StudyRecord
    records: Trials
    answer: Answer
    workers: Sequence[WorkerRecord]
    now: float  # by the database's clock

    @property
    def alive(self) -> list[WorkerRecord]:
        """The workers that are at work."""
        return [each for each in self.workers if each.is_there(self.now)]


def studies_body(lines: Sequence[StudyLine], *, root: str) -> Markup:
    """The page within its frame; `root` is where links begin, without a slash at its end."""
    ordered = sorted(lines, key=lambda each: (not each.alive, -each.study.id))
    items = [_item(each, root) for each in ordered]
    empty = tag(
        "p", "No studies yet. Start one: ", tag("code", "lrsearch start-study FILE")
    )
    return tag(
        "main",
        tag("p", "lrsearch", class_="kind"),
        tag("h1", count_text(len(lines), "study").replace("studys", "studies")),
        tag("ul", items, class_="studies") if items else empty,
        class_="list",
    )


def _item(line: StudyLine, root: str) -> Markup:
    study = line.study
    stand = stand_of(study, line.records)
    name = tag("a", study.name, href=f"{root}/studies/{study.id}")
    unsure = "" if is_sure(line.answer) else " open"
    return tag(
        "li",
        tag(
            "h2",
            name,
            " ",
            tag("span", _state(line), class_=f"state {study.state.value}"),
        ),
        tag("p", headline(line.answer), class_=f"verdict{unsure}"),
        tag("p", sureness(line.answer), class_="soft") if line.answer.best else None,
        None if stand.ended else progress_bar(stand),
        tag(
            "p",
            stand_text(stand),
            ". ",
            _cost(line),
            ". ",
            _details(study, root),
            class_="soft",
        ),
    )


def _details(study: StudyRecord, root: str) -> Markup:
    """Optuna's own page of the study: a whole page, so that its program starts."""
    return tag(
        "a", "every detail in optuna-dashboard",
        href=f"{root}/dashboard/studies/{study.optuna_study_id}",
    )  # fmt: skip


def _state(line: StudyLine) -> str:
    state = line.study.state
    if state is StudyState.OPEN:
        alive = len(line.alive)
        return (
            f"training on {count_text(alive, 'worker')}"
            if alive
            else "waits for workers"
        )
    return state.value


def _cost(line: StudyLine) -> Content:
    spent, left = line.answer.spent, None
    if line.alive and line.study.state is StudyState.OPEN:
        left = seconds_left(line.study, line.records, line.alive, now=line.now)
    parts = (
        [f"Cost: {duration_text(spent.device_seconds)} of device time"] if spent else []
    )
    parts += [f"about {duration_text(left)} to go"] if left else []
    return ", ".join(parts) or "Cost: nothing yet"
