"""`lrsearch.search`: the same search in a notebook or script, and its result."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lrsearch.answer import NOTEBOOK, Answer
from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.machine import check_system
from lrsearch.options import MachineOptions, RetestOptions, SearchOptions
from lrsearch.space import Suggestion
from lrsearch.values import CurvePoint, Json, StudyRecord, TrialRecord

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from lrsearch.answer import Contender
    from lrsearch.definition import StudyDefinition
    from lrsearch.events import Listener
    from lrsearch.report.html.page import ReportPage


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found.

    A notebook shows it as a table and a picture, a terminal as the answer's own text.
    """

    study: StudyRecord
    records: Sequence[TrialRecord]
    curves: Mapping[int, Sequence[CurvePoint]]  # by trial id
    answer: Answer
    # The definition of this process; None for a study file, and for a loaded study.
    definition: StudyDefinition | None = None
    # The options of the search, with which retests train, too.
    search_options: SearchOptions = field(default_factory=SearchOptions)
    machine_options: MachineOptions = field(default_factory=MachineOptions)

    @property
    def best(self) -> Contender | None:
        """The best setting with its value and retests; None where no trial ended well."""
        return self.answer.best

    @property
    def yours(self) -> Contender | None:
        """Your own compile with its value and retests."""
        return self.answer.yours

    @property
    def trials(self) -> pd.DataFrame:
        """One row per search trial: number (index), origin, state, optimizer, learning_rate, ..."""
        rows = [_row(each) for each in self.records if each.is_search]
        table: pd.DataFrame = _pandas().DataFrame(rows).set_index("number")
        return table

    def suggestion(self) -> Suggestion:
        """The best setting for `model.compile`: `.optimizer(model)`, `.schedule()`, `.rate(step)`.

        Raises InvalidValue where there is no best setting yet, or yours is the best.
        """
        if self.best is None:
            raise InvalidValue(
                "result",
                got="no trial that ended well",
                allowed="a search with a best setting",
                fix="result.trials says how each trial ended.",
            )
        if self.best.is_yours:
            fix = "It needs no suggestion: compile as you do, or paste result.export()."
            raise InvalidValue(
                "result",
                got="your own compile as the best",
                allowed="a search whose best is a searched setting",
                fix=fix,
            )
        setting, facts = self.best.setting, self.study.facts
        return Suggestion(
            setting=setting,
            total_steps=facts.total_steps(setting.batch_size),
            accumulation=facts.accumulation,
            carried=facts.carried,
            decay_exclusions=facts.decay_exclusions,
            scaling=facts.own_optimizer.get("scaling"),
        )

    def export(self, trial: int | None = None, *, form: str = "python") -> str:
        """The best setting, or a trial's, as `lrsearch export` prints it: `"python"` or `"json"`.

        Raises CannotExport where yours cannot be written as code, UnknownName for an
        unknown trial.
        """
        from lrsearch.report.exporting import export_text

        return export_text(self.study, self.answer, form=form, trial=trial)

    def report(self, path: str | Path | None = None) -> ReportPage:
        """The whole report, which a notebook shows in a frame; with `path`, written
        there too as one HTML file.
        """
        from lrsearch.report.html.page import ReportPage, report_file, write_page
        from lrsearch.report.html.sections import ReportData

        text = report_file(
            ReportData(
                study=self.study,
                records=self.records,
                answer=self.answer,
                curves=self.curves,
            )
        )
        if path is not None:
            write_page(text, Path(path))
        return ReportPage(text)

    def plot_rates(self) -> Figure:
        """Value against learning rate by optimizer, with the region where training diverges."""
        from lrsearch.report.rates_picture import rates_figure

        return rates_figure(self.study, self.records, self.answer)

    def plot_schedules(self) -> Figure:
        """The learning rate over the run of the best trials and yours."""
        from lrsearch.report.schedules_picture import schedules_figure

        return schedules_figure(self.study, self.records, self.curves, self.answer)

    def plot_curves(self) -> Figure:
        """The objective by epoch of the best trials."""
        from lrsearch.report.curves_picture import curves_figure

        return curves_figure(self.study, self.records, self.curves, self.answer)

    def plot_progress(self) -> Figure:
        """The best value of one training after k trials, beside yours and the retests."""
        from lrsearch.report.progress_picture import progress_figure

        return progress_figure(self.study, self.records, self.answer)

    def plot_shapes(self) -> Figure:
        """The best value of each optimizer with each schedule shape."""
        from lrsearch.report.shapes_picture import shapes_figure

        return shapes_figure(self.study, self.answer)

    def retest(
        self,
        *,
        seeds: int | None = None,
        top: int | None = None,
        trial: int | Sequence[int] = (),
        log_to: str | Sequence[str] = (),
        quiet: bool = False,
    ) -> SearchResult:
        """The same study's result with more retests, as `lrsearch retest` adds and trains them.

        seeds: how many in all for each setting. top: how many of the best settings,
        beside yours. trial: which trials, beside yours. log_to: a tracker, or several,
        as in a search. A study that was searched in this process trains here, another
        one in worker processes by its file.
        """
        from lrsearch.launch.searching import retest_study
        from lrsearch.progress.watching import show_progress

        trials = (trial,) if isinstance(trial, int) else tuple(trial)
        wanted = RetestOptions(seeds=seeds, top=top, trials=trials)
        search, machine = self.search_options, self.machine_options
        with _send_beside(log_to, machine) as tracker:
            with show_progress(tracker, quiet=quiet, stream=_stream()) as listen:
                retest_study(
                    self.study,
                    wanted,
                    search,
                    machine,
                    definition=self.definition,
                    listen=listen,
                )
            return _result(self.study.name, search, machine, self.definition)

    def show(self, trial: int | str) -> None:
        """Print all that is known of a trial (`7`), or of its second retest (`"7/2"`)."""
        from lrsearch.report.finding import find_trial
        from lrsearch.report.trial_page import trial_data, trial_text

        record = find_trial(self.study.name, self.records, str(trial))
        data = trial_data(record, self.curves.get(record.id, ()), ())
        print(trial_text(record, data))  # noqa: T201 - for a notebook

    def _repr_html_(self) -> str:
        """A notebook's view: a table, the notes, and the picture where matplotlib is there."""
        from lrsearch.report.notebook_page import answer_html

        return answer_html(self.study, self.records, self.answer)

    def __str__(self) -> str:
        from lrsearch.report.answer_page import answer_text

        return answer_text(self.answer)

    __repr__ = __str__


def search(
    definition: StudyDefinition | str | Path,
    *,
    name: str | None = None,
    storage: str | None = None,
    trials: int | None = None,
    trainings: int | None = None,
    timeout: float | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    seed: int | None = None,
    retest: int | None = None,
    retries: int | None = None,
    optimizers: Sequence[str] | None = None,
    schedules: Sequence[str] | None = None,
    learning_rate: Any = None,
    warmup: Any = None,
    final: Any = None,
    batch_size: int | Sequence[int] | None = None,
    extra: Mapping[str, Any] | None = None,
    fine_tuning: bool | None = None,
    devices: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    per_device: int | None = None,
    gpus_per_trial: int | None = None,
    engine: str | None = None,
    trial_timeout: float | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_every: float | None = None,
    checkpoint_quota: int | None = None,
    accept_change: str | Sequence[str] | None = None,
    allow_version_drift: bool | None = None,
    log_to: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
    log_file: str | Path | None = None,
) -> SearchResult:
    """Search a study to the end of its budget and return what was found.

    A `StudyDefinition` is searched in this very process, on one device. Without `name`
    the study is named by its definition: the same call goes on with the stored study,
    and another definition makes another study. A study file is searched by worker
    processes, as by `lrsearch start-study`; `devices`, `workers`, `threads`,
    `per_device`, `gpus_per_trial` and `trial_timeout` are for these processes.

    The options are those of `lrsearch start-study`, by their names there; times are in
    seconds, sizes in bytes. `optimizers`, `schedules` and so on replace what the
    definition's space says, and are written as in a SearchSpace. A `retest` above the
    study's own adds seeds. `log_to` is a tracker, or several:
    `"mlflow=sqlite:///mlflow.db"`.

    Raises the errors that the command line prints in one line: CallerError,
    EnvironmentProblem, Refused, StudyBroken.
    """
    words = {name: value for name, value in locals().items() if name not in _NO_OPTIONS}
    from lrsearch.launch.searching import read_call, search_study
    from lrsearch.progress.watching import show_progress

    check_system()
    wanted, machine = read_call(words)
    view = partial(show_progress, quiet=quiet, verbose=verbose, log_file=log_file)
    with _send_beside(log_to, machine) as tracker:
        with view(tracker, stream=_stream()) as listen:
            study = search_study(definition, wanted, machine, listen)
        here = None if isinstance(definition, str | Path) else definition
        return _result(study.name, wanted, machine, here)


_NO_OPTIONS = frozenset({"definition", "log_to", "quiet", "verbose", "log_file"})


def _send_beside(
    log_to: str | Sequence[str], machine: MachineOptions
) -> AbstractContextManager[Listener]:
    from lrsearch.trackers.beside import send_beside

    places = (log_to,) if isinstance(log_to, str) else tuple(log_to)
    return send_beside(places, lambda: machine.url, _say)


def _say(text: str) -> None:
    print(text, file=_stream(), flush=True)


def load(name: str, *, storage: str | None = None) -> SearchResult:
    """The result of a stored study, finished or not.

    Raises UnknownName where there is no such study.
    """
    return _result(name, SearchOptions(), MachineOptions(storage=storage), None)


def _result(
    name: str,
    search: SearchOptions,
    machine: MachineOptions,
    definition: StudyDefinition | None,
) -> SearchResult:
    from lrsearch.report.reading import read_answer
    from lrsearch.storage import open_ledger

    with open_ledger(machine.url) as ledger:
        study = ledger.study(name)
        records = ledger.trials(study.id)
        return SearchResult(
            study=study,
            records=records,
            curves=ledger.curves(study.id),
            answer=read_answer(ledger, study, records, ways=NOTEBOOK),
            definition=definition,
            search_options=search,
            machine_options=machine,
        )


def _stream() -> TextIO:
    """The stream for progress: not standard error in a notebook, which shows it in red."""
    return (
        sys.stdout
        if type(sys.stderr).__module__.startswith("ipykernel")
        else sys.stderr
    )


def _row(record: TrialRecord) -> dict[str, Json]:
    setting = record.setting
    found: dict[str, Json] = {"number": record.number}
    found |= {"origin": record.origin.value, "state": record.state.value}
    if setting is not None:
        found |= _fields(setting, "optimizer", "learning_rate", "schedule")
    found |= _fields(record, "value", "best_value", "epochs", "seconds")
    if setting is not None:
        found |= {"batch_size": setting.batch_size, **setting.shape, **setting.hyper}
    found["reason"] = record.reason
    extra = setting.extra if setting is not None else {}
    names = {name: f"extra.{name}" if name in found else name for name in extra}
    return found | {names[name]: value for name, value in extra.items()}


def _fields(source: object, *names: str) -> dict[str, Json]:
    return {name: getattr(source, name) for name in names}


def _pandas() -> Any:
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise EnvironmentProblem(
            "a table of trials needs pandas:", fix="pip install 'lrsearch[notebook]'"
        ) from None
    return pd
