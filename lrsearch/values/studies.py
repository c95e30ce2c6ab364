"""Studies and their workers: facts, plan and state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from lrsearch.jsonable import Json
from lrsearch.values.setting import Setting
from lrsearch.values.states import Direction, Origin, StudyState

WORKER_GONE_SECONDS = 180.0  # three leases without a heartbeat


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFacts:
    """What an inspection has learned: it loads the study file and trains one real step.

    All values are JSON.
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
    notes: tuple[str, ...] = ()  # for the user, once
    # The arguments of yours that every optimizer keeps: clipnorm, ...
    carried: Mapping[str, Json] = field(default_factory=dict)
    # The weights that yours leaves out of decay: `var_names`, `places` among trained
    # variables.
    decay_exclusions: Mapping[str, Json] = field(default_factory=dict)
    # Fields beside the fingerprint: a difference is reported, and never refused.
    recorded: Mapping[str, Json] = field(default_factory=dict)
    # Facts that every worker must act on: engine.loaded.Findings.
    findings: Mapping[str, Json] = field(default_factory=dict)
    # Yours as code, by lrsearch.engine.own_optimizer: the `call`, or the `reason` why
    # there is none, ... Empty in studies of 0.1.0.
    own_optimizer: Mapping[str, Json] = field(default_factory=dict)
    # The ranges of peak rates that were asked for, by optimizer; others have the
    # table's.
    asked_rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    # Yours' rate at evenly spread updates, first to last; one number where it is
    # constant; None where nobody looked (0.1.0).
    yours_rates: tuple[float, ...] | None = None
    # What the objective lies between; None where an end is not known (0.1.0: neither
    # is).
    bounds: tuple[float | None, float | None] = (None, None)
    folds: int | None = None  # how many; None: the study has one validation split
    # Validation rows by training rows, the mean over the folds; None where they are not
    # known.
    fold_ratio: float | None = None

    def fold_of(self, repeat: int | None) -> int | None:
        """The fold of a retest's `repeat`, or the search's (None); None without folds."""
        return (repeat or 0) % self.folds if self.folds else None

    def total_steps(self, batch_size: int | None) -> int:
        """Optimizer updates of a full run: `(epochs * steps per epoch) // accumulation`."""
        return self.epochs * self.steps_per_epoch[str(batch_size)] // self.accumulation


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPlan:
    """The plan of a new study; only its rules for retests may change later."""

    name: str
    study_file: str | None  # as given; None for a study defined in a notebook
    facts: StudyFacts
    # of the command line; every worker applies them again
    overrides: Mapping[str, Json]
    # SearchSpace.public_dimensions(), for the Optuna rows
    dimensions: tuple[Mapping[str, Json], ...]
    sampler: str
    pruner: str
    seed: int
    trials: int | None  # the study's total; None where time alone limits it
    timeout_seconds: float | None
    retest_seeds: int
    retries: int
    # trials 0, 1, ...: yours, then the references
    first: tuple[tuple[Origin, Setting], ...]
    # settings that are retested beside yours when the search is over
    retest_top: int = 3
    # a companion of another study: the dimension whose choices have equally many trials
    balanced: str | None = None
    # retests in all that a race may have; None: none was asked for, or it is decided
    retest_total: int | None = None
    # Whether retests were requested after the study's end: no search trial begins, no
    # deadline counts.
    retests_only: bool = False
    # The limit of trials and retests together, where there is one.
    trainings: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of the definition that a study goes on with.

    --accept-change accepted it, or it is a change of callbacks.
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
    """A study in the ledger."""

    id: int
    plan: StudyPlan
    state: StudyState
    reason: str
    # The budget now, which `extend` raises; under `plan.retests_only` the trials that
    # had begun.
    trials: int | None
    # Seconds since 1970 on the database's clock; None under `plan.retests_only`.
    deadline: float | None
    created_at: float
    optuna_study_id: int
    # the limit of search trials and retests together, where there is one
    trainings: int | None = None
    # Threads of each CPU worker; None before the first training, or where no resume is
    # exact.
    threads: int | None = None
    changes: tuple[Change, ...] = ()  # the oldest first
    # search trials that had ended when retests were last planned
    retests_for: int = 0

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def facts(self) -> StudyFacts:
        return self.plan.facts

    @property
    def direction(self) -> Direction:
        return self.plan.facts.direction

    @property
    def fingerprint(self) -> dict[str, Json]:
        """The study's fingerprint now, with the changes that were accepted since its creation."""
        beside = self.plan.facts.recorded
        return {
            **self.plan.facts.fingerprint,
            **{
                each.field: each.new
                for each in self.changes
                if each.field not in beside
            },
        }

    @property
    def recorded(self) -> dict[str, Json]:
        """The fields beside the fingerprint, with their changes since the study's creation."""
        stored = self.plan.facts.recorded
        return {
            **stored,
            **{each.field: each.new for each in self.changes if each.field in stored},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRecord:
    """A worker in the ledger."""

    id: int
    host: str
    pid: int
    slot: str
    versions: Mapping[str, str]
    state: str  # starting, training, idle, gone
    started_at: float
    last_seen: float

    def is_there(self, now: float) -> bool:
        """Whether the worker is alive; a worker that was silent for too long counts as gone."""
        return self.state != "gone" and now - self.last_seen <= WORKER_GONE_SECONDS
