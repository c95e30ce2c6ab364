"""Everything private of TensorFlow that the engines need. Read in TensorFlow 2.21; the oldest version that is tested is 2.18."""

from __future__ import annotations

from functools import cache
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops.parallel_for import pfor

# Random numbers under a key of each row's own: one call a row, as TensorFlow would do by itself, but with a warning for each.
_ROW_BY_ROW = (
    "StatelessRandomGetKeyCounter",
    "StatelessRandomUniformV2",
    "StatelessRandomUniformIntV2",
    "StatelessRandomUniformFullIntV2",
    "StatelessRandomNormalV2",
    "StatelessTruncatedNormalV2",
)


@cache
def teach_vectorized_map() -> None:
    """Teach `tf.vectorized_map` the one operation of Keras' accuracies that it lacks: argmax looks at the sign's bit.

    Without it every step would loop over the rows one by one.
    """
    known = pfor._pfor_converter_registry  # noqa: SLF001 - a TensorFlow that has learned one keeps its own
    for name, rule in {"Bitcast": _bitcast, **dict.fromkeys(_ROW_BY_ROW, _row_by_row)}.items():
        if name not in known:
            pfor.RegisterPFor(name)(rule)


def _bitcast(inputs: Any) -> Any:
    return pfor.wrap(tf.bitcast(inputs.stacked_input(0), inputs.get_attr("type")), True)  # noqa: FBT003


def _row_by_row(inputs: Any) -> Any:
    return pfor._fallback_converter(inputs)  # noqa: SLF001


def things_created() -> int:
    """A number that every tensor variable made from now on exceeds."""
    return int(ops.uid())


def created_at(variable: Any) -> int:
    """The number under which a Keras variable was created: later ones have higher numbers."""
    return int(str(variable.value._unique_id).rsplit("_", 1)[-1])  # noqa: SLF001
