"""The values between a worker and an engine: attempt, progress, snapshot, outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from lrsearch.jsonable import Json
from lrsearch.values.row_scores import RowScores
from lrsearch.values.setting import Setting
from lrsearch.values.states import Status, Verdict

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A trial's whole training state at a batch's end, enough to go on from.

    `arrays` are NumPy arrays by name (variables, optimizer, metrics, seeds); `meta` is
    JSON (epoch, step, curve so far).
    """

    epoch: int  # epochs finished
    step: int  # optimizer updates done
    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Json]
    # Batches done of the epoch in progress; all of them where only validation is left.
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
    number: int | None = None  # the search trial's; in a retest, the repeated trial's
    retest: int | None = None  # 1, 2, ... in a retest
    yours: bool = False  # train the user's compile unchanged
    # Whether its worker was lost before: attempts beside it might be lost, too.
    alone: bool = False
    test_split: bool = False  # evaluate on the test split where there is one (retests)
    fold: int = 0  # of the study's folds: the search's, or a retest's own
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
    # Batches done of the epoch in progress, as in `Snapshot.batch`.
    batch: int = 0

    @property
    def epoch_end(self) -> bool:
        return bool(self.logs)

    @property
    def place(self) -> tuple[int, int]:
        """The place of a snapshot taken now: `Snapshot.place`."""
        return self.epoch, self.batch


# ends the name of a file of weights alone: Keras asks for it
WEIGHTS_FILE = ".weights.h5"
# begins the note where the study's engine could not train the trial
BY_FIT = "trained by fit: "
# begins the note of a control: the stopping rule would have ended it after that epoch
SPARED = (
    "ran on as a control of the stopping rule, which would have ended it after epoch "
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedRates:
    """Learning rates that updates were really made with, read where an engine used them."""

    first: float | None  # of the first update; None where nobody read it
    peak: float  # the highest
    last: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How an attempt ended."""

    trial_id: int
    attempt: int
    status: Status
    engine: str
    # The objective at the last or the best epoch, by the definition.
    value: float | None = None
    last_value: float | None = None
    best_value: float | None = None
    best_epoch: int | None = None  # 1-based
    epochs: int = 0  # epochs finished
    steps: int = 0  # updates done; after divergence, the update that diverged
    seconds: float = 0.0
    # The attempt's share of its worker's time; the worker adds it, not the engine.
    worker_seconds: float | None = None
    logs: Mapping[str, float] = field(default_factory=dict)  # the last epoch's
    reason: str = ""  # one line: why it diverged, failed or stopped
    traceback_text: str = ""
    # Whether SystemExit or KeyboardInterrupt ended it: the study's own, or the answer
    # to a signal.
    left: bool = False
    notes: tuple[str, ...] = ()  # "EarlyStopping was taken out", ...
    # of a complete attempt whose objective is a mean over rows: validation, in retests
    # test too
    row_scores: tuple[RowScores, ...] = ()
    # of all attempts together; None where no engine read them
    rates: AppliedRates | None = None

    @classmethod
    def put_back(cls, trial_id: int, attempt: int, reason: str) -> Outcome:
        """The outcome of an attempt whose engine is gone: the trial goes on later."""
        status = Status.INTERRUPTED
        return cls(
            trial_id=trial_id, attempt=attempt, status=status, engine="", reason=reason
        )


Source: TypeAlias = Callable[[], TrialSpec | None]
"""Returns the next attempt, or None when there is none now."""
Watch: TypeAlias = Callable[[Progress], Verdict]
"""Gets the progress at every epoch's end, and about once a second within an epoch."""
Save: TypeAlias = Callable[[Progress, Callable[[], Snapshot]], None]
"""Gets a function that takes a snapshot, at every epoch's end and about once a second within.

Calls the function where a snapshot is due.
"""
