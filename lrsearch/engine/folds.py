"""Divides a study's arrays into folds: training and validation rows, the same on every worker.

Knows arrays and splitters, and no models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import tree

from lrsearch.definition import StudyDefinition, is_splitter
from lrsearch.engine.data import Arrays, Data, Split, check_split, splits_of
from lrsearch.engine.splitting import Fold, read_groups, split_rows
from lrsearch.errors import InvalidValue

# Training rows of the smallest fold below this part of the largest one's: numbered by
# size.
_ALIKE = 0.9


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldedArrays:
    """Arrays and their folds; the test split is the same for all of them."""

    whole: Arrays
    test: Split | None
    folds: tuple[Fold, ...]

    def data(self, fold: int) -> Data:
        """The splits of one fold, copied out of the arrays."""
        places = self.folds[fold]
        return Data(
            train=check_split("train", self.whole.rows(places.train).given),
            validation=check_split(
                "validation", self.whole.rows(places.validation).given
            ),
            test=self.test,
        )


def fold_arrays(definition: StudyDefinition, loaded: Any) -> FoldedArrays:
    """Divide what `load_data` returned. Raises InvalidValue for what cannot be divided."""
    parts = splits_of(loaded)
    if parts.get("validation") is not None:
        fix = (
            "The folds are what validates: return (data, None) or (data, None, test). "
            "Or divide the data yourself: def load_data(fold)."
        )
        field, allowed = "the validation split of load_data", "None beside folds"
        raise InvalidValue(field, got="a split", allowed=allowed, fix=fix)
    whole, test = check_split("train", parts["train"]), parts.get("test")
    if not isinstance(whole, Arrays):
        fix = "Divide a dataset yourself: def load_data(fold)."
        raise InvalidValue(
            "what folds divide", got="a dataset", allowed="arrays", fix=fix
        )
    return FoldedArrays(
        whole=whole,
        test=None if test is None else check_split("test", test),
        folds=divide(definition, whole),
    )


def divide(definition: StudyDefinition, whole: Arrays) -> tuple[Fold, ...]:
    """The folds of these arrays, the search's first. Raises InvalidValue.

    Where their training rows differ by more than a tenth, as time-ordered folds' do,
    the largest is the first: a rate that is best for few updates is not best for many.
    """
    if not is_splitter(definition.folds):
        return _plain(definition.folds, whole.examples, definition.seed)
    folds = _split(definition, whole)
    if not _are_equal(folds, _split(definition, whole)):
        got = "one that divides anew at each call"
        allowed = "one that divides the same every time"
        fix = "Give it a seed: random_state=0."
        raise InvalidValue("folds", got=got, allowed=allowed, fix=fix)
    sizes = [len(each.train) for each in folds]
    if min(sizes) < _ALIKE * max(sizes):
        folds.sort(key=lambda each: -len(each.train))
    return tuple(folds)


def _plain(count: int, examples: int, seed: int) -> tuple[Fold, ...]:
    """`count` folds of shuffled rows, whose sizes differ by one at most."""
    if count > examples:
        fix = "Every fold needs a row to validate with."
        raise InvalidValue(
            "folds", got=count, allowed=f"at most the {examples} rows", fix=fix
        )
    order = np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(examples)
    chosen = [np.sort(each) for each in np.array_split(order, count)]
    rows = np.arange(examples)
    return tuple(
        Fold(train=np.setdiff1d(rows, each), validation=each) for each in chosen
    )


def _split(definition: StudyDefinition, whole: Arrays) -> list[Fold]:
    """What the splitter says. Raises InvalidValue."""
    x = next(each for each in tree.flatten(whole.x) if each is not None)
    groups = read_groups(definition.groups, whole.examples)
    return split_rows(definition.folds, x, _labels(whole), groups)


def _are_equal(one: list[Fold], other: list[Fold]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a.train, b.train) and np.array_equal(a.validation, b.validation)
        for a, b in zip(one, other, strict=True)
    )


def _labels(whole: Arrays) -> np.ndarray | None:
    """A label for each row, as a splitter takes them; of one-hot targets their class."""
    found = [np.asarray(each) for each in tree.flatten(whole.y) if each is not None]
    if not found:
        return None
    given = found[0]
    labels = given.reshape(len(given), -1)
    if labels.shape[1] == 1:
        return np.asarray(labels[:, 0])
    is_one_hot = labels.dtype != object and ((labels == 0) | (labels == 1)).all()
    if is_one_hot and (labels.sum(axis=1) == 1).all():
        return np.asarray(labels.argmax(axis=1))
    return given
