"""The answer of a study: which setting is best, how sure that is, and what else is worth knowing.

Pure functions of the ledger's records; knows nothing of SQL, Keras, Optuna or how an answer is shown.
"""

from lrsearch.answer.answer import Answer, Contender, summarise
from lrsearch.answer.optimizers import OptimizerRow
from lrsearch.answer.ranking import fitting_retests, nothing_to_compare, ranking, retest_candidates, setting_key, yours_of
from lrsearch.answer.spread import Retested, prepare_answer

__all__ = [
    "Answer",
    "Contender",
    "OptimizerRow",
    "Retested",
    "fitting_retests",
    "nothing_to_compare",
    "prepare_answer",
    "ranking",
    "retest_candidates",
    "setting_key",
    "summarise",
    "yours_of",
]
