"""Which layers give a model's outputs, by the graph that Keras keeps of them; imports no Keras.

Exports write this function into the code that they give. Private names of Keras, read
in 3.15.1; the oldest version that is tested is 3.13.2.
"""

from __future__ import annotations

import re
from typing import Any


def output_layers(model: Any) -> list[str]:
    """Patterns of the paths of the weights that give the outputs: Muon must not orthogonalise them.

    The layer that an output comes from may have none (an activation after the last
    Dense): then those before it count.
    """

    def weighted(tensor: Any) -> set[str]:
        layer, node, _ = tensor._keras_history
        if getattr(layer, "weights", None):
            # a model in a model
            inside = [weighted(each) for each in getattr(layer, "outputs", None) or ()]
            return set().union(*inside) or {layer.name}
        return set().union(
            *(weighted(each) for each in layer._inbound_nodes[node].input_tensors)
        )

    names = set().union(
        *(weighted(each) for each in getattr(model, "outputs", None) or ())
    )
    last = (
        each.name for each in reversed(model.layers) if each.weights or not each.built
    )
    return [f"(^|/){re.escape(name)}/" for name in sorted(names or {next(last)})]
