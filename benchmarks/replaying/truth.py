"""The truth of a table without its luck: what each setting would give on average over seeds.

The best single value of a thousand trainings is luck. Trees over the whole table say what a setting
and its neighbours give together; where a setting was retested, its own trainings count as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from replaying.table import Table

from lrsearch.space import OPTIMIZERS
from lrsearch.values import Direction, Setting

_TREES = 100
_LEAF = 3  # settings a leaf: fewer follow the noise, more flatten the optimum


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """losses: (n,) float64, lower is better; a diverged setting has the worst of those that ended.

    best: of all settings. median: of those within the default range of rates, since a table that
    reaches further holds as many hopeless settings as one likes. Regret of a setting is
    (loss - best) / (median - best).
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
    """The truth of `table`, by extremely randomised trees (Geurts et al. 2006) on ranks.

    The trees see each setting's mean over its trainings, weighted with their number; ranks, since a
    training that nearly diverged would pull its whole leaf. Predicted ranks become losses again by
    the order of the table's own values.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    losses, counts = _means(table)
    order = np.sort(losses)
    ranks = np.searchsorted(order, losses).astype(float)
    trees = ExtraTreesRegressor(_TREES, min_samples_leaf=_LEAF, random_state=seed, n_jobs=1)
    features = np.array([_features(each) for each in table.settings])
    trees.fit(features, ranks, sample_weight=counts)
    smooth = np.interp(trees.predict(features), np.arange(len(order)), order)
    # The mean of several trainings is worth more than the neighbours' opinion.
    truth = np.where(counts > 1, (losses * counts + smooth * 2) / (counts + 2), smooth)
    truth = np.where(np.isnan(table.values), order[-1], truth)
    usual = truth[[_within_default_range(each) for each in table.settings]]
    return Truth(losses=truth, best=float(truth.min()), median=float(np.median(usual)))


def _within_default_range(setting: Setting) -> bool:
    spec = OPTIMIZERS[setting.optimizer]
    return spec.low <= setting.learning_rate <= spec.high


def _means(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """(n,) float64 mean losses over all trainings of a setting, and their numbers."""
    values = np.column_stack([table.values, table.retests])
    values = -values if table.direction is Direction.MAXIMIZE else values
    counts = np.maximum(np.isfinite(values).sum(axis=1), 1)
    means = np.nansum(values, axis=1) / counts
    bad = np.isnan(table.values)
    means[bad] = means[~bad].max()
    return means, counts


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
