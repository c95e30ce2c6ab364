"""A search space as the process sees it: rows of numbers, and candidates to choose among."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lrsearch.errors import UnknownName
from lrsearch.sampling.gaussian import Encoder, Floats
from lrsearch.sampling.sobol import place_on
from lrsearch.space import SHAPES
from lrsearch.values import Setting

if TYPE_CHECKING:
    from lrsearch.space import Dimension, SearchSpace

Reach: TypeAlias = Mapping[str, tuple[float, float]]
"""Ranges of rates on the axis, by optimizer."""

# candidates of one kind: so many rates, one in each equal part of its range
RATES: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidates:
    """Settings that may be proposed. rows: (n, dimensions) float64; kinds: settings without rates.

    Candidate i is kind i // RATES, at the rate of its row.
    """

    rows: Floats
    kinds: Sequence[Setting]
    view: SpaceView
    reach: Reach

    def has_optimizer(self, name: str) -> NDArray[np.bool_]:
        """(n,) bool: whether the candidate's optimizer is `name`."""
        return np.repeat([each.optimizer == name for each in self.kinds], RATES)

    def setting(self, place: int) -> Setting:
        """The candidate's setting, in real rates."""
        rate = 10 ** float(self.rows[place, self.view.encoder.rate_column])
        return self.view.space.setting_at(self.kinds[place // RATES], rate, self.reach)


class SpaceView:
    """Encodes settings of `space`, and draws some."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.dimensions: tuple[Dimension, ...] = tuple(space.dimensions())
        shape = {"warmup", "final"} | {
            name for each in SHAPES.values() for name in each.knobs
        }
        self.encoder = Encoder(dimensions=self.dimensions, shape=frozenset(shape))
        # by key; they are asked for at every proposal
        self._rows: dict[str, Floats | None] = {}

    def row_of(self, setting: Setting, key: str) -> Floats | None:
        """(dimensions,) float64; None where the setting is not of this space.

        The user's own compile may be outside of it. `key` is equal for equal settings.
        """
        if key not in self._rows:
            self._rows[key] = self._encode(setting)
        return self._rows[key]

    def _encode(self, setting: Setting) -> Floats | None:
        try:
            rows = self.encoder.encode([self.space.params_of(setting)])
        except (LookupError, UnknownName, ValueError, TypeError):
            return None
        return np.asarray(rows[0])

    def draw(self, chance: np.random.Generator, count: int) -> list[Setting]:
        """Settings without rates, evenly over the other dimensions."""
        names = [each.name for each in self.dimensions]
        # A Latin hypercube (McKay et al. 1979): every optimizer and shape has its
        # share.
        order = chance.permuted(np.tile(np.arange(count), (len(names), 1)), axis=1)
        places = (order + chance.random(order.shape)) / count
        return [
            self.space.setting_without_rate(
                {
                    each.name: place_on(each, float(at))
                    for each, at in zip(self.dimensions, column, strict=True)
                }
            )
            for column in places.T
        ]

    def candidates(
        self, kinds: Sequence[Setting], reach: Reach, chance: np.random.Generator
    ) -> Candidates:
        """RATES candidates of each kind, over the whole range of its rates."""
        # of shape (kinds, 2)
        ranges = np.log10([self.space.axis_range(each, reach) for each in kinds])
        parts = (np.arange(RATES) + chance.random((len(kinds), RATES))) / RATES
        rates = ranges[:, :1] + parts * (ranges[:, 1:] - ranges[:, :1])
        rows = self.encoder.encode([self.space.params_at(each, 1.0) for each in kinds])
        rows = np.repeat(rows, RATES, axis=0)
        rows[:, self.encoder.rate_column] = rates.ravel()
        return Candidates(rows=rows, kinds=kinds, view=self, reach=reach)
