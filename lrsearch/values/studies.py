"""Studies and their workers: what a study is, what was asked for, where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from lrsearch.jsonable import Json
from lrsearch.values.setting import Setting
from lrsearch.values.states import Direction, Origin, StudyState

WORKER_GONE_SECONDS = 180.0  # three leases without a word


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
    # The ranges of peak rates that were asked for, by optimizer; others have the table's.
    asked_rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    # Yours' rate at evenly spread updates, first to last; one number where it is constant; None
    # where nobody looked (0.1.0).
    yours_rates: tuple[float, ...] | None = None

    def total_steps(self, batch_size: int | None) -> int:
        """Optimizer updates of a full run: `(epochs * steps per epoch) // accumulation`."""
        return self.epochs * self.steps_per_epoch[str(batch_size)] // self.accumulation

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


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
    # a companion of another study: the dimension whose choices have equally many trials
    balanced: str | None = None
    # retests in all that a race may have; None: none was asked for, or it is decided
    retest_total: int | None = None
    # retests were asked for after the study's end: no search trial begins, no deadline holds
    retests_only: bool = False
    # the limit of trials and retests together, where one was asked for
    trainings: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of the definition that a study goes on with.

    It was accepted by --accept-change, or is one of callbacks.
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
    def facts(self) -> StudyFacts:
        return self.plan.facts

    @property
    def direction(self) -> Direction:
        return self.plan.facts.direction

    @property
    def fingerprint(self) -> dict[str, Json]:
        """What the study goes by now: as it was made, with the changes accepted since."""
        beside = self.plan.facts.recorded
        return {
            **self.plan.facts.fingerprint,
            **{each.field: each.new for each in self.changes if each.field not in beside},
        }

    @property
    def recorded(self) -> dict[str, Json]:
        """What stands beside the fingerprint, with its changes since."""
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

    def is_there(self, now: float) -> bool:
        """Whether it is at work; a worker that was silent for long is taken for gone."""
        return self.state != "gone" and now - self.last_seen <= WORKER_GONE_SECONDS
