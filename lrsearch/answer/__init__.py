"""The answer of a study: which setting is best, how sure that is, and what else is worth knowing.

Pure functions of the ledger's records; knows nothing of SQL, Keras, Optuna or how an answer is
shown.
"""

from lrsearch.answer.answer import Answer, summarise
from lrsearch.answer.bill import Bill, figures_by_looks, forecast, timed_training
from lrsearch.answer.early_stops import EarlyStops, early_stops
from lrsearch.answer.more_retests import best_settings
from lrsearch.answer.next_steps import NOTEBOOK, SHELL, Ways
from lrsearch.answer.optimizers import OptimizerRow, ended_by_optimizer
from lrsearch.answer.pace import seconds_left, trainings_left
from lrsearch.answer.ranking import (
    fitting_retests,
    nothing_to_compare,
    ranking,
    retest_candidates,
    retests_within,
    yours_of,
)
from lrsearch.answer.spending import Spent, spent_on
from lrsearch.answer.spread import prepare_answer
from lrsearch.answer.standing import Contender, find_standing
from lrsearch.answer.words import evidence_text, lost_text

__all__ = [
    "NOTEBOOK",
    "SHELL",
    "Answer",
    "Bill",
    "Contender",
    "EarlyStops",
    "OptimizerRow",
    "Spent",
    "Ways",
    "best_settings",
    "early_stops",
    "ended_by_optimizer",
    "evidence_text",
    "figures_by_looks",
    "find_standing",
    "fitting_retests",
    "forecast",
    "lost_text",
    "nothing_to_compare",
    "prepare_answer",
    "ranking",
    "retest_candidates",
    "retests_within",
    "seconds_left",
    "spent_on",
    "summarise",
    "timed_training",
    "trainings_left",
    "yours_of",
]
