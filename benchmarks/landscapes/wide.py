"""The space of every landscape: the default optimizers and shapes, over rates beyond both ends.

Rates run from a three-hundredth of each optimizer's reference to a thousand times it,
so that a range that moves can be replayed on a table.
"""

from lrsearch import SearchSpace
from lrsearch.space import OPTIMIZERS

BELOW, ABOVE = 1 / 300, 1000  # of the reference rate
_OPTIMIZERS = SearchSpace().optimizers

WIDE = SearchSpace(
    learning_rate={
        name: (OPTIMIZERS[name].reference * BELOW, OPTIMIZERS[name].reference * ABOVE)
        for name in _OPTIMIZERS
    }
)
