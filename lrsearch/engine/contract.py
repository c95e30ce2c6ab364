"""What every engine owes its caller.

An engine trains; it sees no Optuna, no SQL and no process. One contract suite,
tests/contract, runs against all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeAlias

from lrsearch.values import Json, Outcome, Save, Source, Watch

Figures: TypeAlias = Mapping[str, Json]
"""What an engine measured on one machine, as JSON, with a line for people as "reason"."""


class Engine(Protocol):
    """Trains what `source` hands out until it hands out None; engines inherit from this class.

    Yields exactly one `Outcome` for each `TrialSpec`. An exception of the user's code,
    whatever its class, becomes a FAILED outcome with its traceback, never an exception
    of `train`. SystemExit and KeyboardInterrupt become one too, marked `left`: the
    worker knows whether this process was asked to stop. What `source`, `watch` and
    `save` raise is not the user's: it leaves `train` as it is, and so does
    AskedToLeave.
    """

    name: str

    def calibrate(self, known: Figures | None) -> Figures:
        """Take the figures that are known of this study and machine, or measure them.

        Returns the figures to keep; empty for an engine that measures nothing, as here.
        """
        del known
        return {}

    def time_steps(self) -> Figures:
        """Time a few steps of an engine that has nothing to choose; figures as a calibration's.

        What is traced for them serves its trainings. Empty where it would not, as here.
        """
        return {}

    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Yield an outcome as each attempt ends.

        `watch` is called at least at every epoch's end, and about once a second within
        an epoch. Its verdict is obeyed at the next batch. After PRUNE the outcome is
        PRUNED; after INTERRUPT, INTERRUPTED; after LOST, LOST.

        `save` is offered a snapshot at every epoch's end and, where the verdict lets
        the trial go on now or later, about once a second within an epoch, at the place
        that `Progress.place` names: after whole batches, or in the epoch's validation.
        An engine that can take none there offers the one of the last epoch's end. A
        snapshot is taken only if `save` calls for it. A trial that goes on from a
        snapshot ends as if it had not been stopped.

        Divergence is `lrsearch.engine.divergence.DivergenceRule`, one for each attempt:
        `new_epoch` as an epoch begins, `check` with the running mean of the loss after
        every batch, `at_end` once after the last epoch that is trained. A reason from
        either is a DIVERGED outcome without a value. `state` goes into the snapshot's
        meta as "divergence", and `resume` takes it back. An attempt that comes to its
        end with an objective that is not finite, while its loss is, is COMPLETE without
        a value.
        """
        ...
