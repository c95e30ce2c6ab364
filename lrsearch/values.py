"""The frozen values that travel between the packages.

Plain data: knows nothing of Keras, Optuna, SQL or clocks. Whoever makes a value checks it; the rest
trust it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Json: TypeAlias = Any
"""What `json` reads and writes."""


class Direction(StrEnum):
    """Which way the objective improves."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is strictly better than `other`."""
        return one < other if self is Direction.MINIMIZE else one > other


class Status(StrEnum):
    """How an attempt at a trial ended.

    The first four are terminal for the trial and count against the budget.
    """

    COMPLETE = "complete"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    # stopped by a signal or a deadline: the trial goes back to the queue
    INTERRUPTED = "interrupted"
    LOST = "lost"  # the lease lapsed: nothing may be written any more

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETE, Status.DIVERGED, Status.PRUNED, Status.FAILED})


class Verdict(StrEnum):
    """What a watcher answers to an engine that reports progress."""

    KEEP = "keep"
    PRUNE = "prune"
    INTERRUPT = "interrupt"
    LOST = "lost"


class Origin(StrEnum):
    """Where a trial's setting came from."""

    YOURS = "yours"  # the user's own compile, unchanged
    REFERENCE = "reference"  # an optimizer at its reference setting
    SAMPLED = "sampled"
    RETRY = "retry"  # a failed trial's setting once more, on request


class Kind(StrEnum):
    """Search trials count against the budget and have an Optuna row; retests confirm the answer
    with fresh seeds.
    """

    SEARCH = "search"
    RETEST = "retest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One point of the search: all that distinguishes one trial's training from another's, but for
    the seed.

    `learning_rate` is the peak rate, in real units; the schedule multiplies it by a number in 0..1.
    `shape`, `hyper` and `extra` hold only what the schedule, the optimizer and
    `build_model(params)` use. For the user's own compile, `optimizer` and `schedule` are
    descriptions for people, and `learning_rate` is its largest rate over the run.
    """

    optimizer: str
    learning_rate: float
    schedule: str
    batch_size: int | None  # None where the user's dataset is batched already
    # warmup, final, power, ...: fractions of the run or of the peak
    shape: Mapping[str, float] = field(default_factory=dict)
    hyper: Mapping[str, float] = field(default_factory=dict)  # momentum, weight_decay, ...
    extra: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Setting:
        return cls(**data)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A trial's whole training state at a batch's end, enough to go on from.

    `arrays` are NumPy arrays by name (variables, optimizer, metrics, seeds); `meta` is JSON (epoch,
    step, curve so far).
    """

    epoch: int  # epochs finished
    step: int  # optimizer updates done
    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Json]
    # batches done of the epoch in progress; all of them where only its validation is left
    batch: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """Orders an attempt's snapshots."""
        return self.epoch, self.batch


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec:
    """What an engine needs to train one attempt at one trial."""

    trial_id: int
    attempt: int  # the fencing number
    label: str  # "trial 12", "retest 2 of trial 12": for people
    setting: Setting
    seed: int
    number: int | None = None  # the search trial's; in a retest, that of the trial that it repeats
    retest: int | None = None  # 1, 2, ... in a retest
    yours: bool = False  # train the user's compile unchanged
    # its worker was lost before: whoever trains beside it might be lost with it
    alone: bool = False
    test_split: bool = False  # evaluate on the test split where there is one (retests)
    resume: Snapshot | None = None
    folder: str | None = None  # where the user's checkpointing callbacks may write


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a running attempt stands. `logs` is empty but at the end of an epoch."""

    trial_id: int
    attempt: int
    epoch: int  # epochs finished
    epochs: int
    step: int  # optimizer updates done
    total_steps: int
    rate: float  # the learning rate of the last update
    seconds: float  # since the attempt began
    logs: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None  # the objective at this epoch's end
    # of the epoch in progress, what a snapshot taken now would hold: `Snapshot.batch`
    batch: int = 0

    @property
    def epoch_end(self) -> bool:
        return bool(self.logs)

    @property
    def place(self) -> tuple[int, int]:
        """Where a snapshot taken now would stand: `Snapshot.place`."""
        return self.epoch, self.batch


BY_FIT = "trained by fit: "  # begins the note of an outcome whose engine could not carry the trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How an attempt ended."""

    trial_id: int
    attempt: int
    status: Status
    engine: str
    # the objective as the definition asks for it: last epoch's or best epoch's
    value: float | None = None
    last_value: float | None = None
    best_value: float | None = None
    best_epoch: int | None = None  # 1-based
    epochs: int = 0  # epochs finished
    steps: int = 0  # updates done; where divergence stopped it, the update that did it
    seconds: float = 0.0
    # its share of its worker's time; the worker says it, not the engine
    worker_seconds: float | None = None
    logs: Mapping[str, float] = field(default_factory=dict)  # the last epoch's
    reason: str = ""  # one line: why it diverged, failed or stopped
    traceback_text: str = ""
    # failed by SystemExit or KeyboardInterrupt: the study's own, or the answer to a signal
    left: bool = False
    notes: tuple[str, ...] = ()  # "EarlyStopping was taken out", ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One epoch of an attempt."""

    epoch: int  # 1-based
    step: int  # updates done at its end
    rate: float
    seconds: float  # since the attempt began
    value: float | None  # the objective; None where it is not finite
    logs: Mapping[str, float]


class TrialState(StrEnum):
    """Where a trial stands in the ledger; the last four are terminal and never change."""

    WAITING = "waiting"  # in the queue: enqueued, interrupted, or its worker was lost
    RUNNING = "running"
    COMPLETE = "complete"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        return self not in {TrialState.WAITING, TrialState.RUNNING}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """A trial as the ledger has it: what sampling, answer and report read.

    Times are seconds since 1970, UTC.
    """

    id: int
    number: int  # 0, 1, ... within its kind; a search trial's number is also its Optuna number
    kind: Kind
    origin: Origin
    state: TrialState
    setting: Setting | None  # None from reservation until it is sampled
    seed: int | None
    parent: int | None = None  # a retest's search trial, by number
    repeat: int | None = None  # a retest's 0, 1, 2
    value: float | None = None
    last_value: float | None = None
    best_value: float | None = None
    best_epoch: int | None = None
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    attempt: int = 0  # the newest attempt's number; 0 before the first
    lost: int = 0  # attempts that ended with their worker
    repeated_epochs: int = 0  # trained by an earlier attempt, and once more
    engine: str = ""
    reason: str = ""
    traceback_text: str = ""
    notes: tuple[str, ...] = ()
    logs: Mapping[str, float] = field(default_factory=dict)
    started_at: float | None = None
    finished_at: float | None = None
    worker: int | None = None

    @property
    def label(self) -> str:
        """`trial 12`, or `retest 2 of trial 12`: for people; repeats count from 1."""
        if self.kind is Kind.RETEST:
            return f"retest {(self.repeat or 0) + 1} of trial {self.parent}"
        return f"trial {self.number}"


class StudyState(StrEnum):
    """What a study's workers may do."""

    OPEN = "open"
    DRAINING = "draining"  # running trials end, none begins
    STOPPED = "stopped"  # running trials are interrupted
    BROKEN = "broken"  # its own code fails; `reason` says how
    FINISHED = "finished"  # budget spent and retests done


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFacts:
    """What the inspector learned by loading the study file and running one real step.

    Plain JSON underneath.
    """

    objective: str
    direction: Direction
    metrics: tuple[str, ...]  # every name that an epoch logs, rates aside
    epochs: int
    accumulation: int  # batches per update, at least 1
    # batches, by str(batch size); "None" where the dataset is batched already
    steps_per_epoch: Mapping[str, int]
    train_examples: int | None
    validation_examples: int | None
    has_test: bool
    parameters: int
    yours: Setting
    exact_order: bool  # the data order can be replayed, so a resumed trial is exact
    fingerprint: Mapping[str, Json]  # what changes results, by field; canonical JSON
    versions: Mapping[str, str]  # lrsearch, keras, tensorflow, optuna, numpy, python
    notes: tuple[str, ...] = ()  # said once to the user
    # arguments of yours that every optimizer keeps: clipnorm, ...
    carried: Mapping[str, Json] = field(default_factory=dict)
    # likewise: `var_names`, `places` among trained variables
    decay_exclusions: Mapping[str, Json] = field(default_factory=dict)
    # beside the fingerprint: what is said where it differs
    recorded: Mapping[str, Json] = field(default_factory=dict)
    # what every worker must act on: engine.loaded.Findings
    findings: Mapping[str, Json] = field(default_factory=dict)
    # Yours as code, by lrsearch.engine.own_optimizer: `call` or the `reason` for none, ... Empty in
    # studies of 0.1.0.
    own_optimizer: Mapping[str, Json] = field(default_factory=dict)
    # Yours' rate at evenly spread updates, first to last; one number where it is constant; None
    # where nobody looked (0.1.0).
    yours_rates: tuple[float, ...] | None = None

    def total_steps(self, batch_size: int | None) -> int:
        """Optimizer updates of a full run: `(epochs * steps per epoch) // accumulation`."""
        return self.epochs * self.steps_per_epoch[str(batch_size)] // self.accumulation

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> StudyFacts:
        known = dict(data)
        known["direction"] = Direction(known["direction"])
        known["yours"] = Setting.from_json(known["yours"])
        for name in ("metrics", "notes"):
            known[name] = tuple(known[name])
        if known.get("yours_rates") is not None:
            known["yours_rates"] = tuple(known["yours_rates"])
        return cls(**known)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPlan:
    """What a new study is created from. Its rules of retests, and no others, may change later."""

    name: str
    study_file: str | None  # as given; None for a study defined in a notebook
    facts: StudyFacts
    overrides: Mapping[str, Json]  # of the command line; reapplied by whoever attaches
    # SearchSpace.public_dimensions(), for the Optuna rows
    dimensions: tuple[Mapping[str, Json], ...]
    sampler: str
    pruner: str
    seed: int
    trials: int | None  # the study's total; None where time alone limits it
    timeout_seconds: float | None
    retest_seeds: int
    retries: int
    first: tuple[tuple[Origin, Setting], ...]  # trials 0, 1, ...: yours, then the references
    retest_top: int = 3  # settings that are retested beside yours when the search is over
    # retests were asked for after the study's end: no search trial begins, no deadline holds
    retests_only: bool = False
    # the limit of trials and retests together, where one was asked for
    trainings: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of the definition that a study goes on with: accepted by --accept-change, or of its
    callbacks.
    """

    field: str  # of the fingerprint
    old: Json
    new: Json
    trials: int = 0  # search trials that had begun by then
    at: float = 0.0  # seconds since 1970

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """A study as the ledger has it."""

    id: int
    plan: StudyPlan
    state: StudyState
    reason: str
    # the budget now; `extend` raises it; under `plan.retests_only` what had begun
    trials: int | None
    # seconds since 1970 on the database's clock; None under `plan.retests_only`
    deadline: float | None
    created_at: float
    optuna_study_id: int
    # the limit of search trials and retests together, where there is one
    trainings: int | None = None
    # of each CPU worker; None before the first one trained, or where a resume is inexact anyway
    threads: int | None = None
    changes: tuple[Change, ...] = ()  # the oldest first

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def fingerprint(self) -> dict[str, Json]:
        """What the study goes by now: the fingerprint that it was made with, and the changes that
        it accepted since.
        """
        beside = self.plan.facts.recorded
        return {
            **self.plan.facts.fingerprint,
            **{each.field: each.new for each in self.changes if each.field not in beside},
        }

    @property
    def recorded(self) -> dict[str, Json]:
        """The same of what is recorded beside the fingerprint."""
        stored = self.plan.facts.recorded
        return {**stored, **{each.field: each.new for each in self.changes if each.field in stored}}


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRecord:
    """A worker as the ledger has it."""

    id: int
    host: str
    pid: int
    slot: str
    versions: Mapping[str, str]
    state: str  # starting, training, idle, gone
    started_at: float
    last_seen: float


Source: TypeAlias = Callable[[], TrialSpec | None]
"""Hands out the next attempt, or None when there is none now."""
Watch: TypeAlias = Callable[[Progress], Verdict]
"""Told of progress at least at every epoch's end and about once a second within."""
Save: TypeAlias = Callable[[Progress, Callable[[], Snapshot]], None]
"""Offered a snapshot at every epoch's end, and about once a second within; it calls the function if it wants it."""
