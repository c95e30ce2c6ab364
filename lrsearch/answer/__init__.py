"""The answer of a study: which setting is best, how sure that is, and what else is worth knowing.

Pure functions of the ledger's records; knows nothing of SQL, Keras, Optuna or how an
answer is shown.
"""

from lrsearch.answer.answer import Answer, summarise
from lrsearch.answer.band import Band
from lrsearch.answer.bill import Bill, figures_by_looks, forecast, timed_training
from lrsearch.answer.early_stops import EarlyStops, early_stops
from lrsearch.answer.gains import Decision, Expected
from lrsearch.answer.leaderboard import Contender, build_leaderboard
from lrsearch.answer.margin import ONE_PERCENT, Margin, read_margin
from lrsearch.answer.more_retests import best_settings
from lrsearch.answer.next_steps import NOTEBOOK, SHELL, Ways
from lrsearch.answer.optimizers import OptimizerRow, ended_by_optimizer
from lrsearch.answer.pace import seconds_left, trainings_left
from lrsearch.answer.paired_rows import Scores
from lrsearch.answer.ranking import (
    could_win,
    few_retests,
    find_yours,
    fitting_retests,
    nothing_to_compare,
    rank_trials,
    retest_candidates,
    retests_within,
)
from lrsearch.answer.retest_race import next_retests
from lrsearch.answer.spending import Spent, spent_on
from lrsearch.answer.spread import prepare_answer
from lrsearch.answer.verdict import StudyVerdict, give_verdict
from lrsearch.answer.verdict_words import verdict_text
from lrsearch.answer.words import evidence_text, lost_text

__all__ = [
    "NOTEBOOK",
    "ONE_PERCENT",
    "SHELL",
    "Answer",
    "Band",
    "Bill",
    "Contender",
    "Decision",
    "EarlyStops",
    "Expected",
    "Margin",
    "OptimizerRow",
    "Scores",
    "Spent",
    "StudyVerdict",
    "Ways",
    "best_settings",
    "build_leaderboard",
    "could_win",
    "early_stops",
    "ended_by_optimizer",
    "evidence_text",
    "few_retests",
    "figures_by_looks",
    "find_yours",
    "fitting_retests",
    "forecast",
    "give_verdict",
    "lost_text",
    "next_retests",
    "nothing_to_compare",
    "prepare_answer",
    "rank_trials",
    "read_margin",
    "retest_candidates",
    "retests_within",
    "seconds_left",
    "spent_on",
    "summarise",
    "timed_training",
    "trainings_left",
    "verdict_text",
]
