"""What a study file says: the definition of one study.

Knows the search space and no Keras: models, data and losses pass through untouched.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from lrsearch.definition.folds import are_folds, are_groups, check_folds, loads_folds
from lrsearch.definition.sources import Sources
from lrsearch.definition.trial_info import TrialInfo
from lrsearch.errors import InvalidValue
from lrsearch.rules import BOOL, Rule, at_least, check_fields, is_number
from lrsearch.space import SearchSpace, check_batch_sizes
from lrsearch.values import Direction, Json

_NO_BATCH_SIZE = (
    "load_data(batch_size) was called with None: give batch_size= to StudyDefinition."
)
_FOLD_CALLED = "load_data was called with fold="


@dataclass(frozen=True, kw_only=True)
class StudyDefinition:
    """One study: a model, its data, what is better, and what to search.

    objective: a name that an epoch logs, such as `val_accuracy` or `val_loss`.
    direction: `"minimize"` or `"maximize"`; may be left out where Keras knows it (losses,
        accuracies, its own metrics).
    objective_epoch: `"last"` (default), since a schedule anneals towards it, or `"best"`.
    epochs: the length of every trial. Train for as long as you will in earnest: the best rate
        depends on the length.
    batch_size: one, or a list to search; epochs stay fixed. Left out for datasets that are batched
        already.
    steps_per_epoch, validation_steps: as in `model.fit`; needed where a dataset's length is unknown
        or infinite.
    class_weight, shuffle: as in `model.fit`. Every epoch has a new permutation, the same in every
        engine.
    gradient_accumulation_steps: batches per update; by default what the model's own optimizer has.
    folds: how many, or a splitter of scikit-learn such as `StratifiedKFold(5)`, for arrays that
        `load_data` returns as `(data, None)` or `(data, None, test)`; or how many that
        `load_data(fold)` knows. The search trains fold 0, retests all of them.
    groups: of each row, for a splitter that keeps groups together: an array, or a function that
        returns one.
    callbacks: a function that returns a list of Keras callbacks, called once for every attempt at a
        training and once before trial 0. `callbacks(trial)` receives a `TrialInfo`, which has the
        label, number, setting, seed and a folder of its own.
    loss, metrics: for a model that `build_model` returns uncompiled; what `model.compile` takes.
    space: what to search.
    seed: of the search and of every trial's start.
    build_model, load_data: given here in a notebook; in a study file, functions of these names.
    sources: the study file's text and that of the modules beside it; filled in where a file is
        loaded.
    """

    objective: str = "val_loss"
    direction: str | None = None
    objective_epoch: str = "last"
    epochs: int = 10
    batch_size: int | Sequence[int] | None = None
    steps_per_epoch: int | None = None
    validation_steps: int | None = None
    class_weight: Mapping[int, float] | None = None
    shuffle: bool = True
    gradient_accumulation_steps: int | None = None
    folds: Any = None
    groups: Any = None
    callbacks: Callable[..., Sequence[Any]] | None = None
    loss: Any = None
    metrics: Any = None
    space: SearchSpace = field(default_factory=SearchSpace)
    seed: int = 0
    build_model: Callable[..., Any] | None = None
    load_data: Callable[..., Any] | None = None
    sources: Sources | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self, _RULES)
        _check_factory(self.callbacks)
        check_folds(self.folds, self.groups, self.load_data)
        self._check_extra(self.effective_space())

    def _check_extra(self, space: SearchSpace) -> None:
        """Refuse further values that `build_model` does not read: they would have no effect."""
        if (
            space.extra
            and self.build_model is not None
            and not takes_argument(self.build_model, "params")
        ):
            searched = ", ".join(space.extra)
            fix = f"It is called with the searched {searched}: def build_model(params)."
            raise InvalidValue(
                "build_model",
                got="a function without an argument",
                allowed="one that takes params",
                fix=fix,
            )

    def effective_space(self) -> SearchSpace:
        """The space with the definition's batch sizes.

        Raises InvalidValue where both name some and differ.
        """
        sizes = check_batch_sizes(self.batch_size)
        if sizes is None:
            return self.space
        if self.space.batch_size is None:
            return self.space.with_batch_sizes(sizes)
        if tuple(self.space.batch_sizes) != sizes:
            own = f"the space's own ({list(self.space.batch_sizes)})"
            fix = "Say it in one place: StudyDefinition or SearchSpace."
            raise InvalidValue("batch_size", got=self.batch_size, allowed=own, fix=fix)
        return self.space

    def with_overrides(self, overrides: Mapping[str, Json]) -> StudyDefinition:
        """This definition with the command line's options in its search space."""
        if not overrides:
            return self
        space = self.space.with_overrides(overrides)
        return replace(
            self,
            space=space,
            batch_size=None if "batch_size" in overrides else self.batch_size,
        )

    def make_model(self, extra: Mapping[str, Json]) -> Any:
        """Call `build_model`, with the further searched values where it takes an argument."""
        build = self._function("build_model")
        return build(dict(extra)) if takes_argument(build, "params") else build()

    def read_data(self, batch_size: int | None, fold: int = 0) -> Any:
        """Call `load_data`, with the batch size and the fold where it takes them.

        Without a size its own default counts. An error gets a note of the fold, or of
        the want of a size.
        """
        load = self._loader(fold)
        try:
            return self._call(load, batch_size)
        except Exception as error:  # whatever load_data raises, which is raised again
            if self.data_depends_on_fold:
                error.add_note(f"{_FOLD_CALLED}{fold}.")
            raise

    def _call(self, load: Callable[..., Any], batch_size: int | None) -> Any:
        if not takes_argument(load, "batch_size"):
            return load()
        if batch_size is not None:
            return load(batch_size)
        if not _requires_argument(load):
            return load()
        try:
            return load(None)
        except Exception as error:
            # whatever load_data makes of None, which is raised again
            error.add_note(_NO_BATCH_SIZE)
            raise

    def make_callbacks(self, trial: Callable[[], TrialInfo]) -> Any:
        """Call `callbacks`, with the trial where it takes an argument; None without callbacks."""
        make = self.callbacks
        if make is None:
            return None
        return make(trial()) if takes_argument(make, "trial") else make()

    @property
    def data_depends_on_batch(self) -> bool:
        return takes_argument(self._loader(0), "batch_size")

    @property
    def data_depends_on_fold(self) -> bool:
        return loads_folds(self.folds, self._function("load_data"))

    def _loader(self, fold: int) -> Callable[..., Any]:
        """`load_data`, with the fold where it takes one."""
        load = self._function("load_data")
        return partial(load, fold=fold) if self.data_depends_on_fold else load

    def _function(self, name: str) -> Callable[..., Any]:
        function = getattr(self, name)
        if function is None:
            fix = f"Define a function {name} in the study file, or give {name}= to StudyDefinition."
            raise InvalidValue(name, got=None, allowed="a function", fix=fix)
        return function  # type: ignore[no-any-return]


def takes_argument(function: Callable[..., Any], name: str) -> bool:
    """Whether a function wants the argument: its first parameter has no default, or that name.

    Other parameters with defaults are the user's own: `build_model(width=64)` is called
    without.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    first = next(
        (
            each
            for each in inspect.signature(function).parameters.values()
            if each.kind in kinds
        ),
        None,
    )
    return first is not None and (
        first.default is inspect.Parameter.empty or first.name == name
    )


def hint_of(error: BaseException) -> str:
    """The notes that `read_data` left on an error, or nothing."""
    notes = getattr(error, "__notes__", ())
    ours = (
        each
        for each in notes
        if each == _NO_BATCH_SIZE or each.startswith(_FOLD_CALLED)
    )
    return " ".join(ours)


def _requires_argument(function: Callable[..., Any]) -> bool:
    return (
        next(iter(inspect.signature(function).parameters.values())).default
        is inspect.Parameter.empty
    )


_COUNT, _FUNCTION = at_least(1, kind=int), Rule(callable, "a function")
_RULES: Mapping[str, Rule] = {
    "objective": Rule(
        lambda name: isinstance(name, str) and name.strip(),
        "a name that an epoch logs, such as 'val_loss'",
    ),
    "direction": Rule(
        lambda value: value in tuple(Direction), "'minimize' or 'maximize'"
    ),
    "objective_epoch": Rule(
        lambda value: value in ("last", "best"), "'last' or 'best'"
    ),
    "epochs": _COUNT,
    "steps_per_epoch": _COUNT,
    "validation_steps": _COUNT,
    "class_weight": Rule(
        lambda value: isinstance(value, Mapping), "a dict from class to weight"
    ),
    "shuffle": BOOL,
    "gradient_accumulation_steps": _COUNT,
    "folds": Rule(
        are_folds, "a whole number of at least 2, or a splitter of scikit-learn"
    ),
    "groups": Rule(are_groups, "an array, or a function that returns one"),
    "callbacks": _FUNCTION,
    "space": Rule(lambda value: isinstance(value, SearchSpace), "a SearchSpace"),
    "seed": Rule(
        lambda value: is_number(value, int) and 0 <= value < 2**31,
        "a whole number from 0 to 2147483647",
    ),
    "build_model": _FUNCTION,
    "load_data": _FUNCTION,
}


def _check_factory(function: Callable[..., Any] | None) -> None:
    """Refuse a `callbacks` that can be called neither with the trial nor without arguments."""
    if function is None:
        return
    signature = inspect.signature(function)
    try:
        signature.bind(*([None] if takes_argument(function, "trial") else []))
    except TypeError as error:
        got = f"callbacks{signature}"
        allowed = "a function without arguments, or of one: the trial"
        fix = f"It cannot be called so: {error}."
        raise InvalidValue("callbacks", got=got, allowed=allowed, fix=fix) from None
