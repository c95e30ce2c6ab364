"""Divides a study's budget of trainings into search trials and retests, in whole numbers.

Knows nothing of studies and databases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

RETESTED = 4  # settings that are retested: three of the search and yours
# settings: fewer of them on every seed picked worse than more of them on one seed
WHOLE = 3
# (trainings below this, their retests): benchmarks/small_budgets.py, in
# docs/benchmarks.md
FEW = ((10, 0), (20, 2), (27, 3))
REFERENCES = 3  # optimizers that are tried at their reference
IN_FLIGHT = 5  # a study's trials over this may be in training at once
# Full runs before `--pruner auto` stops a trial (docs/decisions.md, pruning).
FULL_RUNS = 8
# Settings that must have run to their end, or diverged, before a model chooses among what
# is retested: after 12 it chose worse than the values did, after 20 no better
# (docs/decisions.md, retests).
MODEL_RUNS = 30
OPEN_BUDGET = 40  # the assumed number of trials where time alone limits them


def divide_trainings(trainings: int, seeds: int) -> tuple[int, int]:
    """Divide trainings into search trials and retests, as picked best in replays.

    Where a third of the trainings holds three whole settings on `seeds` seeds each,
    that third is retests, at most those of RETESTED settings. Fewer trainings have the
    retests of FEW, one seed each. With 3 seeds 52 are 40 + 12, 30 are 21 + 9, 12 are 10
    + 2, 8 are 8 + 0.
    """
    if not seeds:
        return trainings, 0
    settings = min(RETESTED, trainings // 3 // seeds)
    few = next((retests for below, retests in FEW if trainings < below), FEW[-1][1])
    whole = settings >= WHOLE and trainings >= FEW[-1][0]
    retests = settings * seeds if whole else few
    return trainings - retests, retests


def divide_in_halves(trainings: int, seeds: int) -> tuple[int, int]:
    """Divide trainings where somebody asks for `seeds` seeds of each retested setting.

    Half are retests, at most those of RETESTED settings, and whole settings. Where half
    is less than two settings, there are fewer. With 3 seeds 12 are 6 + 6, 52 are 40 +
    12, 5 are 3 + 2.
    """
    half = trainings // 2
    each = seeds if half >= 2 * seeds else 2
    retests = min(RETESTED * seeds, half - half % each) if seeds else 0
    return trainings - retests, retests


def count_references(trials: int | None, optimizers: int) -> int:
    """How many optimizers are tried at their reference before the search proper.

    At most REFERENCES. A bad reference keeps the model away from an optimizer whose
    best rates lie further off, and sampled trials teach more (docs/decisions.md, the
    bill).
    """
    most = min(REFERENCES, optimizers)
    return most if trials is None else max(0, min(most, trials - 2))


def expected_retests(
    trials: int, seeds: int, trainings: int | None = None, *, settings: int = RETESTED
) -> int:
    """The retests that follow a search of `trials`; `trainings` limits both together."""
    retests = seeds * min(settings, trials)
    return retests if trainings is None else max(0, min(retests, trainings - trials))


def retests_in_all(
    trials: int,
    seeds: int,
    trainings: int | None,
    existing: int,
    *,
    settings: int = RETESTED,
) -> int:
    """The retests of a study whose search goes on after an earlier plan of `existing` retests."""
    more = seeds * min(settings, trials)
    if trainings is not None:
        more = min(existing + more, trainings - trials)
    return max(existing, more)


def trials_at_once(trials: int | None, workers: int) -> int:
    """The sampled trials that each worker may train at a time.

    `lrsearch.storage.claims` has the reason for the limit.
    """
    return max(1, (trials or OPEN_BUDGET) // (IN_FLIGHT * max(1, workers)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The totals of a study, and the trainings that exist already."""

    trials: int | None  # of the search; None: time alone limits them
    # of search and retests together; None: they follow from the trials
    trainings: int | None
    seeds: int  # of each retested setting
    searched: int = 0  # search trials that exist
    existing: int = 0  # trainings that exist, retests included

    @property
    def total_trainings(self) -> int:
        """The trainings of the totals; those that exist where time alone limits the study."""
        if self.trainings is not None:
            return self.trainings
        if self.trials is None:
            return self.existing
        return max(
            self.existing, self.trials + expected_retests(self.trials, self.seeds)
        )

    def set(self, *, trials: int | None = None, trainings: int | None = None) -> Budget:
        """The budget with other totals, never below what exists; None keeps a total.

        Where only trainings are given, the additional ones are divided; fewer than
        before are divided anew. Where only trials are given, a limit of trainings rises
        with them.
        """
        if trainings is not None:
            trainings = max(trainings, self.existing)
            trials = self._divided(trainings) if trials is None else trials
            # Retests that exist stay.
            room = trainings - (self.existing - self.searched)
            return replace(
                self, trials=max(self.searched, min(trials, room)), trainings=trainings
            )
        if trials is None:
            return self
        trials = max(trials, self.searched)
        if self.trainings is None or self.trials is None:
            return replace(self, trials=trials)
        return replace(
            self, trials=trials, trainings=self.trainings + max(0, trials - self.trials)
        )

    def extend(
        self, *, trials: int | None = None, trainings: int | None = None
    ) -> Budget:
        """The budget with so many more trials or trainings."""
        begun = self.searched if self.trials is None else self.trials
        return self.set(
            trials=None if trials is None else begun + trials,
            trainings=None if trainings is None else self.total_trainings + trainings,
        )

    def _divided(self, trainings: int) -> int:
        """The search trials of a new limit of trainings."""
        if self.trials is None or trainings >= self.total_trainings:
            begun = self.searched if self.trials is None else self.trials
            return (
                begun
                + divide_trainings(trainings - self.total_trainings, self.seeds)[0]
            )
        return min(self.trials, divide_trainings(trainings, self.seeds)[0])
