"""How much useful arithmetic a trial has, by its model's shapes, and how fast this
machine multiplies matrices of these shapes.

    python arithmetic.py WORKLOAD       JSON: flops of a trial, the matmul peak, the batched rate by width (FLOP/s, all threads)

Counted are the matrix products of dense, convolution, attention and recurrent layers:
forward once, and backward twice that (once where nothing before the layer is trained),
for every training example of every epoch; forward for the validation's. A
multiplication and its addition are two. Activations, normalisation, losses and
optimizers are not counted.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from workloads import WORKLOADS, Workload

WIDTHS = (8, 32)  # trials side by side
PEAK_SIZES = (1024, 2048)
SECONDS = 0.15  # at least, of repeating a product


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """`stack` products (rows, inner) x (inner, columns) in a batch's forward pass;
    `first`: its input needs no gradient.
    """

    stack: int
    rows: int
    inner: int
    columns: int
    first: bool = False

    @property
    def flops(self) -> int:
        return 2 * self.stack * self.rows * self.inner * self.columns

    def shapes(self) -> list[tuple[int, int, int]]:
        """(rows, inner, columns) of the forward product and of the gradients of weight and input."""
        forward = (self.rows, self.inner, self.columns)
        weight = (self.inner, self.rows, self.columns)
        return (
            [forward, weight]
            if self.first
            else [forward, weight, (self.rows, self.columns, self.inner)]
        )


def products(model: Any, batch: int) -> list[Product]:
    """The products of one batch, in the layers' order.

    Raises KeyError for a layer with weights that is not in the table.
    """
    found: list[Product] = []
    trained_before = False
    for layer in model.layers:
        if layer.weights:
            found += LAYERS[type(layer).__name__](
                layer, batch, first=not trained_before
            )
            trained_before = True
    return found


def _dense(layer: Any, batch: int, *, first: bool) -> list[Product]:
    inner, columns = layer.kernel.shape
    return [
        Product(
            stack=1,
            rows=batch * math.prod(layer.output.shape[1:-1]),
            inner=inner,
            columns=columns,
            first=first,
        )
    ]


def _convolution(layer: Any, batch: int, *, first: bool) -> list[Product]:
    *window, columns = layer.kernel.shape
    rows = batch * math.prod(layer.output.shape[1:-1])
    return [
        Product(
            stack=1, rows=rows, inner=math.prod(window), columns=columns, first=first
        )
    ]


def _attention(layer: Any, batch: int, *, first: bool) -> list[Product]:
    _, length, width = layer.output.shape
    heads, depth = layer.num_heads, layer.key_dim
    project = Product(
        stack=1, rows=batch * length, inner=width, columns=heads * depth, first=first
    )
    score = Product(stack=batch * heads, rows=length, inner=depth, columns=length)
    mix = Product(stack=batch * heads, rows=length, inner=length, columns=depth)
    back = Product(stack=1, rows=batch * length, inner=heads * depth, columns=width)
    return [project, project, project, score, mix, back]


def _gru(layer: Any, batch: int, *, first: bool) -> list[Product]:
    length = layer.output.shape[1]
    sizes = [
        (layer.cell.kernel.shape, first),
        (layer.cell.recurrent_kernel.shape, False),
    ]
    return [
        Product(stack=length, rows=batch, inner=inner, columns=columns, first=new)
        for (inner, columns), new in sizes
    ]


def _nothing(layer: Any, batch: int, *, first: bool) -> list[Product]:
    del layer, batch, first
    return []


LAYERS: dict[str, Callable[..., list[Product]]] = {
    "Dense": _dense,
    "Conv2D": _convolution,
    "MultiHeadAttention": _attention,
    "GRU": _gru,
    "Embedding": _nothing,
    "LayerNormalization": _nothing,
}


def trial_flops(model: Any, workload: Workload, *, train: int, validation: int) -> int:
    """Useful FLOPs of a whole trial; `train` and `validation` are numbers of examples."""
    one = products(model, 1)
    forward = sum(each.flops for each in one)
    both = sum(each.flops * len(each.shapes()) for each in one)
    return workload.epochs * (train * both + validation * forward)


# -- measured --------------------------------------------------------------------------


def peak() -> float:
    """The best FLOP/s of one large float32 matmul."""
    return max(2 * size**3 / seconds_of((size, size, size), 1) for size in PEAK_SIZES)


def batched(model: Any, batch: int, width: int) -> float:
    """FLOP/s of a training step's products of `width` trials side by side, one batched
    matmul a product, no other work.
    """
    wanted = Counter(
        (each.stack, shape)
        for each in products(model, batch)
        for shape in each.shapes()
    )
    seconds = flops = 0.0
    for (stack, shape), times in wanted.items():
        seconds += times * seconds_of(shape, stack * width)
        flops += times * 2 * stack * width * math.prod(shape)
    return flops / seconds


def seconds_of(shape: tuple[int, int, int], stack: int) -> float:
    """The median of repeated batched matmuls: (stack, rows, inner) x (stack, inner, columns)."""
    import tensorflow as tf

    rows, inner, columns = shape
    left = tf.random.normal((stack, rows, inner))
    right = tf.random.normal((stack, inner, columns))
    product = tf.function(tf.matmul)
    product(left, right)
    spent: list[float] = []
    while sum(spent) < SECONDS or len(spent) < 3:
        began = time.perf_counter()
        float(product(left, right)[0, 0, 0])  # waits for it, whatever the device
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def report(name: str) -> dict[str, Any]:
    workload = WORKLOADS[name]
    (train, _), (validation, _) = workload.data()
    model = workload.model()
    widths = {
        str(width): batched(model, workload.batch_size, width) for width in WIDTHS
    }
    flops = trial_flops(model, workload, train=len(train), validation=len(validation))
    return {"flops": flops, "peak": peak(), "batched": widths}


if __name__ == "__main__":
    print(json.dumps(report(sys.argv[1])), flush=True)
