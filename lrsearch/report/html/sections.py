"""The sections of the report, in the order in which they are read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from lrsearch.answer import Answer
from lrsearch.errors import LrSearchError
from lrsearch.report.answer_page import band_text
from lrsearch.report.bill import early_stops_text, spent_text
from lrsearch.report.exporting import export_text
from lrsearch.report.html.headline import head
from lrsearch.report.html.lines_figures import (
    curves_figure,
    progress_figure,
    schedules_figure,
)
from lrsearch.report.html.markup import Content, Markup, tag
from lrsearch.report.html.rates_figure import optimizer_places, rates_figure
from lrsearch.report.html.retests_table import retests_table
from lrsearch.report.html.tables import (
    list_stopped,
    optimizers_table,
    shapes_table,
    table,
    trials_table,
)
from lrsearch.report.words import duration_text
from lrsearch.values import CurvePoint, StudyRecord, Trials, TrialState, WorkerRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportData:
    """All that a report is made of."""

    study: StudyRecord
    records: Trials
    answer: Answer
    # by trial id: at least of `shown_curves`
    curves: Mapping[int, Sequence[CurvePoint]]
    workers: Sequence[WorkerRecord] = field(default=())

    @property
    def places(self) -> dict[str, int]:
        return optimizer_places(self.records, self.answer)


def sections(data: ReportData) -> list[Content]:
    """Everything within the page's frame."""
    study, records, answer = data.study, data.records, data.answer
    of_study = (study, records, answer)
    lines = (study, records, data.curves, answer)
    return [
        tag("header", head(*of_study), class_="top"),
        _section("rates", "Which rate", _band(answer), _rates(data)),
        _section("retests", "The retests", retests_table(*of_study, data.places)),
        _figure(
            "schedules", _schedules_title(answer), _SCHEDULES, schedules_figure(*lines)
        ),
        _figure("curves", "How they trained", _CURVES, curves_figure(*lines)),
        _figure(
            "progress", "The best after k trials", _PROGRESS, progress_figure(*of_study)
        ),
        _section(
            "optimizers",
            "Optimizers and shapes",
            [optimizers_table(answer, data.places), shapes_table(study, answer)],
        ),
        _section(
            "trials", "The trials", trials_table(study, records, answer, data.places)
        ),
        _section("stopped", "What was stopped, and why", list_stopped(study, records)),
        _section("cost", "What it cost", _cost(data)),
        _section("reproduce", "How to train it again", _reproduce(data)),
    ]


_RATES = (
    "Each symbol is one training. The strips below say at which rates each optimizer crawls, is as "
    "good as its best, and diverges."
)
_RETESTED = " Single values are flattered by luck; the bars of the retests are not."
_SCHEDULES = "The learning rate at every update of the run."
_CURVES = "The best three of the search, yours, and failures: where each curve ends, it ended."
_PROGRESS = (
    "The best value of any single training so far. It only ever improves, by luck too: the line of "
    "the retests says what the best is worth on fresh seeds."
)


def _schedules_title(answer: Answer) -> str:
    if answer.best is None or answer.best.is_yours:
        return "Your schedule"
    return "The winning schedule" if answer.best.seeds else "The best schedule so far"


def _section(name: str, title: str, *content: Content) -> Markup | None:
    inner = [each for each in content if each]
    return tag("section", tag("h2", title), inner, id=name) if inner else None


def _figure(
    name: str, title: str, caption: str, figure: Markup | None
) -> Markup | None:
    return _section(name, title, _caption(figure, caption))


def _caption(figure: Markup | None, caption: str) -> Markup | None:
    return None if figure is None else tag("figure", figure, tag("figcaption", caption))


def _band(answer: Answer) -> Markup | None:
    """The rates that do as well as the best's, and which of them to take."""
    if answer.band is None:
        return None
    text = band_text(answer.band)
    return tag("p", text[0].upper() + text[1:])


def _rates(data: ReportData) -> Markup | None:
    retested = any(each.seeds for each in data.answer.retested)
    figure = rates_figure(data.study, data.records, data.answer)
    return _caption(figure, _RATES + _RETESTED * retested)


# -- cost ------------------------------------------------------------------------------


def _cost(data: ReportData) -> Content:
    spent, ended = data.answer.spent, [each for each in data.records if each.ended]
    parts: list[Content] = [tag("p", spent_text(spent))] if spent else []
    if stops := early_stops_text(data.answer.stops):
        parts.append(tag("p", f"Stopped early: {stops}."))
    began = min((each.started_at for each in ended if each.started_at), default=None)
    until = max((each.finished_at for each in ended if each.finished_at), default=None)
    if began is not None and until is not None:
        when = f"From {_moment(began)} to {_moment(until)}: {duration_text(until - began)}."
        parts.append(tag("p", when))
    rows = [
        _cost_row(state, [each for each in ended if each.state is state])
        for state in _STATES
    ]
    if found := [each for each in rows if each is not None]:
        head = ["ended as", "trainings", "epochs", "time"]
        parts.append(
            table(head, found, "Where the time went; of trainings at once each counts")
        )
    machines = dict.fromkeys(f"{each.host} {each.slot}" for each in data.workers)
    if machines:
        parts.append(tag("p", f"Workers: {', '.join(list(machines)[:20])}."))
    return parts


_STATES = [each for each in TrialState if each.terminal]


def _cost_row(state: TrialState, group: Trials) -> Markup | None:
    if not group:
        return None
    epochs = sum(each.epochs for each in group)
    seconds = sum(each.seconds for each in group)
    cells = (str(len(group)), f"{epochs:,}", duration_text(seconds))
    return tag(
        "tr", tag("th", state.value, scope="row"), [tag("td", each) for each in cells]
    )


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


# -- reproduce -------------------------------------------------------------------------


def _reproduce(data: ReportData) -> Content:
    study, best, name = data.study, data.answer.best, quote(data.study.name)
    commands = f"lrsearch export {name}\nlrsearch train {name} -o model.keras"
    file = study.plan.study_file
    versions = ", ".join(
        f"{each} {number}" for each, number in study.facts.versions.items()
    )
    return [
        _code_part(data),
        [tag("p", "From the database of the study:"), _code(commands)]
        if best
        else None,
        tag(
            "p", f"Study file: {file or 'defined in a notebook'}. Versions: {versions}."
        ),
        tag("p", f"Sampler {study.plan.sampler}, seed {study.plan.seed}."),
    ]


def _code_part(data: ReportData) -> Content:
    if data.answer.best is None:
        return tag("p", "There is no setting to export yet.")
    try:
        text = export_text(data.study, data.answer, form="python")
    except LrSearchError as error:
        return tag("p", str(error))
    return [tag("p", "Python that needs Keras alone:"), _code(text)]


def _code(text: str) -> Markup:
    button = tag("button", "copy", type="button", data_copy=True)
    return tag(
        "div", button, tag("pre", tag("code", text), tabindex="0"), class_="code"
    )
