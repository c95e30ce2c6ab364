"""The names that a caller chooses among.

The command line offers them, the options are checked against them, and the table that
acts on a name (`sampling.SAMPLERS`, `sampling.PRUNERS`, `engine.ENGINES`) has them as
its keys. Loads nothing, so that `lrsearch --help` stays fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lrsearch.errors import UnknownName

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "sampler": ("auto", "tpe", "random", "qmc", "gp"),
    "pruner": ("auto", "none", "median", "asha", "hyperband"),
    "engine": ("auto", "vectorized", "graph", "fit"),
    "until": ("done", "idle", "unneeded"),
}
# Options of a call or the command line that replace parts of the study's own search
# space.
SPACE: Final = (
    "optimizers",
    "schedules",
    "learning_rate",
    "warmup",
    "final",
    "batch_size",
    "extra",
    "fine_tuning",
)


def check_choice(kind: str, name: str) -> None:
    """Raise UnknownName where `name` is no choice of `kind`: a sampler, a pruner, ..."""
    if name not in CHOICES[kind]:
        no_cma = kind == "sampler" and name.startswith("cma")
        fix = (
            "Optuna's unpickles rows of the database, so it is not offered."
            if no_cma
            else ""
        )
        raise UnknownName(kind, got=name, known=CHOICES[kind], fix=fix)
