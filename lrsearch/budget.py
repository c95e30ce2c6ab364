"""A study's budget in whole numbers: how many of its trainings are search trials, and how many are
retests.

Knows nothing of studies and databases; every other part asks here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

RETESTED = 4  # settings that are retested: the best three and yours
IN_FLIGHT = 5  # a study's trials over this may be in training at once
OPEN_BUDGET = 40  # stands for the trials where time alone limits them


def divide_trainings(trainings: int, seeds: int) -> tuple[int, int]:
    """Search trials and retests that so many trainings are divided into, with `seeds` seeds a
    retested setting.

    Half are retests, at most those of RETESTED settings, and whole settings. Where half is less
    than two settings, the leader and yours get fewer seeds, the same for both. With 3 seeds 12 are
    6 + 6, 52 are 40 + 12, 5 are 3 + 2, 3 are 3 + 0.
    """
    half = trainings // 2
    each = seeds if half >= 2 * seeds else 2
    retests = min(RETESTED * seeds, half - half % each) if seeds else 0
    return trainings - retests, retests


def expected_retests(
    trials: int, seeds: int, trainings: int | None = None, *, settings: int = RETESTED
) -> int:
    """Retests of so many `settings` that follow a search of so many trials; `trainings` limits both
    together.
    """
    retests = seeds * min(settings, trials)
    return retests if trainings is None else max(0, min(retests, trainings - trials))


def retests_in_all(
    trials: int, seeds: int, trainings: int | None, there: int, *, settings: int = RETESTED
) -> int:
    """Retests of a study whose search goes on, with those of an earlier plan that are `there`."""
    more = seeds * min(settings, trials)
    return (
        max(there, more) if trainings is None else max(there, min(there + more, trainings - trials))
    )


def trials_at_once(trials: int | None, workers: int) -> int:
    """Sampled trials that each of the workers may have in training; why so few is said in
    `lrsearch.storage.claims`.
    """
    return max(1, (trials or OPEN_BUDGET) // (IN_FLIGHT * max(1, workers)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The totals of a study, and what of them there is."""

    trials: int | None  # of the search; None: time alone limits them
    # of search and retests together; None: the trials and the retests' rule say
    trainings: int | None
    seeds: int  # of each retested setting
    searched: int = 0  # search trials that there are
    there: int = 0  # trainings that there are, retests included

    @property
    def in_all(self) -> int:
        """The trainings that the totals come to; what there is where time alone limits them."""
        if self.trainings is not None:
            return self.trainings
        if self.trials is None:
            return self.there
        return max(self.there, self.trials + expected_retests(self.trials, self.seeds))

    def set(self, *, trials: int | None = None, trainings: int | None = None) -> Budget:
        """The budget with other totals, never below what there is; None keeps.

        Where trainings alone are given, what they are more than before is divided; fewer of them
        are divided anew. Where trials alone are given, a limit of trainings rises with them.
        """
        if trainings is not None:
            trainings = max(trainings, self.there)
            trials = self._divided(trainings) if trials is None else trials
            # retests that there are keep their places
            room = trainings - (self.there - self.searched)
            return replace(self, trials=max(self.searched, min(trials, room)), trainings=trainings)
        if trials is None:
            return self
        trials = max(trials, self.searched)
        if self.trainings is None or self.trials is None:
            return replace(self, trials=trials)
        return replace(self, trials=trials, trainings=self.trainings + max(0, trials - self.trials))

    def extended(self, *, trials: int | None = None, trainings: int | None = None) -> Budget:
        """The budget with so many more of either."""
        begun = self.searched if self.trials is None else self.trials
        return self.set(
            trials=None if trials is None else begun + trials,
            trainings=None if trainings is None else self.in_all + trainings,
        )

    def _divided(self, trainings: int) -> int:
        """The search trials of a new limit of trainings."""
        if self.trials is None or trainings >= self.in_all:
            begun = self.searched if self.trials is None else self.trials
            return begun + divide_trainings(trainings - self.in_all, self.seeds)[0]
        return min(self.trials, divide_trainings(trainings, self.seeds)[0])
