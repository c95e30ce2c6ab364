"""`lrsearch.search`: the same search in a notebook or script, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrsearch.answer import Answer, summarise
from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.space import Suggestion
from lrsearch.values import CurvePoint, Json, Kind, StudyRecord, TrialRecord

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from lrsearch.answer import Contender
    from lrsearch.definition import StudyDefinition


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found. Shown in a notebook, it is the answer's own text."""

    study: StudyRecord
    records: Sequence[TrialRecord]
    curves: Mapping[int, Sequence[CurvePoint]]  # by trial id
    answer: Answer

    @property
    def best(self) -> Contender | None:
        """The best setting with its value and retests; None where no trial ended well."""
        return self.answer.best

    @property
    def yours(self) -> Contender | None:
        """The same of your own compile."""
        return self.answer.yours

    @property
    def trials(self) -> pd.DataFrame:
        """One row a search trial: number (index), origin, state, optimizer, learning_rate, schedule, value, knobs, ..."""
        rows = [_row(each) for each in self.records if each.kind is Kind.SEARCH]
        table: pd.DataFrame = _pandas().DataFrame(rows).set_index("number")
        return table

    def suggestion(self) -> Suggestion:
        """The best setting ready for `model.compile`: `.optimizer()`, `.schedule()`, `.rate(step)`."""
        if self.best is None:
            raise InvalidValue("result", got="no trial that ended well", allowed="a search with a best setting")
        setting = self.best.setting
        facts = self.study.plan.facts
        return Suggestion(setting=setting, total_steps=facts.total_steps(setting.batch_size), accumulation=facts.accumulation)

    def plot_rates(self) -> Figure:
        """Value against learning rate by optimizer, with the region where training diverges."""
        from lrsearch.report import rates_figure

        return rates_figure(self.study, self.records, self.answer)

    def plot_schedules(self) -> Figure:
        """The learning rate over the run of the best trials."""
        from lrsearch.report import schedules_figure

        return schedules_figure(self.study, self.records, self.answer)

    def plot_curves(self) -> Figure:
        """The objective by epoch of the best trials."""
        from lrsearch.report import curves_figure

        return curves_figure(self.study, self.records, self.curves, self.answer)

    def __str__(self) -> str:
        from lrsearch.report import answer_text

        return answer_text(self.answer)

    __repr__ = __str__


def search(
    definition: StudyDefinition | str | Path,
    *,
    name: str | None = None,
    trials: int | None = None,
    trainings: int | None = None,
    timeout: float | None = None,
    storage: str | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    seed: int | None = None,
    retest: int | None = None,
    devices: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    per_device: int | None = None,
    accept_change: Sequence[str] = (),
    quiet: bool = False,
) -> SearchResult:
    """Search a study to the end of its budget and return what was found.

    A `StudyDefinition` is searched in this very process, on one device, under `name` ("notebook" by default). A study
    file's path is searched by worker processes, as `lrsearch start-study` does; `devices`, `workers`, `threads` and
    `per_device` are for these. The rest is as on the command line, times in seconds. Calling it again goes on where it stood;
    `accept_change` names what of the definition may have changed since.

    Raises what the command line says in one line: CallerError, EnvironmentProblem, Refused, StudyBroken.
    """
    from lrsearch.launch import watching

    asked: dict[str, Any] = {"trials": trials, "timeout": timeout, "sampler": sampler, "pruner": pruner, "seed": seed}
    asked |= {"trainings": trainings, "retest": retest, "accept_change": tuple(accept_change)}
    processes = {"devices": devices, "workers": workers, "threads": threads, "per_device": per_device}
    with watching(quiet=quiet) as listen:
        if isinstance(definition, str | Path):
            from lrsearch.launch import run_study

            study = run_study(definition, name=name, storage=storage, listen=listen, **asked, **processes)  # type: ignore[arg-type]
        else:
            study = _search_here(definition, name or "notebook", storage, asked, processes, listen)
    return load_result(study.name, storage=storage)


def _search_here(
    definition: StudyDefinition,
    name: str,
    storage: str | None,
    asked: Mapping[str, Any],
    processes: Mapping[str, Json],
    listen: Any,
) -> StudyRecord:
    from lrsearch.launch.inline import run_inline
    from lrsearch.launch.request import Request

    given = [option for option, value in processes.items() if value is not None]
    if given:
        fix = "Write the definition to a study file and give its path."
        raise InvalidValue(given[0], got=processes[given[0]], allowed="left out for a definition of this process", fix=fix)
    return run_inline(definition, name=name, request=Request(**asked), storage=storage, listen=listen)


def load_result(name: str, *, storage: str | None = None) -> SearchResult:
    """The result of a study as it stands in the database, finished or not."""
    import os

    from lrsearch.storage import open_ledger, resolve_url

    ledger = open_ledger(resolve_url(storage, os.environ))
    try:
        study = ledger.study(name)
        records = ledger.trials(study.id)
        return SearchResult(
            study=study,
            records=records,
            curves=ledger.curves(study.id),
            answer=summarise(study, records, ledger.all_attempts(study.id)),
        )
    finally:
        ledger.close()


def _row(record: TrialRecord) -> dict[str, Json]:
    setting = record.setting
    found: dict[str, Json] = {"number": record.number, "origin": record.origin.value, "state": record.state.value}
    if setting is not None:
        found |= {"optimizer": setting.optimizer, "learning_rate": setting.learning_rate, "schedule": setting.schedule}
    found |= {"value": record.value, "best_value": record.best_value, "epochs": record.epochs, "seconds": record.seconds}
    if setting is not None:
        found |= {"batch_size": setting.batch_size, **setting.shape, **setting.hyper}
    found["reason"] = record.reason
    extra = setting.extra if setting is not None else {}
    return found | {f"extra.{name}" if name in found else name: value for name, value in extra.items()}


def _pandas() -> Any:
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise EnvironmentProblem("a table of trials needs pandas: pip install 'lrsearch[notebook]'") from None
    return pd
