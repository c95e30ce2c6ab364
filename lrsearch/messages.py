"""What worker processes, their parent and its listeners tell each other.

One class for each message, and one for each command from the parent to a worker. The fields are
the keys of the JSON, so their names are public: `--log-file` writes them, and docs/reference.md
lists them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias, TypeVar, dataclass_transform

from lrsearch.forecast import Forecast
from lrsearch.jsonable import from_json, to_json
from lrsearch.values import Direction, Json, Kind, Origin, Setting, Status, StudyFacts, TrialState

T = TypeVar("T")

# -- the two families -----------------------------------------------------------------------------


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Message:
    """What is told. Each subclass becomes a frozen dataclass with keyword-only fields."""

    event: ClassVar[str]
    kinds: ClassVar[dict[str, type[Message]]] = {}

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)
        if "event" in vars(cls):
            Message.kinds[cls.event] = cls

    def to_json(self) -> dict[str, Json]:
        return {"event": self.event, **to_json(self)}

    @staticmethod
    def from_json(data: Mapping[str, Json]) -> Message:
        """The message that `to_json` has written. Raises ValueError where it is none."""
        return _named(Message.kinds, "event", data)


class WorkerMessage(Message):
    """What a worker tells its parent."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Command:
    """What a parent tells a worker to do; a dataclass like the messages."""

    do: ClassVar[str]
    kinds: ClassVar[dict[str, type[Command]]] = {}

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)
        Command.kinds[cls.do] = cls

    def to_json(self) -> dict[str, Json]:
        return {"do": self.do, **to_json(self)}

    @staticmethod
    def from_json(data: Mapping[str, Json]) -> Command:
        """The command that `to_json` has written. Raises ValueError where it is none."""
        return _named(Command.kinds, "do", data)


def _named(kinds: Mapping[str, type[T]], key: str, data: Mapping[str, Json]) -> T:
    kind = kinds.get(str(data.get(key)))
    if kind is None:
        raise ValueError(f"neither a message nor a command: {data!r}")
    return from_json(kind, {name: data[name] for name in data if name != key})


# -- values within messages ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What a parent must know to create a study: its facts, and what follows from its space."""

    facts: StudyFacts
    dimensions: tuple[Mapping[str, Json], ...]  # as people read them
    references: tuple[Setting, ...]
    seed: int  # the definition's
    # of a few timed steps, where they were asked for
    figures: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The best trial or yours, as the study's answer has it."""

    number: int
    value: float | None
    short: str  # the setting in one line
    state: TrialState = TrialState.COMPLETE
    seeds: int = 0  # retests that the value is the mean of; 0: a single training
    evidence: str = "1 training"  # the same in words


# -- what a worker says ----------------------------------------------------------------------------


class Attempt(WorkerMessage):
    """Which attempt at which trial a message is about."""

    trial_id: int
    attempt: int


class Trial(Attempt):
    """The same, with the names that people know the trial by."""

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
    """The first trial may begin. `figures` of a few timed steps; empty where none were timed."""

    event = "engine.ready"
    figures: Mapping[str, Json]


class Working(WorkerMessage):
    """The study is open and its data is loaded. `worker` is this worker's id in the database."""

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
    """An attempt ended. `status` `interrupted` puts the trial back; `lost` counts for nothing."""

    event = "trial.ended"
    short: str
    status: Status
    value: float | None
    epochs: int
    seconds: float
    reason: str = ""
    notes: tuple[str, ...] = ()


class RetestsPlanned(WorkerMessage):
    """The search is over. `trials` are retested on at least `seeds` seeds each, `retests` in all;
    `left_out` more do not fit into the time.
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
    """A signal told this worker to stop; the worker puts back what it holds."""

    event = "signalled"
    signal: str


class WorkerInterrupted(WorkerMessage):
    """This worker was told to stop, by a signal or its parent, and holds nothing any more."""

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
    """An error that the process cannot go on from; for the parent alone."""

    event = "error"
    kind: str  # the error's class
    text: str
    traceback: str
    exit_code: int
    parts: Mapping[str, Json] = field(default_factory=dict)  # of an LrSearchError, for programs


# -- what the parent says --------------------------------------------------------------------------


class PoolStarted(Message):
    """Worker processes were started, one for each of these slots."""

    event = "pool.started"
    slots: tuple[str, ...]


class StudyBegun(Message):
    """The study as it stands when work begins: its budget, what is done, best and yours so far."""

    event = "study"
    study: str
    objective: str
    direction: Direction
    trials: int | None  # None where time alone limits them
    trainings: int | None  # the limit of trials and retests together
    done: int
    deadline: float | None  # seconds since 1970
    retest: int  # seeds of each setting that is retested
    retested: int  # settings that are
    best: Result | None
    yours: Result | None


class StudyBill(Message):
    """How long the study takes, by a few timed steps, before its first trial; null: none timed."""

    event = "bill"
    forecast: Forecast | None


class StudyCounts(Message):
    """How many trials the study has, on all machines, now and then. `ended` and `retests_ended` are
    the labels of what has ended since the last time.
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
    """Best, yours and time left, now and then, and before `trial.ended` where the best changes."""

    event = "answer"
    best: Result | None
    yours: Result | None
    seconds_left: float | None


class Output(Message):
    """A line that a worker printed."""

    event = "output"
    text: str


class WorkerDied(Message):
    """How a worker ended, the error that it told of, the last that it printed. Another one starts
    in `retry_seconds`; null: its slot is given up.
    """

    event = "worker.died"
    ending: str
    reason: str
    tail: str
    retry_seconds: float | None


class Stopping(Message):
    """A signal came: running trials are put back within `seconds`."""

    event = "stopping"
    signal: int
    seconds: float


class PoolEnded(Message):
    """All worker processes have left."""

    event = "pool.ended"
    reason: str


# -- what a worker is told to do -------------------------------------------------------------------


class Load(Command):
    """Load the study file and its data, while another worker inspects them."""

    do = "load"


class Inspect(Command):
    """Say what the study file is, by `StudyInspected`."""

    do = "inspect"


class Work(Command):
    """Train this study until nothing is left."""

    do = "work"
    study: str


class Wake(Command):
    """Look for work now: another worker has ended a trial."""

    do = "wake"


class Interrupt(Command):
    """Put back what is held, and leave."""

    do = "interrupt"
    reason: str = "interrupted"


class Quit(Command):
    """Leave: nothing is left."""

    do = "quit"


# -- who listens -----------------------------------------------------------------------------------

Say: TypeAlias = Callable[[WorkerMessage], None]
"""Passes a worker's message on; never raises and never waits for a reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A message as listeners hear it: when, and from which worker."""

    message: Message
    slot: str = ""  # empty for the parent's own
    at: float = field(default_factory=time.time)  # seconds since 1970

    def to_json(self) -> dict[str, Json]:
        slot = {"slot": self.slot} if self.slot else {}
        return {"event": self.message.event, "at": self.at, **slot, **to_json(self.message)}


Listener: TypeAlias = Callable[[Event], None]
