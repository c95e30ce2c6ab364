"""What a caller asks of a study, and the study that comes of it: a new one, or the stored one
opened again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.budget import divide_trainings
from lrsearch.errors import InvalidValue, StudyBroken, UnknownName
from lrsearch.launch.events import Event, Listener, silent
from lrsearch.report.words import counted
from lrsearch.values import Json, Origin, StudyFacts, StudyPlan, StudyRecord, StudyState
from lrsearch.worker.workshop import Inspection

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

TRIALS = 40  # a study's total where neither trials nor a timeout is given
RETEST_SEEDS = 3
RETRIES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What the caller asked for; None where nothing was said, so that a study that goes on keeps
    what it has.
    """

    trials: int | None = None  # the study's total
    trainings: int | None = None  # the total of search trials and retests together
    timeout: float | None = None  # seconds from `began`, retests included
    sampler: str | None = None
    pruner: str | None = None
    seed: int | None = None
    retest: int | None = None  # seeds
    retries: int | None = None
    overrides: Mapping[str, Json] = field(default_factory=dict)
    allow_version_drift: bool = False
    # when the command did, so that loading TensorFlow counts too
    began: float = field(default_factory=time.monotonic)
    accept_change: tuple[str, ...] = ()  # fields of the fingerprint

    def __post_init__(self) -> None:
        for name, low in (
            ("trials", 1),
            ("trainings", 1),
            ("retest", 0),
            ("retries", 0),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InvalidValue(f"--{name}", got=value, allowed=f"at least {low}")
        if self.trials is not None and self.trainings is not None and self.trials > self.trainings:
            raise InvalidValue(
                "--trials", got=self.trials, allowed=f"at most the {self.trainings} of --trainings"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise InvalidValue("--timeout", got=self.timeout, allowed="above 0 seconds")

    @property
    def total(self) -> int | None:
        """Trials of a new study: as asked, else what its trainings are divided into, else 40, else
        as many as the time allows.
        """
        if self.trials is None and self.trainings is not None:
            return divide_trainings(self.trainings, self.seeds)[0]
        return TRIALS if self.trials is None and self.timeout is None else self.trials

    @property
    def seeds(self) -> int:
        """Retests of each setting, in a new study."""
        return RETEST_SEEDS if self.retest is None else self.retest

    def plan(self, name: str, study_file: str | None, found: Inspection) -> StudyPlan:
        """The plan of a new study."""
        first = (
            (Origin.YOURS, found.facts.yours),
            *((Origin.REFERENCE, each) for each in found.references),
        )
        return StudyPlan(
            name=name,
            study_file=study_file,
            facts=found.facts,
            overrides=self.overrides,
            dimensions=found.dimensions,
            sampler=self.sampler or "tpe",
            pruner=self.pruner or "none",
            seed=found.seed if self.seed is None else self.seed,
            trials=self.total,
            timeout_seconds=self.timeout,
            retest_seeds=self.seeds,
            retries=RETRIES if self.retries is None else self.retries,
            first=first,
            trainings=self.trainings,
        )


def create_or_resume(
    ledger: Ledger,
    request: Request,
    name: str,
    study_file: str | None,
    found: Inspection,
    *,
    resume: bool = True,
    listen: Listener = silent,
) -> StudyRecord:
    """The study `name`: made from what was found, or the stored one, opened again with what was
    asked anew.

    Without `resume` a stored study is compared and stays as it is: its state, its budget and its
    end.

    Raises FingerprintMismatch where the stored one has another definition, sampler, pruner, seed or
    number of retries, and StudyBroken where it is broken and has nothing left to train.
    """
    known = stored(ledger, name)
    if known is not None:
        check_same(known, request)
        check_identity(
            ledger,
            known,
            found,
            accept=request.accept_change,
            allow_drift=request.allow_version_drift,
            listen=listen,
        )
    study = ledger.create_study(request.plan(name, study_file, found), began=request.began)
    if known is None or not resume:
        return study
    if any(each is not None for each in (request.trials, request.trainings, request.timeout)):
        ledger.set_budget(
            study.id,
            trials=request.trials,
            trainings=request.trainings,
            timeout_seconds=request.timeout,
            began=request.began,
        )
    if (
        study.state is not StudyState.FINISHED
        and ledger.set_state(study.id, StudyState.OPEN) is StudyState.BROKEN
    ):
        raise broken(study)
    if request.retest is not None:
        _raise_seeds(ledger, ledger.study(name), request.retest, listen)
    return ledger.study(name)


def _raise_seeds(ledger: Ledger, study: StudyRecord, seeds: int, listen: Listener) -> None:
    """Retest on so many seeds where the study has fewer, after its end too; never on fewer than it
    has.
    """
    from lrsearch.launch.retesting import RetestWish, add_retests

    kept = study.plan.retest_seeds
    if seeds > kept:
        add_retests(ledger, study, RetestWish(seeds=seeds, lasting=True), listen=listen)
    elif seeds < kept:
        text = f"{study.name} keeps its {counted(kept, 'seed')} for retests: --retest {seeds} takes none back"
        listen(Event(name="note", facts={"text": text}))


def broken(study: StudyRecord) -> StudyBroken:
    """What to raise for a study that its own code broke: the reason, and the way on."""
    fix = f"Mend its file, then: lrsearch retry {quote(study.name)} --failed"
    return StudyBroken(
        f"study {study.name!r} is broken: its first trials all failed alike. {fix}",
        traceback_text=study.reason,
    )


def check_identity(
    ledger: Ledger,
    study: StudyRecord,
    found: Inspection,
    *,
    accept: Sequence[str] = (),
    allow_drift: bool = False,
    listen: Listener = silent,
) -> None:
    """Refuse to train something else under the study's name; what is accepted is recorded with it,
    and said.

    Raises FingerprintMismatch, VersionMismatch, and InvalidValue or UnknownName for what cannot be
    accepted.
    """
    from lrsearch.definition import accept_changes

    changes, notes = accept_changes(
        study, found.facts, accept=accept, allow_version_drift=allow_drift
    )
    if changes:
        ledger.record_changes(study.id, changes)
    for text in notes:
        listen(Event(name="note", facts={"text": text}))


def check_same(known: StudyRecord, request: Request) -> None:
    """Refuse to go on with a study under other rules than it began with; what was not said stays as
    it is.
    """
    from lrsearch.definition import check_fields

    asked = {name: getattr(request, name) for name in ("sampler", "pruner", "seed", "retries")}
    given = {name: value for name, value in asked.items() if value is not None}
    check_fields(known.name, {name: getattr(known.plan, name) for name in given}, given)


def check_methods(request: Request, facts: StudyFacts) -> None:
    """Refuse a sampler or pruner that is unknown, or cannot run here, before anything is made."""
    from lrsearch.sampling import check_sampler, pruning_rule

    if request.sampler is not None:
        check_sampler(request.sampler)
    if request.pruner is not None:
        pruning_rule(request.pruner, epochs=facts.epochs, direction=facts.direction)


def stored(ledger: Ledger, name: str) -> StudyRecord | None:
    """The study of that name, or None."""
    try:
        return ledger.study(name)
    except UnknownName:
        return None
