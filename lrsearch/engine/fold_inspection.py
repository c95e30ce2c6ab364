"""What an inspection finds of a study's folds: each is loaded once, one after another."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from lrsearch.engine.data import Data
from lrsearch.engine.loaded import LoadedStudy


def find_folds(
    loaded: LoadedStudy, accumulation: int
) -> tuple[dict[str, Mapping[str, str]], float | None]:
    """The digests of every fold but the search's, as `Findings.folds`, and the ratio of rows.

    The ratio is that of validation rows to training rows, the mean over the folds; None where they
    are not known. Raises InvalidValue for a fold that cannot be trained on.
    """
    digests: dict[str, Mapping[str, str]] = {}
    ratios: list[float | None] = []
    for size in _sizes(loaded):
        for fold in range(loaded.folds or 0):
            loaded.check_steps(size, accumulation, fold)
            data = loaded.data(size, fold)
            ratios.append(_ratio(data))
            if fold:
                key = size if loaded.definition.data_depends_on_batch else None
                digests[f"{key}/{fold}"] = data.digests()
    known = [each for each in ratios if each is not None]
    return digests, statistics.fmean(known) if known and len(known) == len(ratios) else None


def _sizes(loaded: LoadedStudy) -> tuple[int | None, ...]:
    sizes = loaded.definition.effective_space().batch_sizes
    return tuple(sizes) if loaded.definition.data_depends_on_batch else (sizes[0],)


def _ratio(data: Data) -> float | None:
    train, validation = data.train.examples, data.validation.examples
    return validation / train if train and validation else None
