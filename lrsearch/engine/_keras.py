"""Everything private of Keras, and of TensorFlow, that the engines need.

Read in Keras 3.15.1 and TensorFlow 2.21; the oldest versions that are tested are 3.13.2 and 2.18.
"""

from __future__ import annotations

import inspect
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.backend.tensorflow import trainer as tensorflow_trainer
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.random.seed_generator import global_seed_generator
from keras.src.trainers.data_adapters import array_slicing, data_adapter_utils
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.src.trainers.trainer import Trainer
from tensorflow.python.eager import context as tf_context

LossScaleOptimizer = keras.optimizers.LossScaleOptimizer


def overrides_compile(model: Any) -> bool:
    """Whether the model's class has a `compile` of its own."""
    return type(model).compile is not Trainer.compile


def own_loop(model: Any) -> str:
    """The first part of Keras' training loop that the model's class replaces, which only `fit`
    would call; or empty.
    """
    parts = ("fit", "evaluate", "make_train_function", "make_test_function")
    return next(
        (name for name in parts if getattr(type(model), name) is not getattr(keras.Model, name)), ""
    )


def own_metrics(model: Any) -> bool:
    """Whether the model says itself what its steps log."""
    return type(model).compute_metrics is not keras.Model.compute_metrics


def scaling_of(optimizer: Any) -> dict[str, Any]:
    """A loss scaling's arguments."""
    return {
        "initial_scale": float(optimizer.initial_scale),
        "dynamic_growth_steps": int(optimizer.dynamic_growth_steps),
    }


def scaled_like(yours: Any, optimizer: Any) -> Any:
    """`optimizer` in a loss scaling of the same options as yours."""
    return LossScaleOptimizer(optimizer, **scaling_of(yours))


_SETTINGS = ("dtype_policy", "flash_attention", "interactive_logging", "traceback_filtering")


def clear_session() -> None:
    """What `keras.backend.clear_session` does, but for what a study file may have set at its top: a
    policy of mixed precision.
    """
    kept = {
        name: found
        for name in _SETTINGS
        if (found := global_state.get_global_attribute(name)) is not None
    }
    keras.backend.clear_session(free_memory=False)
    for name, value in kept.items():
        global_state.set_global_attribute(name, value)


def needs_loss_scaling(model: Any) -> bool:
    """Whether `compile` would have wrapped the optimizer for mixed_float16."""
    return bool(model.dtype_policy.name == "mixed_float16")


def copy_decay_exclusions(source: Any, target: Any) -> None:
    """Leave out of weight decay what `source` leaves out; before `target` is built."""
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if getattr(source, name, None):
            setattr(target, name, getattr(source, name))


def decay_exclusions(optimizer: Any, variables: list[Any]) -> dict[str, Any]:
    """What `exclude_from_weight_decay` was told, as JSON: patterns of names, and places in
    `variables`; empty for nothing.
    """
    pattern = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    ids = getattr(optimizer, "_exclude_from_weight_decay", None) or ()
    places = [place for place, each in enumerate(variables) if optimizer._var_key(each) in ids]  # noqa: SLF001
    return ({"var_names": [pattern.pattern]} if pattern else {}) | (
        {"places": places} if places else {}
    )


def optimizer_state(optimizer: Any) -> list[Any]:
    """The optimizer's variables; a searched optimizer's rate is none of its state, whether a
    schedule or a fed variable.
    """
    wrapped = optimizer.inner_optimizer if isinstance(optimizer, LossScaleOptimizer) else optimizer
    fed = getattr(wrapped, "lrsearch_feeds_rate", False)
    return [each for each in optimizer.variables if not (fed and each is wrapped._learning_rate)]  # noqa: SLF001


def leave_out_reduction(optimizer: Any) -> None:
    """Hand gradients on as they are, which is what their reduction over a single replica does;
    never under a strategy.

    TensorFlow's reduction registers a gradient function in every trace and keeps it for ever, and
    with it the trace and its model: 3.5 MiB a trial of the smallest model (TensorFlow 2.21).
    """
    optimizer._all_reduce_sum_gradients = list  # noqa: SLF001


def strategy_of(model: Any) -> Any | None:
    """The tf.distribute strategy that the model was built under, or None."""
    return getattr(model, "_distribute_strategy", None)


def scope_of(model: Any) -> Any:
    """The scope of the model's strategy, which variables must be made in; elsewhere a context
    without effect.
    """
    strategy = strategy_of(model)
    return nullcontext() if strategy is None else strategy.scope()


def unsupported_strategy(model: Any) -> str:
    """What distributes the model and cannot be trained here, or empty."""
    strategy = strategy_of(model)
    if keras.distribution.distribution() is not None:
        return type(keras.distribution.distribution()).__name__
    mirrored = strategy is None or type(strategy) is tf.distribute.MirroredStrategy
    return "" if mirrored else type(strategy).__name__


def seed_layers(model: Any, seed: int) -> None:
    """Let every layer that draws begin with numbers of `seed`, each with its own."""
    generators = [each for layer in model._flatten_layers() for each in layer._seed_generators]  # noqa: SLF001
    draw = random.Random(seed)  # noqa: S311
    for generator in generators:
        generator.state.assign([draw.randrange(1, 10**9), 0])


def seeds_now() -> tuple[object, ...]:
    """Where Python's, NumPy's, Keras' and TensorFlow's random numbers stand."""
    numpy_state = repr(np.random.get_state(legacy=False)["state"]["key"].tobytes())  # noqa: NPY002 - as in `set_seeds`
    keras_seed = global_state.get_global_attribute("global_random_seed")
    return random.getstate(), numpy_state, keras_seed, tf_context.context()._seed  # noqa: SLF001


def compile_again(model: Any, optimizer: Any) -> None:
    """Compile with the same arguments but another optimizer: what `save` writes is what `compile`
    was given.
    """
    model.compile(**{**dict(model._compile_config.config), "optimizer": optimizer})  # noqa: SLF001


_NAMES = "object_name_uids"  # Keras' counters behind dense, dense_1, ...
_counted: WeakKeyDictionary[Any, dict[str, int]] = WeakKeyDictionary()


@contextmanager
def same_names(maker: Any) -> Iterator[None]:
    """Within, what is made gets the same names every time after the first, by `maker` (weakly
    kept).

    TensorFlow keeps a kernel for every name that a variable ever had: 20 KiB each, 0.3 MiB a trial
    of a tiny model. Outside, Keras goes on counting, so that no layer of the user's own ever gets a
    name that another has. Counters of the first time's end are those of every later beginning: what
    a maker keeps from its first time has other names.
    """
    before = dict(global_state.get_global_attribute(_NAMES, default={}))
    with suppress(TypeError):  # what cannot be kept weakly is not known the next time
        if (known := _counted.get(maker)) is not None:
            global_state.set_global_attribute(_NAMES, defaultdict(int, known))
    try:
        yield
    finally:
        after = dict(global_state.get_global_attribute(_NAMES, default={}))
        with suppress(TypeError):
            _counted.setdefault(maker, after)
        largest = {name: max(before.get(name, 0), after.get(name, 0)) for name in {*before, *after}}
        global_state.set_global_attribute(_NAMES, defaultdict(int, largest))


@contextmanager
def noting_auto_jit() -> Iterator[None]:
    """Within, a model notes whether its compile leaves jit_compile to Keras, whose record of it
    keeps only what comes of that.
    """
    own = Trainer.compile
    signature = inspect.signature(own)

    def noted(model: Any, *given: Any, **named: Any) -> None:
        model.lrsearch_auto_jit = (
            signature.bind(model, *given, **named).arguments.get("jit_compile", "auto") == "auto"
        )
        own(model, *given, **named)

    Trainer.compile = noted
    try:
        yield
    finally:
        Trainer.compile = own


def trains_under_jit(model: Any) -> bool:
    """Whether `fit` would compile with XLA: the user asked for it, or left it to Keras, which does
    so on a GPU.
    """
    return dict(model._compile_config.config).get("jit_compile") is True  # noqa: SLF001


def asked_for_jit(model: Any) -> bool:
    """Whether the user's own compile says jit_compile=True, in a model that was made under
    `noting_auto_jit`.
    """
    return trains_under_jit(model) and not getattr(model, "lrsearch_auto_jit", False)


def set_seeds(seed: int, *, kernels: bool) -> None:
    """What `keras.utils.set_random_seed` does; without `kernels`, TensorFlow's kernels keep the
    state that they have.

    `tf.random.set_seed` throws every kernel away, and with them what TensorFlow made of kept
    graphs: making it anew costs 0.15 s a trial for the small model of studies/digits.py. Nothing
    that takes a seed of its own, as Keras' operations do, needs it.
    """
    if kernels:
        keras.utils.set_random_seed(seed)
        return
    global_state.set_global_attribute("global_random_seed", seed)
    global_state.set_global_attribute("global_seed_generator", None)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that a study's own code may draw from
    eager = tf_context.context()
    eager._seed, eager._rng = seed, random.Random(seed)  # noqa: SLF001, S311


def draws_of_tensorflow() -> object:
    """Changes with every eager draw from tf.random that has no seed of its own; after `set_seeds`."""
    return tf_context.context()._rng.getstate()  # noqa: SLF001


def adopt_seed_generator(generator: Any) -> None:
    """Make `generator` the global one, so that a kept graph and what runs outside it draw from one
    state.
    """
    global_state.set_global_attribute("global_seed_generator", generator)


def flat_logs(results: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics' results under the names that `fit` logs them: a metric of several results gives
    several.
    """
    found: dict[str, Any] = {}
    for name, value in results.items():
        found |= flat_logs(value) if isinstance(value, Mapping) else {name: value}
    return found


# Operations whose state sits in a kernel, where no trial can begin it anew.
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


def kernel_draws(concrete: Any) -> list[str]:
    """The operations of a traced function that draw from a state in their kernel, by name."""
    definition = concrete.graph.as_graph_def()
    inner = (node for function in definition.library.function for node in function.node_def)
    return sorted({node.op for node in (*definition.node, *inner)} & _DRAWS)


def other_variables(concrete: Any, known: Iterable[Any]) -> list[str]:
    """The names of a traced function's variables that are none of these Keras variables'."""
    ours = {id(each.value) for each in known}
    return [each.name for each in concrete.graph.variables if id(each) not in ours]


class EpochIterator(TFEpochIterator):
    """Keras' own iterator over the epochs of any input, which can begin within an epoch."""

    _asked: tuple[int, int, Callable[[Any], Any] | None] | None = None
    # until the first epoch begins
    _within: tuple[int, int, Callable[[Any], Any] | None] | None = None
    rest: Any = None  # the adapter of a PyDataset's pass that was begun before

    def begin_within(self, *, done: int, seen: int, first: Callable[[Any], Any] | None) -> None:
        """Let the first epoch begin after `done` batches, at the place `seen` of its pass over the
        data.

        `first` makes the pass's iterator, which stands there; without it the data itself begins
        there.
        """
        self._asked = self._within = (done, seen, first)

    def reset(self) -> None:
        """Begin anew: under a strategy `fit` has looked at a batch by now, to build the model."""
        super().reset()
        self._within = self._asked

    def _enumerate_iterator(self) -> Iterator[Any]:
        within, self._within = self._within, None
        done = 0
        if within is not None:
            done, seen, first = within
            self._current_iterator = iter(self._get_iterator()) if first is None else first(self)
            self._steps_seen = seen - done  # Keras counts the steps that are left out below
        for found in super()._enumerate_iterator():
            if found[0] >= done:
                yield found


class _Rest(keras.utils.PyDataset):
    """A PyDataset from one of its batches on."""

    def __init__(self, source: Any, place: int) -> None:
        super().__init__(
            workers=source.workers,
            use_multiprocessing=source.use_multiprocessing,
            max_queue_size=source.max_queue_size,
        )
        self._source, self._place = source, place

    @property
    def num_batches(self) -> int | None:
        count = self._source.num_batches
        return None if count is None else count - self._place

    def __getitem__(self, index: int) -> Any:
        return self._source[self._place + index]


def rest_of_pass(iterator: EpochIterator, *, place: int) -> Any:
    """An iterator over a PyDataset's batches from `place` on, by as many workers as it asks for."""
    adapter = iterator.data_adapter
    iterator.rest = PyDatasetAdapter(
        _Rest(adapter.py_dataset, place), class_weight=adapter.class_weight
    )
    iterator.rest._output_signature = adapter._output_signature  # noqa: SLF001
    return iter(iterator.rest.get_tf_dataset())


def epoch_iterator(**options: Any) -> Any:
    """An iterator for graphs: adapters, workers, class weights and steps are as in `fit`."""
    return EpochIterator(distribute_strategy=tf.distribute.get_strategy(), **options)


@contextmanager
def taking_epoch_iterator(take: Callable[[EpochIterator], None]) -> Iterator[None]:
    """Within, the next `fit` trains by an iterator that `take` is given before its first epoch."""

    def made(*given: Any, **named: Any) -> EpochIterator:
        # the validation's, and those of callbacks, are Keras' own
        tensorflow_trainer.TFEpochIterator = TFEpochIterator
        iterator = EpochIterator(*given, **named)
        take(iterator)
        return iterator

    tensorflow_trainer.TFEpochIterator = made
    try:
        yield
    finally:
        tensorflow_trainer.TFEpochIterator = TFEpochIterator


def dataset_of(iterator: EpochIterator) -> Any:
    """What an epoch iterator makes its passes over."""
    return iterator._get_iterator()  # noqa: SLF001


def current_iterator(iterator: EpochIterator) -> Any:
    """The pass that is under way, or that comes next."""
    return iterator._current_iterator  # noqa: SLF001


def batches_seen(iterator: EpochIterator) -> int:
    """How many batches of the pass under way Keras has counted."""
    return int(iterator._steps_seen)  # noqa: SLF001


def element_spec(iterator: Any) -> Any:
    """The types and shapes of an epoch iterator's batches."""
    return iterator._distributed_dataset.element_spec  # noqa: SLF001


def batches_left(iterator: Any, place: int) -> int:
    """How many batches the iterator will still give in this epoch after the one at `place`, where
    the data does not run out.
    """
    steps, known = iterator.steps_per_epoch, iterator._num_batches  # noqa: SLF001
    bounds = [steps - place - 1] if steps else []
    bounds += [known - iterator._steps_seen] if known else []  # noqa: SLF001
    return min(bounds, default=sys.maxsize)


def ran_out(iterator: Any, missing: int) -> None:
    """The data ended `missing` batches before those that the iterator counts: what `fit` does then,
    its warning included.
    """
    iterator._steps_seen -= missing - 1  # noqa: SLF001 - Keras counts the one that was not there
    with iterator.catch_stop_iteration():
        raise StopIteration


def stop_workers(iterator: Any) -> None:
    """End the threads or processes of a PyDataset whose epoch was left early."""
    for adapter in (iterator.data_adapter, iterator.rest):
        enqueuer = getattr(adapter, "enqueuer", None)
        if enqueuer is not None and enqueuer.is_running():
            with suppress(Exception):
                enqueuer.stop()


def without_optionals(model: Any, step: Any) -> Any:
    """`step`, given None where a batch of a stream has an empty Optional in its place."""
    return model._autoconvert_optionals(step)  # noqa: SLF001


def tracks_each_loss(model: Any) -> bool:
    """Whether several outputs have a mean of their loss each; it is weighted by the batch's size
    where that is static.
    """
    return bool(getattr(model._compile_loss, "metrics", ()))  # noqa: SLF001


def finalize(model: Any) -> None:
    """What `fit` does after the last epoch: weights become their moving average where the optimizer
    keeps one.
    """
    model.optimizer.finalize_variable_values(model.trainable_weights)


def holds_moving_average(model: Any) -> bool:
    """Whether the model's weights are the moving average that its optimizer keeps of them, as after
    `finalize`.
    """
    optimizer = (
        model.optimizer.inner_optimizer
        if isinstance(model.optimizer, LossScaleOptimizer)
        else model.optimizer
    )
    if not optimizer.use_ema or not optimizer.built:
        return False
    pairs = zip(model.trainable_variables, optimizer._model_variables_moving_average, strict=True)  # noqa: SLF001
    return all(np.array_equal(number_array(one), number_array(other)) for one, other in pairs)


def number_array(value: Any) -> np.ndarray:
    """A variable's or tensor's value; of a mirrored variable, that of its first copy."""
    return np.asarray(keras.ops.convert_to_numpy(value))


def number(value: Any) -> float:
    """A rate as a number, whether a variable, a tensor or a number."""
    return float(number_array(value))


def adapted_array(value: Any) -> Any:
    """What `fit` makes of an array before it trains on it: floats are brought to floatx, a pandas
    series gets a second axis.
    """
    return array_slicing.convert_to_sliceable(value, target_backend="tensorflow")


def class_weights(y: Any, weights: dict[int, float]) -> Any:
    """The sample weights that `fit` makes of class weights."""
    return data_adapter_utils.class_weight_to_sample_weights(y, weights)


def rate_of(optimizer: Any) -> Any:
    """The optimizer's learning rate as it was given: a schedule, a variable, or a function of
    nothing.
    """
    return optimizer._learning_rate  # noqa: SLF001


def put_rate_back(optimizer: Any, variable: Any, value: float) -> None:
    """Let the optimizer's rate be that variable again, with that value, whatever it has become."""
    optimizer._learning_rate = variable  # noqa: SLF001
    variable.assign(value)


def rate_is_function(optimizer: Any) -> bool:
    """Whether the rate comes of a function without arguments, which Keras calls while it traces."""
    rate = rate_of(optimizer)
    return callable(rate) and not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)


def is_built(model: Any) -> bool:
    """Whether every variable of the model's layers is there."""
    return all(layer.built for layer in model._flatten_layers())  # noqa: SLF001


def build_layers(model: Any, batch: Any) -> None:
    """Make every variable of the model's layers; the batch shapes them."""
    if not is_built(model):
        model(keras.utils.unpack_x_y_sample_weight(batch)[0])


def build_fully(model: Any, batch: Any) -> None:
    """Make every variable of the model and its optimizer, without a step."""
    with scope_of(model):
        build_layers(model, batch)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)


def set_last_logs(model: Any, logs: Mapping[str, float]) -> None:
    """Let `fit` know what its steps logged last, for an epoch whose steps are all done: it would
    log none of them.
    """
    own = model._get_metrics_result_or_logs  # noqa: SLF001
    model._get_metrics_result_or_logs = lambda found: own(found or dict(logs))  # noqa: SLF001


def changed_by_evaluation(model: Any) -> list[Any]:
    """The variables that an evaluation may change: metrics, seeds and what layers count, but no
    weights, trained or frozen.
    """
    weights = {id(each) for layer in model._flatten_layers() for each in layer._trainable_variables}  # noqa: SLF001
    return [
        each
        for each in [*model.variables, *model.metrics_variables, seed_state()]
        if id(each) not in weights
    ]


def seed_state() -> Any:
    """The variable behind Keras' global seed generator, which layers and ops without a seed of
    their own draw from.
    """
    with same_names(global_seed_generator):
        return global_seed_generator().state


def averaged_weights(optimizer: Any, variables: list[Any]) -> list[Any] | None:
    """ScheduleFreeAdamW's averaged weights, which are what it means to be evaluated at; None before
    its first step.

    It trains at y = (1 - beta_1) z + beta_1 x and keeps y and z: hence x (Defazio 2024, equation
    1).
    """
    if not optimizer.built:
        return None
    pairs = zip(variables, optimizer._momentums, strict=True)  # noqa: SLF001
    return [(y - (1 - optimizer.beta_1) * z) / optimizer.beta_1 for y, z in pairs]


def output_names(model: Any) -> list[str]:
    """The outputs' names, as they stand before their metrics' names in what an epoch logs."""
    compiled = (getattr(model, each, None) for each in ("_compile_metrics", "_compile_loss"))
    found = [
        getattr(model, "output_names", None),
        *(getattr(each, "output_names", None) for each in compiled),
    ]
    return [str(name) for names in found for name in names or ()]


def known_direction(metric: Any) -> str | None:
    """Which way a Keras metric improves, where Keras knows: "up" or "down"."""
    found = getattr(metric, "_direction", None)
    return found if found in {"up", "down"} else None
