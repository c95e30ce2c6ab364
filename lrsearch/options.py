"""The options of a search, of this machine, and of retests.

The command line and `lrsearch.search` build these values by their fields' names. The
values are checked when they are built, and passed on whole. Times are seconds, sizes
bytes; None where nothing is given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from pathlib import Path
from typing import Any

from lrsearch.budget import divide_in_halves, divide_trainings
from lrsearch.choices import CHOICES, check_choice
from lrsearch.errors import InvalidValue
from lrsearch.rules import BOOL, WHOLE, Rule, at_least, check_fields, is_number
from lrsearch.values import Json

TRIALS = 40  # a study's total where neither trials nor a timeout is given
RETEST_SEEDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """Options of a study; a stored study keeps its own where they are None."""

    name: str | None = None
    trials: int | None = None  # the study's total
    trainings: int | None = None  # the total of search trials and retests together
    timeout: float | None = None  # from `began`, retests included
    sampler: str | None = None
    pruner: str | None = None
    seed: int | None = None
    retest: int | None = None  # seeds
    retries: int | None = None
    # of the study's search space
    overrides: Mapping[str, Json] = field(default_factory=dict)
    accept_change: tuple[str, ...] = ()  # fields of the fingerprint
    allow_version_drift: bool = False
    # When the command began, by the monotonic clock: loading TensorFlow counts too.
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        _check(self)
        if (
            self.trials is not None
            and self.trainings is not None
            and self.trials > self.trainings
        ):
            allowed = f"at most the {self.trainings} of --trainings"
            raise InvalidValue("--trials", got=self.trials, allowed=allowed)

    @property
    def total(self) -> int | None:
        """Trials of a new study; None: as many as the time allows.

        They are the given ones, else the share of the given trainings, else 40 without
        a timeout.
        """
        if self.trials is None and self.trainings is not None:
            divide = divide_trainings if self.retest is None else divide_in_halves
            return divide(self.trainings, self.seeds)[0]
        return TRIALS if self.trials is None and self.timeout is None else self.trials

    @property
    def seeds(self) -> int:
        """Retests of each setting, in a new study."""
        return RETEST_SEEDS if self.retest is None else self.retest


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineOptions:
    """Where a study is stored, and how this machine trains it."""

    # the database; LRSEARCH_STORAGE or the default where None; may hold a password
    storage: str | None = field(default=None, repr=False)
    # cpu, gpu, or gpu:0,1; every GPU, else the CPU, where None
    devices: str | None = None
    workers: int | None = None  # processes
    threads: int | None = None  # of each worker
    per_device: int | None = None  # workers that share each GPU
    # of each worker, for models under a MirroredStrategy
    gpus_per_trial: int | None = None
    engine: str = "auto"
    trial_timeout: float | None = None  # an attempt that runs longer counts as hung
    # their folder; beside the database where None
    checkpoints: str | Path | None = None
    checkpoint_every: float | None = None
    checkpoint_quota: int | None = None
    until: str = "done"  # "idle": workers leave when there is nothing to train now
    engine_factory: str | None = None  # in Keras' place; for tests and drills

    def __post_init__(self) -> None:
        _check(self)

    @property
    def url(self) -> str:
        """The database's URL, its password included. Raises what `resolve_url` raises."""
        from lrsearch.storage import resolve_url

        return resolve_url(self.storage, os.environ)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestOptions:
    """Which settings are to be retested, and on how many seeds."""

    # in all, of each setting; as many as the study's retests have
    seeds: int | None = None
    # the best so many settings, and yours; as many as the study retests, unless
    # `trials` are named
    top: int | None = None
    trials: tuple[int, ...] = ()  # these, and yours
    lasting: bool = False  # what is retested after an extension has as many seeds

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("seeds", "top"), at_least(1)))
        if self.seeds is None and self.top is None and not self.trials:
            fix = "Give how many seeds in all, how many of the best settings, or which trial."
            allowed = "given by seeds, top or trial"
            raise InvalidValue("a retest", got="nothing", allowed=allowed, fix=fix)


def split_options(given: Mapping[str, Any]) -> tuple[SearchOptions, MachineOptions]:
    """Build both values from options by their fields' names; None counts as not given."""
    options = {name: value for name, value in given.items() if value is not None}
    names = {each.name for each in fields(SearchOptions)} & options.keys()
    search = {name: options.pop(name) for name in names}
    return SearchOptions(**search), MachineOptions(**options)


NAMES = tuple(
    each.name for kind in (SearchOptions, MachineOptions) for each in fields(kind)
)


# -- what each field may hold ----------------------------------------------------------

_SECONDS = Rule(
    lambda value: is_number(value, Real) and value > 0, "a number of seconds above 0"
)
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        ("trials", "trainings", "workers", "threads", "per_device", "gpus_per_trial"),
        at_least(1),
    ),
    **dict.fromkeys(("seed", "retest", "retries"), at_least(0)),
    **dict.fromkeys(("timeout", "trial_timeout", "checkpoint_every"), _SECONDS),
    "checkpoint_quota": at_least(1, WHOLE + "bytes of at least {}, such as 20 * 2**30"),
    "allow_version_drift": BOOL,
}


def _check(options: SearchOptions | MachineOptions) -> None:
    """Raise InvalidValue or UnknownName for the first field that holds what is not allowed."""
    for name in CHOICES:
        if (choice := getattr(options, name, None)) is not None:
            check_choice(name, str(choice))
    check_fields(options, _RULES)
