"""What to train next, and what to stop early.

Optuna's samplers over the ledger's records, and our pruning rules. Knows trials as records and
spaces as dimensions; nothing of SQL, Keras, workers or clocks.
"""

from lrsearch.sampling.proposer import SAMPLERS, Proposer, check_sampler
from lrsearch.sampling.learned_stopping import Seen
from lrsearch.sampling.pruning import PRUNERS, pruning_rule

__all__ = ["PRUNERS", "SAMPLERS", "Proposer", "Seen", "check_sampler", "pruning_rule"]
