"""The sampler `auto`: a Gaussian process that knows learning rates chooses the next setting.

A proposal is a function of the study's seed, the trial's number and the records. Until
two outcomes differ, proposals are quasi-random. Each later one is the candidate with
the largest expected improvement; every third one is the best candidate of another
optimizer than the leader's. Trials in training count as if they had ended badly, so
that proposals that are made together differ. A claimed trial without a setting gets one
here, the same that its own worker will choose: the second such trial takes the second
pick, in whatever order the workers ask.

Knows nothing of SQL, Keras or Optuna.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from lrsearch.sampling.gaussian import expected_improvement
from lrsearch.sampling.history import History
from lrsearch.sampling.outcomes import SeenTrial
from lrsearch.sampling.sobol import sobol_point
from lrsearch.sampling.space_view import SpaceView
from lrsearch.values import Direction, Setting, TrialRecord

if TYPE_CHECKING:
    from lrsearch.space import SearchSpace

# Every third trial is the best candidate of another optimizer than the leader's.
# Without it one optimizer had all later trials, and the best of another was never seen
# on one table of seven.
ELSEWHERE: Final = 3
KINDS: Final = 100  # points of the space that are candidates, each at ten rates


class ModelSampler:
    """See the module. `observe` takes records of all kinds, in any order."""

    def __init__(self, space: SearchSpace, *, direction: Direction, seed: int) -> None:
        self._view = SpaceView(space)
        self._direction, self._seed = direction, seed
        self._trials: dict[int, SeenTrial] = {}  # by id
        self.note = ""

    def observe(self, records: Iterable[TrialRecord]) -> None:
        """Take in records; the newest of an id counts."""
        self._trials.update((each.id, SeenTrial.of(each)) for each in records)

    def propose(self, number: int) -> Setting:
        """The setting for trial `number`, after what was observed of the others."""
        others = [
            each for each in self._trials.values() if not _is_trial(each.record, number)
        ]
        history = History(self._view, others, self._direction)
        self.note = history.range_note
        waiting = (each.record.number for each in others if _waits(each.record))
        for each in sorted(before for before in waiting if before < number):
            history.add_pending(self._choose(each, history))
        return self._choose(number, history)

    def _choose(self, number: int, history: History) -> Setting:
        if not history.informs:
            point = sobol_point(self._view.dimensions, number, seed=self._seed)
            return self._view.space.setting_from(point, history.reach)
        chance = np.random.default_rng([self._seed, number])
        kinds = self._view.draw(chance, KINDS)
        candidates = self._view.candidates(kinds, history.reach, chance)
        mean, deviation = history.process.predict(candidates.rows)
        gain = expected_improvement(mean, deviation, history.best)
        leads = candidates.has_optimizer(history.leader)
        # with one optimizer there is no other
        if number % ELSEWHERE == 0 and not leads.all():
            gain = np.where(leads, -1.0, gain)
        return candidates.setting(int(gain.argmax()))


def _is_trial(record: TrialRecord, number: int) -> bool:
    return record.is_search and record.number == number


def _waits(record: TrialRecord) -> bool:
    """Whether a worker has claimed the trial, and it has no setting yet."""
    return record.is_search and record.setting is None and not record.ended
