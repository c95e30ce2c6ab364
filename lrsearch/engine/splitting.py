"""Asks a scikit-learn splitter for the folds of some rows, and refuses what cannot be trusted.

Knows rows, labels and groups; no study and no models.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrsearch.errors import InvalidValue


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """Places in the arrays: train (rows,), validation (rows,), int64."""

    train: np.ndarray
    validation: np.ndarray


def split_rows(
    splitter: Any, x: np.ndarray, labels: np.ndarray | None, groups: np.ndarray | None
) -> list[Fold]:
    """The splitter's folds. x: (rows, ...), labels and groups: (rows,). Raises InvalidValue."""
    pairs = _ask(splitter, x, labels, groups)
    if len(pairs) < 2:  # noqa: PLR2004
        raise InvalidValue(
            "folds", got=f"{len(pairs)} of the splitter", allowed="at least 2"
        )
    folds = [
        Fold(
            train=_places(number, train, len(x)),
            validation=_places(number, rest, len(x)),
        )
        for number, (train, rest) in enumerate(pairs)
    ]
    for number, each in enumerate(folds):
        if len(shared := np.intersect1d(each.train, each.validation)):
            got = f"{len(shared)} rows that train and validate"
            field, allowed = f"the parts of fold {number}", "without a row in common"
            raise InvalidValue(field, got=got, allowed=allowed)
        if groups is not None:
            _check_groups(number, each, groups, splitter)
    return folds


def read_groups(given: Any, rows: int) -> np.ndarray | None:
    """The groups of a definition, (rows,); None where it has none. Raises InvalidValue."""
    if given is None:
        return None
    found = given() if callable(given) else given
    groups = np.asarray(found)
    if groups.shape != (rows,):
        got = "None" if found is None else f"an array of shape {groups.shape}"
        raise InvalidValue(
            "groups", got=got, allowed=f"one label for each of the {rows} rows"
        )
    return groups


def _ask(splitter: Any, x: Any, labels: Any, groups: Any) -> list[tuple[Any, Any]]:
    """What the splitter yields.

    Its warnings are refused like its errors: scikit-learn only warns of a class that
    has fewer rows than there are folds, and of groups that a splitter ignores.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return list(splitter.split(x, labels, groups))
    except (ValueError, UserWarning) as error:
        reason = " ".join(str(error).split())
        name = type(splitter).__name__
        allowed = f"one that divides this data ({reason})"
        fix = "Divide it otherwise: fewer folds, another splitter, or def load_data(fold)."
        if groups is None and "groups" in reason:
            fix = "Give StudyDefinition groups=, a label for each row."
        elif groups is not None and "groups" in reason:
            fix = "Leave groups out, or take a splitter that keeps them together: GroupKFold(5)."
        raise InvalidValue("folds", got=name, allowed=allowed, fix=fix) from None


def _places(number: int, rows: Any, count: int) -> np.ndarray:
    """One part of a fold as places of rows, (rows,), int64. Raises InvalidValue."""
    field, places = f"each part of fold {number}", np.asarray(rows)
    if not places.size:
        raise InvalidValue(field, got="no rows", allowed="at least one row")
    if places.ndim != 1 or not np.issubdtype(places.dtype, np.integer):
        got = f"an array of {places.dtype}, of shape {places.shape}"
        fix = "Of a mask they are np.flatnonzero(mask)." if places.dtype == bool else ""
        raise InvalidValue(field, got=got, allowed="places of rows, from 0", fix=fix)
    if places.min() < 0 or places.max() >= count:
        got = f"place {places.min() if places.min() < 0 else places.max()}"
        raise InvalidValue(
            field, got=got, allowed=f"places of the rows, 0 to {count - 1}"
        )
    return places.astype(np.int64)


def _check_groups(number: int, fold: Fold, groups: np.ndarray, splitter: Any) -> None:
    both = set(groups[fold.train].tolist()) & set(groups[fold.validation].tolist())
    if both:
        got = (
            f"{type(splitter).__name__}, which trains and validates with rows of "
            f"{min(map(str, both))} in fold {number}"
        )
        fix = "Such are GroupKFold(5), StratifiedGroupKFold(5) and LeaveOneGroupOut()."
        raise InvalidValue(
            "groups", got=got, allowed="kept together by the splitter", fix=fix
        )
