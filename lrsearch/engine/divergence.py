"""When training has diverged: the loss is no number, far too high, or never came back.

A pure rule over batch losses; knows nothing of Keras. Thresholds rest on
docs/decisions.md. An engine calls, for each attempt, `new_epoch` as an epoch begins,
`check` with every batch's running mean, and `at_end` after the last epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from lrsearch.values import Json

# ordinary training, warm-up overshoot included, stayed below 30 times its start
FACTOR = 1000.0
PATIENCE = 5  # batches in a row: one bad batch is no divergence
FLOOR = 1e-3  # a start this low says nothing about scale

# The peak must be this many times the start, and times the worst batch of the last
# epoch: noise of that height would come back there.
OVERSHOT = 2.0
NO_BETTER = 0.9  # of the start
# This part of the last epoch's batches may lie below that. More of them do where the
# first batch, which is the start, was low by luck.
FEW = 0.05
ENOUGH = 20  # batches: of fewer, one batch's luck says too much

_OF_THE_RUN = ("start", "peak", "peak_batch", "seen", "high")
# what `new_epoch` begins anew
_OF_AN_EPOCH = ("mean", "count", "lowest", "highest", "below")


class DivergenceRule:
    """Judges one attempt by its running means of the loss, as `fit` logs them."""

    def __init__(self) -> None:
        self._start: float | None = None
        # the highest batch loss and its place, from 1
        self._peak, self._peak_batch = 0.0, 0
        self._seen = 0  # batches
        self._high = 0  # in a row
        self.new_epoch()

    def new_epoch(self) -> None:
        """The running mean begins anew."""
        self._mean, self._count = 0.0, 0
        # of this epoch's batches
        self._lowest, self._highest, self._below = math.inf, -math.inf, 0

    def check(self, mean: float, batches: int) -> str:
        """Why training has diverged, or empty.

        `mean` is the running mean of the loss over the epoch's first `batches` batches.
        """
        if not math.isfinite(mean):
            return f"the loss became {'NaN' if math.isnan(mean) else 'infinite'}"
        step = batches - self._count
        loss = (mean * batches - self._mean * self._count) / max(step, 1)
        self._mean, self._count = mean, batches
        self._seen += step
        if self._start is None:
            self._start = loss
        if loss > self._peak:
            self._peak, self._peak_batch = loss, self._seen
        self._lowest, self._highest = min(self._lowest, loss), max(self._highest, loss)
        self._below += step if loss < NO_BETTER * self._start else 0
        self._high = (
            self._high + 1 if loss > FACTOR * max(abs(self._start), FLOOR) else 0
        )
        if self._high < PATIENCE:
            return ""
        return f"the loss rose to {loss:.3g}, from {self._start:.3g} at the start"

    def at_end(self) -> str:
        """Why an attempt whose last epoch is over counts as diverged, or empty.

        An attempt counts as diverged if it overshot its start and never recovered.

        Overshot: some batch's loss was twice the start and twice the last epoch's
        highest, or the whole last epoch is above twice the start. Not recovered: the
        last epoch is no better than the start, neither its mean nor, but for a few, its
        batches. Runs of less than twenty batches are never judged.
        """
        start = self._start
        if start is None or start < FLOOR or not self._count or self._seen < ENOUGH:
            return ""
        overshot = self._peak >= OVERSHOT * max(start, self._highest)
        overshot = overshot or self._lowest >= OVERSHOT * start
        if (
            not overshot
            or self._mean <= NO_BETTER * start
            or self._below > FEW * self._count
        ):
            return ""
        rose = f"the loss rose to {self._peak:.3g} at batch {self._peak_batch}"
        return f"{rose} and ended at {self._mean:.3g}, no better than the start's {start:.3g}"

    def state(self) -> dict[str, Json]:
        """What a checkpoint keeps, as JSON."""
        epoch = {name: getattr(self, f"_{name}") for name in _OF_AN_EPOCH}
        finite = {name: value for name, value in epoch.items() if math.isfinite(value)}
        return {
            **{name: getattr(self, f"_{name}") for name in _OF_THE_RUN},
            "epoch": finite,
        }

    def resume(self, state: Mapping[str, Json] | None) -> None:
        """Go on from a checkpoint's `state`, in the middle of its epoch.

        None where the checkpoint is older than this rule; 0.1.0 kept nothing of an
        epoch.
        """
        if state is None or state["start"] is None:
            return
        kept = {
            **{name: state.get(name, 0) for name in _OF_THE_RUN},
            **state.get("epoch", {}),
        }
        for name, value in kept.items():
            setattr(self, f"_{name}", value)
