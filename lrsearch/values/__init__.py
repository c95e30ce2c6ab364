"""The frozen values that travel between the packages.

Plain data: knows nothing of Keras, Optuna, SQL or clocks. The maker of a value checks
it, and all others trust it.
"""

from lrsearch.jsonable import Json
from lrsearch.values.row_scores import MOST_ROWS, NO_ROW_SCORES, RowScores
from lrsearch.values.setting import Setting
from lrsearch.values.states import (
    TERMINAL,
    Direction,
    Kind,
    Origin,
    Status,
    StudyState,
    TrialState,
    Verdict,
)
from lrsearch.values.studies import (
    WORKER_GONE_SECONDS,
    Change,
    StudyFacts,
    StudyPlan,
    StudyRecord,
    WorkerRecord,
)
from lrsearch.values.training import (
    BY_FIT,
    SPARED,
    WEIGHTS_FILE,
    AppliedRates,
    Outcome,
    Progress,
    Save,
    Snapshot,
    Source,
    TrialSpec,
    Watch,
)
from lrsearch.values.trials import (
    CurvePoint,
    TrialRecord,
    Trials,
    comparable_records,
    count_whole_settings,
)

__all__ = [
    "BY_FIT",
    "MOST_ROWS",
    "NO_ROW_SCORES",
    "SPARED",
    "TERMINAL",
    "WEIGHTS_FILE",
    "WORKER_GONE_SECONDS",
    "AppliedRates",
    "Change",
    "CurvePoint",
    "Direction",
    "Json",
    "Kind",
    "Origin",
    "Outcome",
    "Progress",
    "RowScores",
    "Save",
    "Setting",
    "Snapshot",
    "Source",
    "Status",
    "StudyFacts",
    "StudyPlan",
    "StudyRecord",
    "StudyState",
    "TrialRecord",
    "TrialSpec",
    "TrialState",
    "Trials",
    "Verdict",
    "Watch",
    "WorkerRecord",
    "comparable_records",
    "count_whole_settings",
]
