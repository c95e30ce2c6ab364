"""The truth of a table without its luck: what each setting would give on average over seeds.

The best single value of a thousand trainings is luck. Trees over the whole table say
what a setting and its neighbours give together; where a setting was retested, its own
trainings count as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from replaying.table import Table

from lrsearch.space import OPTIMIZERS, rate_range
from lrsearch.values import Direction, Setting

_TREES = 100
_LEAF = 3  # settings a leaf: fewer follow the noise, more flatten the optimum


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """losses: (n,) float64, lower is better; a diverged setting has the worst of those that ended.

    best: of all settings. median: of those within the default range of rates, since a
    table that reaches further holds as many hopeless settings as one likes. Regret of a
    setting is (loss - best) / (median - best).
    """

    losses: np.ndarray
    best: float
    median: float

    def regret(self, place: int) -> float:
        return float((self.losses[place] - self.best) / (self.median - self.best))

    def among_best(self, share: float) -> np.ndarray:
        """(n,) bool: the best `share` of all settings, at least one."""
        count = max(1, round(share * len(self.losses)))
        return self.losses <= np.sort(self.losses)[count - 1]


def denoised(table: Table, *, seed: int = 0) -> Truth:
    """The truth of `table`: each setting's own mean, shrunk towards what its neighbours say.

    Extremely randomised trees (Geurts et al. 2006) are fitted to the ranks of the
    means: a training that nearly diverged would pull its whole leaf. Predicted ranks
    become losses again by the order of the table's own values. The mean and the trees'
    loss are weighted by their precision: seeds' variance over the number of trainings,
    and the trees' mean squared error on the settings that were retested.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    losses, counts = _means(table)
    order = np.sort(losses)
    ranks = np.searchsorted(order, losses).astype(float)
    # Each setting is predicted by the trees that did not see it.
    trees = ExtraTreesRegressor(
        _TREES,
        min_samples_leaf=_LEAF,
        random_state=seed,
        n_jobs=1,
        bootstrap=True,
        oob_score=True,
    )
    trees.fit(np.array([_features(each) for each in table.settings]), ranks)
    smooth = np.interp(trees.oob_prediction_, np.arange(len(order)), order)
    weight = _weight_of_means(table, losses, counts, smooth)
    truth = weight * losses + (1 - weight) * smooth
    truth = np.where(np.isnan(table.values), order[-1], truth)
    usual = truth[[_within_default_range(each) for each in table.settings]]
    return Truth(losses=truth, best=float(truth.min()), median=float(np.median(usual)))


def _weight_of_means(
    table: Table, losses: np.ndarray, counts: np.ndarray, smooth: np.ndarray
) -> np.ndarray:
    """(n,) float64 in 0..1: how much of the truth is the setting's own mean."""
    retested = counts > 1
    if not retested.any():
        # a training counts twice as much as its neighbours
        return np.full(len(losses), 2 / 3)
    # Medians: a setting that fails on one seed of three would rule a mean. Of squares
    # with one and two degrees of freedom the median is 0.455 and 0.693 of the mean.
    seeds = float(np.median(np.nanvar(table.retests[retested], axis=1, ddof=1))) / 0.693
    error = float(np.median((losses - smooth)[retested] ** 2)) / 0.455
    error -= seeds / counts[retested].mean()
    return error / (error + seeds / counts) if error > 0 else np.zeros(len(losses))


def _within_default_range(setting: Setting) -> bool:
    low, high = rate_range(setting, asked={}, base=setting.batch_size)
    return low <= setting.learning_rate <= high


def _means(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """(n,) float64 mean losses of a setting, and the number of trainings in each.

    A setting that was retested has the mean of its retests: it was chosen by its first
    value, which flatters it.
    """
    retests = np.isfinite(table.retests).sum(axis=1)
    sums = np.nansum(table.retests, axis=1)
    means = np.where(retests > 0, sums / np.maximum(retests, 1), table.values)
    means = -means if table.direction is Direction.MAXIMIZE else means
    bad = np.isnan(table.values)
    means[bad] = means[~bad].max()
    return means, np.maximum(retests, 1)


def _features(setting: Setting) -> list[float]:
    names, spec = sorted(OPTIMIZERS), OPTIMIZERS[setting.optimizer]
    shapes = ("constant", "linear", "cosine", "warmup_stable_decay")
    return [
        np.log10(setting.learning_rate / spec.reference),
        *(float(setting.optimizer == name) for name in names),
        *(float(setting.schedule == name) for name in shapes),
        setting.shape.get("warmup", 0.0),
        setting.shape.get("final", 0.0),
        setting.shape.get("decay_start", 0.0),
        np.log2(setting.batch_size or 1),
    ]
