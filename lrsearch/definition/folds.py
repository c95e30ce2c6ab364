"""The folds of a definition: how many, or which splitter; or what `load_data(fold)` knows.

Knows no data: `lrsearch.engine.folds` divides it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Integral
from typing import Any

from lrsearch.errors import InvalidValue
from lrsearch.rules import is_number
from lrsearch.values import Json

FOLD = "fold"  # the parameter of load_data


def is_splitter(folds: Any) -> bool:
    """Whether these are a splitter, as scikit-learn has them."""
    return callable(getattr(folds, "split", None)) and hasattr(folds, "get_n_splits")


def are_folds(folds: Any) -> bool:
    """Whether a definition may have these folds."""
    return is_splitter(folds) or (is_number(folds, Integral) and folds > 1)


def are_groups(groups: Any) -> bool:
    """Whether these may be the groups of rows: an array, or a function that returns one."""
    return callable(groups) or (
        hasattr(groups, "__len__") and not isinstance(groups, str)
    )


def check_folds(folds: Any, groups: Any, load_data: Callable[..., Any] | None) -> None:
    """Raise InvalidValue where folds, groups and `load_data` do not go together."""
    if groups is not None and not is_splitter(folds):
        got, allowed = "given", "left out where folds is no splitter"
        fix = "A splitter takes them: folds=GroupKFold(5)."
        raise InvalidValue("groups", got=got, allowed=allowed, fix=fix)
    if load_data is None or not loads_folds(folds, load_data):
        return
    if not is_number(folds, Integral):
        fix = "load_data takes a fold, so it divides the data itself."
        raise InvalidValue("folds", got=folds, allowed="the number of folds", fix=fix)
    given = [
        each
        for each in inspect.signature(load_data).parameters.values()
        if _is_filled(each)
    ]
    if given[-1].name != FOLD or given[-1].kind is inspect.Parameter.POSITIONAL_ONLY:
        got = "load_data(" + ", ".join(each.name for each in given) + ")"
        allowed = "fold last"
        raise InvalidValue(
            "load_data", got=got, allowed=f"a function that names {allowed}"
        )


def _is_filled(each: inspect.Parameter) -> bool:
    """Whether lrsearch gives this parameter a value: the fold, and what has no default."""
    return each.name == FOLD or each.default is each.empty


def loads_folds(folds: Any, load_data: Callable[..., Any]) -> bool:
    """Whether `load_data` is to be called with the fold.

    A `fold` with a default is the user's own where the definition has no folds.
    """
    found = inspect.signature(load_data).parameters.get(FOLD)
    return found is not None and (folds is not None or found.default is found.empty)


def folds_to_json(folds: Any) -> Json:
    """What of the folds changes results: their number, or the splitter with its arguments.

    An argument that is no plain value is named by its type: its text may have an
    address in it, which another worker's has not. The digests of the folds hold what it
    does.
    """
    if not is_splitter(folds):
        return None if folds is None else int(folds)
    given = sorted(getattr(folds, "__dict__", {}).items())
    arguments = ", ".join(f"{name}={_text(value)}" for name, value in given)
    return f"{type(folds).__name__}({arguments})"


def _text(value: Any) -> str:
    plain = value is None or isinstance(value, bool | int | float | str)
    return repr(value) if plain else type(value).__name__
