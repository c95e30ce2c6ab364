"""State that Keras and TensorFlow keep in a process between trials: seeds, names, settings.

Private names of Keras, read in 3.15.1, and of TensorFlow, read in 2.21; the oldest
versions that are tested are 3.13.2 and 2.18.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import global_seed_generator
from tensorflow.python.eager import context as tf_context

from lrsearch.engine.types import Function, Model, Variable

_SETTINGS = (
    "dtype_policy",
    "flash_attention",
    "interactive_logging",
    "traceback_filtering",
)
_NAMES = "object_name_uids"  # Keras' counters behind dense, dense_1, ...
_counted: WeakKeyDictionary[Any, dict[str, int]] = WeakKeyDictionary()

# Operations whose random state is in a kernel, where no trial can begin anew.
_DRAWS = {
    "Multinomial",
    "ParameterizedTruncatedNormal",
    "RandomGamma",
    "RandomPoissonV2",
    "RandomShuffle",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "StatefulRandomBinomial",
    "TruncatedNormal",
}


def clear_session() -> None:
    """Clear Keras' session, but keep settings of a study file's top, such as mixed precision."""
    settings = {name: global_state.get_global_attribute(name) for name in _SETTINGS}
    keras.backend.clear_session(free_memory=False)
    for name, value in settings.items():
        if value is not None:
            global_state.set_global_attribute(name, value)


@contextmanager
def same_names(maker: Any) -> Iterator[None]:
    """Give the layers that `maker` makes within the same names every time after the first.

    TensorFlow keeps a kernel for every name that a variable ever had: 20 KiB each, 0.3
    MiB a trial of a tiny model. Later calls restart Keras' name counters where the
    first call ended, so that names never collide with layers that `maker` caches.
    Outside, Keras goes on counting, so that no two layers of the user's have one name.
    `maker` is remembered by a weak reference.
    """
    before = dict(global_state.get_global_attribute(_NAMES, default={}))
    with suppress(TypeError):  # weak references to this callable are impossible
        if (known := _counted.get(maker)) is not None:
            global_state.set_global_attribute(_NAMES, defaultdict(int, known))
    try:
        yield
    finally:
        after = dict(global_state.get_global_attribute(_NAMES, default={}))
        with suppress(TypeError):
            _counted.setdefault(maker, after)
        largest = {
            name: max(before.get(name, 0), after.get(name, 0))
            for name in {*before, *after}
        }
        global_state.set_global_attribute(_NAMES, defaultdict(int, largest))


# -- random numbers --------------------------------------------------------------------


def set_seeds(seed: int, *, kernels: bool) -> None:
    """Set every global seed, as `keras.utils.set_random_seed` does.

    Without `kernels`, TensorFlow's kernels keep their state. `tf.random.set_seed`
    throws every kernel away, and with the kernels what TensorFlow made of kept graphs;
    making that again costs 0.15 s a trial for the small model of studies/digits.py.
    Operations that take a seed of their own, as Keras' do, need no new kernels.
    """
    if kernels:
        keras.utils.set_random_seed(seed)
        return
    global_state.set_global_attribute("global_random_seed", seed)
    global_state.set_global_attribute("global_seed_generator", None)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that a study's own code may draw from
    eager = tf_context.context()
    eager._seed, eager._rng = seed, random.Random(seed)  # noqa: S311


def seeds_now() -> tuple[object, ...]:
    """Read the states of Python's, NumPy's, Keras' and TensorFlow's random numbers."""
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - as in `set_seeds`
    keras_seed = global_state.get_global_attribute("global_random_seed")
    keys = repr(numpy_state["state"]["key"].tobytes())
    return random.getstate(), keys, keras_seed, tf_context.context()._seed


def seed_layers(model: Model, seed: int) -> None:
    """Seed every layer that draws, each with its own number that follows from `seed`."""
    draw = random.Random(seed)  # noqa: S311
    for layer in model._flatten_layers():
        for generator in layer._seed_generators:
            generator.state.assign([draw.randrange(1, 10**9), 0])


def draws_of_tensorflow() -> object:
    """Read a value that every eager draw from tf.random without a seed changes.

    `set_seeds` came before.
    """
    return tf_context.context()._rng.getstate()


def seed_state() -> Variable:
    """The variable of Keras' global seed generator, (2,), int64.

    Layers and operations without a seed of their own draw from it.
    """
    with same_names(global_seed_generator):
        return global_seed_generator().state


def adopt_seed_generator(generator: keras.random.SeedGenerator) -> None:
    """Make `generator` the global one, so that a kept graph and other code draw from one state."""
    global_state.set_global_attribute("global_seed_generator", generator)


# -- state that does not begin anew by itself ------------------------------------------


def changed_by_evaluation(model: Model) -> list[Variable]:
    """List the variables that an evaluation may change: metrics, seeds, counters, no weights."""
    weights = {
        id(each)
        for layer in model._flatten_layers()
        for each in layer._trainable_variables
    }
    variables = [*model.variables, *model.metrics_variables, seed_state()]
    return [each for each in variables if id(each) not in weights]


def kernel_draws(concrete: Function) -> list[str]:
    """Name a traced function's operations that draw from a state in their kernel."""
    return sorted(_operations(concrete) & _DRAWS)


def cudnn_layers(concrete: Function) -> list[str]:
    """Name a traced function's recurrent layers that cuDNN runs, on a GPU."""
    return sorted(each for each in _operations(concrete) if each.startswith("CudnnRNN"))


def _operations(concrete: Function) -> set[str]:
    """The kinds of operations in a traced function, those of functions that it calls included."""
    definition = concrete.graph.as_graph_def()
    within = (
        node for function in definition.library.function for node in function.node_def
    )
    return {node.op for node in (*definition.node, *within)}


def other_variables(concrete: Function, known: Iterable[Variable]) -> list[str]:
    """Name a traced function's variables that no Keras variable in `known` has."""
    ours = {id(each.value) for each in known}
    return [each.name for each in concrete.graph.variables if id(each) not in ours]
