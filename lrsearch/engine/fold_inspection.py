"""What an inspection finds of a study's folds: each is loaded once, one after another."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from keras import tree

from lrsearch.engine.data import Arrays, Data, Split
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.errors import InvalidValue


def find_folds(
    loaded: LoadedStudy, accumulation: int
) -> tuple[dict[str, Mapping[str, str]], float | None]:
    """The digests of every fold but the search's, as `Findings.folds`, and the ratio of rows.

    The ratio is that of validation rows to training rows, the mean over the folds; None
    where they are not known. Raises InvalidValue for a fold that cannot be trained on,
    is of other shapes than the first, or holds the same rows as another.
    """
    digests: dict[str, Mapping[str, str]] = {}
    ratios: list[float | None] = []
    for size in _sizes(loaded):
        outline, found = describe(loaded.data(size)), []
        for fold in range(loaded.folds or 0):
            with _naming(fold):
                loaded.check_steps(size, accumulation, fold)
                data = loaded.data(size, fold)
            _check_outline(fold, describe(data), outline)
            ratios.append(_ratio(data))
            found.append(data.digests())
            if fold:
                key = size if loaded.definition.data_depends_on_batch else None
                digests[f"{key}/{fold}"] = found[-1]
        # a dataset's digest knows no rows
        if isinstance(loaded.data(size).train, Arrays):
            _check_rows(loaded, found)
    known = [each for each in ratios if each is not None]
    return digests, statistics.fmean(known) if known and len(known) == len(
        ratios
    ) else None


def _sizes(loaded: LoadedStudy) -> tuple[int | None, ...]:
    sizes = loaded.definition.effective_space().batch_sizes
    return tuple(sizes) if loaded.definition.data_depends_on_batch else (sizes[0],)


def _ratio(data: Data) -> float | None:
    train, validation = data.train.examples, data.validation.examples
    return validation / train if train and validation else None


@contextmanager
def _naming(fold: int) -> Iterator[None]:
    """Name the fold in what is refused; the search's is refused without folds, too."""
    try:
        yield
    except InvalidValue as error:
        if not fold:
            raise
        field = f"in fold {fold} {error.field}"
        got = error.got
        allowed = str(error.allowed)
        raise InvalidValue(field, got=got, allowed=allowed, fix=error.fix) from None


def describe(data: Data) -> dict[str, str]:
    """What a model sees of the splits, by part: `x of the train split` has rows of (8,) float32."""
    return {
        f"{part} of the {name} split": text
        for name, split in data.splits.items()
        for part, text in _parts(split).items()
    }


def _parts(split: Split | None) -> dict[str, str]:
    if split is None:
        return {}
    if isinstance(split, Arrays):
        parts = {"x": split.x, "y": split.y, "sample_weight": split.weight}
        return {
            name: ", ".join(
                _rows(each) for each in tree.flatten(part) if each is not None
            )
            for name, part in parts.items()
            if part is not None
        }
    if isinstance(split.source, tf.data.Dataset):
        spec = split.source.element_spec
        return {"a batch": ", ".join(_rows(each) for each in tree.flatten(spec))}
    return {"a batch": type(split.source).__name__}


def _rows(each: Any) -> str:
    """`rows of (8,) float32`, of an array or of a dataset's batches."""
    if not hasattr(each, "shape") or each.shape is None:
        return type(each).__name__
    shape, kind = each.shape, getattr(each.dtype, "name", each.dtype)
    if isinstance(shape, tf.TensorShape):
        shape = None if shape.rank is None else tuple(shape.as_list())
    return f"rows of {'any shape' if shape is None else shape[1:]} {kind}"


def _check_outline(
    fold: int, found: Mapping[str, str], first: Mapping[str, str]
) -> None:
    """Raise InvalidValue where a model that fits fold 0 might not fit this one."""
    for part in {**first, **found}:
        then, now = (each.get(part, "not there") for each in (first, found))
        if then != now:
            allowed, fix = f"as in fold 0 ({then})", "One model trains on all folds."
            raise InvalidValue(
                f"in fold {fold} {part}", got=now, allowed=allowed, fix=fix
            )


def _check_rows(loaded: LoadedStudy, digests: list[dict[str, str]]) -> None:
    """Raise InvalidValue where folds are no folds: they would promise a noise that they lack."""
    validated = [each["validation"] for each in digests]
    places: dict[tuple[str, str], int] = {}
    got = "the same validation rows in every fold" if len(set(validated)) == 1 else ""
    for fold, each in enumerate(digests):
        earlier = places.setdefault((each["train"], each["validation"]), fold)
        if earlier != fold and not got:
            got = f"the same rows in folds {earlier} and {fold}"
    if got:
        field, fix = "the folds of the splitter", "Each needs rows of its own."
        if loaded.definition.data_depends_on_fold:
            field = "the folds of load_data"
            fix = "Choose the rows by fold, which counts from 0."
        raise InvalidValue(
            field, got=got, allowed="of different validation rows", fix=fix
        )
