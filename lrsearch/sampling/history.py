"""What a study's trials have shown, as the process sees it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lrsearch.sampling.gaussian import NOISE, Floats, Process
from lrsearch.sampling.outcomes import FLAT, Outcome, SeenTrial, outcomes_of, scores_of
from lrsearch.sampling.space_view import Reach, SpaceView
from lrsearch.space import AXIS, table_range
from lrsearch.values import Direction, Setting

MOST: Final = 300  # outcomes that the process sees: more cost time, and say little
# A trial in training counts with this score, and with next to no noise: as if it had
# ended badly.
PENDING_SCORE: Final = FLAT
PENDING_NOISE: Final = 1e-3
# The score of a stopped trial is a guess. With the noise of a trial that ended, the
# guess kept the model away from where a good trial had been stopped by mistake
# (docs/decisions.md, pruning).
STOPPED_NOISE: Final = 0.2
# The range of rates grows where the best lies within NEAR_END decades of an end, to
# BEYOND decades from the best.
NEAR_END: Final = 0.5
BEYOND: Final = 0.7


class History:
    """Outcomes of `trials`, and those in training.

    noise: the variance of one training's score.
    """

    def __init__(
        self,
        view: SpaceView,
        trials: Sequence[SeenTrial],
        direction: Direction,
        *,
        noise: float = NOISE,
    ) -> None:
        self._view = view
        seen = outcomes_of(trials, direction)
        rows = [view.row_of(each.setting, each.key) for each in seen]
        scores = scores_of(seen)
        known = [place for place, row in enumerate(rows) if row is not None]
        kept = [known[place] for place in _fewer(scores[known])]
        self.outcomes = [seen[place] for place in kept]
        self._rows = np.array([rows[place] for place in kept]).reshape(
            len(kept), len(view.dimensions)
        )
        self._scores = scores[kept]
        self._noise = np.array([_noise_of(each, noise) for each in self.outcomes])
        self._pending: list[Floats] = []
        for each in trials:
            record = each.record
            if record.is_search and not record.ended and record.setting is not None:
                self._add_pending(record.setting, each.key)

    @property
    def informs(self) -> bool:
        """Whether there is anything to learn from: two outcomes that differ."""
        return len(set(self._scores.tolist())) > 1

    def add_pending(self, setting: Setting) -> None:
        """Count `setting` among the trials in training."""
        self._add_pending(setting, setting.key)

    def _add_pending(self, setting: Setting, key: str) -> None:
        row = self._view.row_of(setting, key)
        if row is not None:
            self._pending.append(row)
            self.__dict__.pop("process", None)

    @cached_property
    def process(self) -> Process:
        """The process after all outcomes and pending trials."""
        pending = np.array(self._pending).reshape(
            len(self._pending), self._rows.shape[1]
        )
        count = len(pending)
        return Process(
            self._view.encoder,
            np.vstack([self._rows, pending]),
            np.append(self._scores, np.full(count, PENDING_SCORE)),
            np.append(self._noise, np.full(count, PENDING_NOISE)),
        )

    @cached_property
    def means(self) -> Floats:
        """(outcomes,) float64: the expected score of each outcome's setting."""
        return self._ended.predict(self._rows)[0]

    @property
    def log_likelihood(self) -> float:
        """How likely the outcomes' scores are, less a constant."""
        return self._ended.log_likelihood

    @cached_property
    def _ended(self) -> Process:
        """The process after all outcomes alone."""
        return Process(self._view.encoder, self._rows, self._scores, self._noise)

    @property
    def best(self) -> float:
        """The lowest expected score of a setting that was trained."""
        return float(self.means.min())

    @property
    def leader(self) -> str:
        """The optimizer of the setting with the lowest expected score."""
        leader: Outcome = self.outcomes[int(self.means.argmin())]
        return leader.setting.optimizer

    @cached_property
    def reach(self) -> Reach:
        """The range of rates on the axis, by optimizer: the table's, or one that has grown."""
        down, up = self._growth
        ranges = {name: table_range(name) for name in self._view.space.optimizers}
        return {
            name: (max(AXIS[0], low / 10**down), min(AXIS[1], high * 10**up))
            for name, (low, high) in ranges.items()
        }

    @property
    def range_note(self) -> str:
        """A line for people where the range has grown; empty where it has not."""
        down, up = self._growth
        end, way = ("top", "up") if up else ("bottom", "down")
        return (
            f"the best rates lie near the {end} of the usual range: the search goes on further "
            f"{way} from there"
            if down or up
            else ""
        )

    @cached_property
    def _growth(self) -> tuple[float, float]:
        """Decades by which the range has grown at its lower and its upper end."""
        if not self.informs:
            return 0.0, 0.0
        leader = int(self.means.argmin())
        name = self.outcomes[leader].setting.optimizer
        if name in self._view.space.asked_rates:
            return 0.0, 0.0
        place = float(self._rows[leader, self._view.encoder.rate_column])
        low, high = np.log10(table_range(name))
        down = max(0.0, low - (place - BEYOND)) if place < low + NEAR_END else 0.0
        up = max(0.0, place + BEYOND - high) if place > high - NEAR_END else 0.0
        return down, up


def _noise_of(outcome: Outcome, noise: float) -> float:
    """The noise of an outcome's score, which is a guess where no training of it ended."""
    if outcome.stopped and not outcome.costs:
        return max(noise, STOPPED_NOISE)
    return noise / outcome.trainings


def _fewer(scores: Floats) -> NDArray[np.intp]:
    """Places of at most MOST scores: half of these the best, the others evenly by rank."""
    order = np.argsort(scores, kind="stable")
    if len(order) > MOST:
        best, rest = order[: MOST // 2], order[MOST // 2 :]
        evenly = rest[
            np.linspace(0, len(rest) - 1, MOST - len(best)).round().astype(int)
        ]
        order = np.concatenate([best, evenly])
    return np.sort(order)
