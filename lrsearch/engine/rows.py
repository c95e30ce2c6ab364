"""The rows of a stack, and the part of a stack's state that belongs to some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import tensorflow as tf
from keras import tree

from lrsearch.engine.attempt import Attempt, Stop
from lrsearch.engine.row_keeping import RowKeeper
from lrsearch.engine.stacked import State
from lrsearch.engine.types import Structure


@final
@dataclass(eq=False, kw_only=True)
class Row:
    """An attempt in a stack."""

    attempt: Attempt
    scores: RowKeeper
    family: int  # its place among the program's families
    hyper: np.ndarray  # (1, varying), float64
    # (epochs * batches,), float64: the rate of every batch of the run
    rates: np.ndarray
    stop: Stop | None = None  # how it ended


def select_rows(state: State, rows: Sequence[Row], chosen: Sequence[Row]) -> State:
    """The state of the chosen rows, out of the state of `rows`; a row may be chosen repeatedly."""
    places = [rows.index(row) for row in chosen]
    slots = []
    for family, own in enumerate(state["slots"]):
        known = of_family(rows, family)
        slots.append(
            gather(own, [known.index(row) for row in of_family(chosen, family)])
        )
    shared = {name: gather(state[name], places) for name in ("weights", "rest")}
    return {**shared, "slots": slots}


def of_family(rows: Sequence[Row], family: int) -> list[Row]:
    return [row for row in rows if row.family == family]


def concatenate(*parts: Structure) -> Structure:
    """Structures of tensors, one below the other: their rows add up."""
    return tree.map_structure(lambda *each: tf.concat(each, axis=0), *parts)


def gather(part: Structure, places: Sequence[int]) -> Structure:
    """These rows of every tensor, in this order."""
    chosen = np.array(places, np.int64)
    return tree.map_structure(lambda each: tf.gather(each, chosen), part)
