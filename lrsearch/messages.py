"""The messages between worker processes, their parent and its listeners.

There is one class per message, and one per command of the parent to a worker. The
fields are the keys of the JSON, so their names are public: `--log-file` writes them,
and docs/reference.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, dataclass_transform

from lrsearch.forecast import Forecast
from lrsearch.jsonable import from_json, to_json
from lrsearch.values import (
    Direction,
    Json,
    Kind,
    Origin,
    Setting,
    Status,
    StudyFacts,
    TrialState,
)

# -- the two families ------------------------------------------------------------------


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _Line:
    """A line of JSON. Each subclass becomes a frozen dataclass with keyword-only fields."""

    key: ClassVar[str]  # of the JSON, for the name of the line's class
    kinds: ClassVar[dict[str, type[Any]]]  # by this name

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)
        if cls.key in vars(cls):
            cls.kinds[vars(cls)[cls.key]] = cls

    def to_json(self) -> dict[str, Json]:
        return {self.key: getattr(self, self.key), **to_json(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        """Make the line of `to_json`'s data. Raises ValueError for other data."""
        kind = cls.kinds.get(str(data.get(cls.key)))
        if kind is None:
            raise ValueError(f"no {cls.__name__.lower()}: {data!r}")
        line: Self = from_json(
            kind, {name: data[name] for name in data if name != cls.key}
        )
        return line


class Message(_Line):
    """A message of a worker or a parent; classes without an `event` are common parts of others."""

    key, kinds = "event", {}
    event: ClassVar[str]


class WorkerMessage(Message):
    """A message of a worker to its parent."""


class Command(_Line):
    """A command of a parent to a worker."""

    key, kinds = "do", {}
    do: ClassVar[str]


# -- values within messages ------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What a parent must know to create a study: its facts, and values of its search space."""

    facts: StudyFacts
    dimensions: tuple[Mapping[str, Json], ...]  # as people read them
    references: tuple[Setting, ...]
    seed: int  # the definition's
    # Seconds of a few timed steps, where the configuration asks for them.
    figures: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The best trial or yours, as in the study's answer."""

    number: int
    value: float | None
    short: str  # the setting in one line
    state: TrialState = TrialState.COMPLETE
    seeds: int = 0  # retests that the value is the mean of; 0: a single training
    evidence: str = "1 training"  # the same in words


# -- messages of a worker --------------------------------------------------------------


class Attempt(WorkerMessage):
    """A message about an attempt."""

    trial_id: int
    attempt: int


class Trial(Attempt):
    """A message about an attempt, with the trial's names for people."""

    number: int
    kind: Kind
    origin: Origin
    label: str


class WorkerReady(WorkerMessage):
    """A worker process is up and waits for commands."""

    event = "ready"
    pid: int


class StudyInspected(WorkerMessage):
    """The answer to the command `Inspect`; for the parent alone."""

    event = "facts"
    inspection: Inspection


class EngineReady(WorkerMessage):
    """The first trial may begin. `figures` are of a few timed steps; empty where none was timed."""

    event = "engine.ready"
    figures: Mapping[str, Json]


class Working(WorkerMessage):
    """The study is open and its data is loaded; `worker` is this worker's id in the database."""

    event = "working"
    worker: int


class TrialStarted(Trial):
    """An attempt begins, anew where `resumed_from` (epochs) and `resumed_update` are 0."""

    event = "trial.started"
    setting: Setting
    short: str  # the setting in one line
    resumed_from: int = 0
    resumed_update: int = 0


class TrialProgress(Attempt):
    """How far an attempt is, about twice a second; not in the log file."""

    event = "trial.progress"
    epoch: int
    epochs: int
    step: int
    total_steps: int
    rate: float | None
    seconds: float
    value: float | None


class TrialEnded(Trial):
    """An attempt ended. Status `interrupted` puts the trial back; `lost` counts for nothing."""

    event = "trial.ended"
    short: str
    status: Status
    value: float | None
    epochs: int
    seconds: float
    reason: str = ""
    notes: tuple[str, ...] = ()


class RetestsPlanned(WorkerMessage):
    """The search is over: `trials` are retested on at least `seeds` seeds each, `retests` in all.

    `left_out` further retests do not fit into the time.
    """

    event = "retests.planned"
    trials: tuple[int, ...]
    seeds: int
    retests: int
    left_out: int


class Note(WorkerMessage):
    """A line for people, of a worker or of the parent."""

    event = "note"
    text: str


class Broken(WorkerMessage):
    """The study's own code fails on every trial."""

    event = "broken"
    reason: str
    traceback: str


class WorkerSignalled(WorkerMessage):
    """A signal asked this worker to stop; the worker puts its trials back."""

    event = "signalled"
    signal: str


class WorkerInterrupted(WorkerMessage):
    """This worker stopped on a signal or a command, and has put its trials back."""

    event = "interrupted"
    reason: str


class WorkerLeft(WorkerMessage):
    """The time of this worker is up: it holds nothing any more, and begins nothing."""

    event = "left"


class WorkerDone(WorkerMessage):
    """The database has nothing left for this worker."""

    event = "done"
    reason: str


class WorkerFailed(WorkerMessage):
    """An error ends the process; for the parent alone."""

    event = "error"
    kind: str  # the error's class
    text: str
    traceback: str
    exit_code: int
    # of an LrSearchError, for programs
    parts: Mapping[str, Json] = field(default_factory=dict)


# -- messages of the parent ------------------------------------------------------------


class PoolStarted(Message):
    """Worker processes were started, one for each of these slots."""

    event = "pool.started"
    slots: tuple[str, ...]


class StudyBegun(Message):
    """The study when work begins: its budget, its ended trials, best and yours so far."""

    event = "study"
    study: str
    objective: str
    direction: Direction
    trials: int | None  # None where time alone limits them
    trainings: int | None  # the limit of trials and retests together
    done: int
    deadline: float | None  # seconds since 1970
    retest: int  # seeds of each setting that is retested
    retested: int  # settings that are retested
    best: Result | None
    yours: Result | None


class StudyBill(Message):
    """The time of the study by a few timed steps, before its first trial; null: none were timed."""

    event = "bill"
    forecast: Forecast | None


class StudyCounts(Message):
    """The number of the study's trials on all machines, sent every two seconds.

    `ended` and `retests_ended` are the labels of what has ended since the last message.
    """

    event = "counts"
    ended: tuple[str, ...]
    retests_ended: tuple[str, ...]
    retests: int
    running: int
    waiting: int
    failed: int
    trials: int | None
    trainings: int | None
    deadline: float | None


class StudyAnswer(Message):
    """Best, yours and the time left; sent every two seconds, and before the end of a new best."""

    event = "answer"
    best: Result | None
    yours: Result | None
    seconds_left: float | None


class Output(Message):
    """A line that a worker printed."""

    event = "output"
    text: str


class WorkerDied(Message):
    """How a worker ended: its ending, the error that it reported, its last output.

    Another one starts in `retry_seconds`; null: the slot is given up.
    """

    event = "worker.died"
    ending: str
    reason: str
    tail: str
    retry_seconds: float | None


class Stopping(Message):
    """A signal came; running trials are put back within `seconds`."""

    event = "stopping"
    signal: int
    seconds: float


class PoolEnded(Message):
    """All worker processes have left."""

    event = "pool.ended"
    reason: str


# -- commands to a worker --------------------------------------------------------------


class Load(Command):
    """Load the study file and its data, while another worker inspects them."""

    do = "load"


class Inspect(Command):
    """Inspect the study file, and answer by `StudyInspected`."""

    do = "inspect"


class Work(Command):
    """Train this study until nothing is left."""

    do = "work"
    study: str


class Wake(Command):
    """Look for work now: another worker has ended a trial."""

    do = "wake"


class Interrupt(Command):
    """Put running trials back, and leave."""

    do = "interrupt"
    reason: str = "interrupted"


class Quit(Command):
    """Leave: nothing is left to train."""

    do = "quit"
