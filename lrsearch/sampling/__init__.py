"""What to train next, and what to stop early.

Our own samplers and Optuna's over the ledger's records, and our pruning rules. Knows
trials as records and spaces as dimensions; nothing of SQL, Keras, workers or clocks.
"""

from lrsearch.sampling.expectation import rank_by_expectation
from lrsearch.sampling.learned_stopping import RunAtRung
from lrsearch.sampling.proposer import SAMPLERS, check_sampler, make_sampler
from lrsearch.sampling.pruning import PRUNERS, pruning_rule

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "RunAtRung",
    "check_sampler",
    "make_sampler",
    "pruning_rule",
    "rank_by_expectation",
]
