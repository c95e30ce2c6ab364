"""Studies of known size, trained by any engine through its contract, and how far two
trainings are apart.

A cell is one training to compare: a model, an optimizer, a variant of what surrounds
them, and a float type.
"""

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from lrsearch import StudyDefinition
from lrsearch.engine import create_engine, open_study
from lrsearch.space import OPTIMIZERS
from lrsearch.values import Outcome, Save, Setting, TrialSpec, Verdict

BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What surrounds the optimizer.

    `clipping` and `ema` are of the user's own compile and carried over.
    """

    name: str
    decay: bool = False
    clipping: Mapping[str, float] = field(default_factory=dict)
    accumulation: int = 1
    batch_norm: bool = False  # of the MLP; the other models have what they have
    ema: bool = False
    jit: bool = False

    __hash__ = object.__hash__  # every variant is one row of the table below


# Every pair of (decay, clipping, accumulation, batch norm) in every combination of on
# and off.
VARIANTS = {
    each.name: each
    for each in (
        Variant(name="plain"),
        Variant(
            name="clipnorm_accumulation_norm",
            clipping={"clipnorm": 0.1},
            accumulation=2,
            batch_norm=True,
        ),
        Variant(
            name="decay_accumulation_norm", decay=True, accumulation=3, batch_norm=True
        ),
        Variant(
            name="decay_global_clipnorm_ema_norm",
            decay=True,
            clipping={"global_clipnorm": 0.2},
            batch_norm=True,
            ema=True,
        ),
        Variant(
            name="decay_clipvalue_accumulation",
            decay=True,
            clipping={"clipvalue": 0.05},
            accumulation=2,
        ),
        Variant(name="decay_norm_jit", decay=True, batch_norm=True, jit=True),
    )
}
PAIRWISE = tuple(name for name in VARIANTS if not name.endswith("_jit"))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training to compare.

    `updates` are those of one epoch: 10 for states after 10 and 50, 1 for the state
    after one.
    """

    model: str
    optimizer: str
    variant: str
    floatx: str = "float64"
    updates: int = 10
    dropout: float = 0.0
    shuffle: bool = True
    rearranged: int = 0  # seed of a permutation within each batch; 0 for none

    @property
    def epochs(self) -> int:
        return 6 if self.updates > 1 else 2  # the last epoch offers no snapshot


# -- data ------------------------------------------------------------------------------


def numbers(random, count):
    x = random.normal(size=(count, 5))
    return x, np.tanh(2 * x[:, :1] - x[:, 1:2] * x[:, 2:3])


def images(random, count):
    x = random.normal(size=(count, 6, 6, 1))
    return x, np.digitize(x.mean(axis=(1, 2, 3)), [-0.06, 0.06])


def tokens(random, count):
    # of ten: the tenth row of the embedding sees no gradient
    x = random.integers(0, 9, size=(count, 5))
    return x, (x[:, 0] + x[:, 1]) % 3


def series(random, count):
    x = random.normal(size=(count, 6, 3))
    return x, np.tanh(x[:, :, :1].sum(axis=1) * x[:, -1, 1:2])


# -- models ----------------------------------------------------------------------------
# No weight has a gradient that is zero but for rounding (a bias before batch normalisation, a key's bias in attention): sign and
# norm rules blow such noise up to full updates, in which no two orders of summation agree, in whatever precision.


def mlp(cell):
    """With dropout its start values are always the same, so that dropout and the data
    order alone spread the final values.
    """
    layers, variant = keras.layers, VARIANTS[cell.variant]
    start = (
        {"kernel_initializer": keras.initializers.GlorotUniform(seed=3)}
        if cell.dropout
        else {}
    )
    norm = [layers.BatchNormalization()] if variant.batch_norm else []
    drop = [layers.Dropout(cell.dropout)] if cell.dropout else []
    hidden = [
        layers.Dense(8, use_bias=not norm, **start),
        *norm,
        layers.Activation("relu"),
        *drop,
    ]
    return keras.Sequential([layers.Input((5,)), *hidden, layers.Dense(1, **start)])


def cnn(cell):
    layers = keras.layers
    hidden = [
        layers.Conv2D(4, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.MaxPooling2D(),
    ]
    return keras.Sequential(
        [layers.Input((6, 6, 1)), *hidden, layers.Flatten(), layers.Dense(3, "softmax")]
    )


def transformer(cell):
    layers = keras.layers
    inputs = layers.Input((5,), dtype="int64")
    x = layers.Embedding(10, 8)(inputs)
    x = layers.LayerNormalization()(
        x + layers.MultiHeadAttention(2, 4, use_bias=False)(x, x)
    )
    x = layers.LayerNormalization()(x + layers.Dense(8)(layers.Dense(12, "gelu")(x)))
    return keras.Model(
        inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(x))
    )


def gru(cell):
    return keras.Sequential(
        [keras.layers.Input((6, 3)), keras.layers.GRU(5), keras.layers.Dense(1)]
    )


def pretrained(cell):
    """A frozen part whose weights come from elsewhere, batch normalisation included,
    behind a Normalization layer that was adapted.
    """
    layers, random = keras.layers, np.random.default_rng(3)
    base = keras.Sequential(
        [layers.Input((5,)), layers.Dense(6, "tanh"), layers.BatchNormalization()]
    )
    base.set_weights(
        [random.uniform(0.5, 1.5, size=each.shape) for each in base.weights]
    )
    base.trainable = False
    normalization = layers.Normalization()
    normalization.adapt(3 * numbers(random, 50)[0] + 1)
    return keras.Sequential(
        [
            layers.Input((5,)),
            normalization,
            base,
            layers.Dense(4, "relu"),
            layers.Dense(1),
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Model:
    build: Callable[[Cell], Any]
    data: Callable[[Any, int], tuple[Any, Any]]
    loss: str = "mse"


MODELS = {
    "mlp": Model(build=mlp, data=numbers),
    "cnn": Model(build=cnn, data=images, loss="sparse_categorical_crossentropy"),
    "transformer": Model(
        build=transformer, data=tokens, loss="sparse_categorical_crossentropy"
    ),
    "gru": Model(build=gru, data=series),
    "pretrained": Model(build=pretrained, data=numbers),
}


# -- a cell's study --------------------------------------------------------------------


def study(cell: Cell) -> StudyDefinition:
    """The cell's study; the epoch's last batch is smaller than the others."""
    kind, variant = MODELS[cell.model], VARIANTS[cell.variant]

    def build_model():
        model = kind.build(cell)
        ema = {"use_ema": True, "ema_momentum": 0.9} if variant.ema else {}
        optimizer = keras.optimizers.Adam(1e-3, **variant.clipping, **ema)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        model.compile(
            optimizer,
            kind.loss,
            metrics=["mae"] if kind.loss == "mse" else ["accuracy"],
            jit_compile=variant.jit,
        )
        return model

    def load_data():
        x, y = kind.data(
            np.random.default_rng(1), cell.updates * variant.accumulation * BATCH - 2
        )
        if cell.rearranged:
            order = _rearranged(len(x), cell.rearranged)
            x, y = x[order], y[order]
        train, validation = (x, y), kind.data(np.random.default_rng(2), 11)
        return [
            [_as_float(part, cell.floatx) for part in split]
            for split in (train, validation)
        ]

    return StudyDefinition(
        objective="val_loss",
        direction="minimize",
        epochs=cell.epochs,
        batch_size=BATCH,
        shuffle=cell.shuffle,
        gradient_accumulation_steps=variant.accumulation,
        build_model=build_model,
        load_data=load_data,
    )


def _as_float(array, floatx):
    return array.astype(floatx) if np.issubdtype(array.dtype, np.floating) else array


def _rearranged(count, seed):
    """An order that permutes within batches alone."""
    random = np.random.default_rng(seed)
    return np.concatenate(
        [
            random.permutation(np.arange(begin, min(begin + BATCH, count)))
            for begin in range(0, count, BATCH)
        ]
    )


def own_spec(cell: Cell, *, trial_id: int = 1, seed: int = 7) -> TrialSpec:
    """The cell's trial, at the optimizer's reference rate under a warm-up."""
    row = OPTIMIZERS[cell.optimizer]
    hyper = {
        name: knob.default
        for name, knob in row.hyper.items()
        if name != "independent_weight_decay"
    }
    if VARIANTS[cell.variant].decay:
        # Ftrl's own kind of decay
        hyper[
            "weight_decay" if "weight_decay" in hyper else "l2_regularization_strength"
        ] = 0.05
    setting = Setting(
        optimizer=cell.optimizer,
        learning_rate=row.reference,
        schedule="cosine",
        batch_size=BATCH,
        shape={"warmup": 0.2, "final": 0.1},
        hyper=hyper,
    )
    return TrialSpec(
        trial_id=trial_id, attempt=1, label="the cell's", setting=setting, seed=seed
    )


def with_neighbour(own: TrialSpec) -> list[TrialSpec]:
    """The trial, with one before it or beside it whose seed, rate and schedule differ,
    and which must leave no trace in it.
    """
    other = replace(
        own.setting, learning_rate=own.setting.learning_rate / 3, schedule="linear"
    )
    return [replace(own, trial_id=-own.trial_id, setting=other, seed=own.seed + 1), own]


# -- training --------------------------------------------------------------------------

State = Mapping[str, np.ndarray]


@dataclass(kw_only=True)
class Trained:
    """How the cell's trial ended, and its state by updates done."""

    outcome: Outcome
    states: Mapping[int, State]


@contextlib.contextmanager
def floating(floatx):
    """Keras computes in `floatx` meanwhile."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


# a reference is trained once for all engines that are held against it
@functools.lru_cache(maxsize=16)
def trained(engine: str, cell: Cell) -> Trained:
    """The cell's trial, trained by the engine through its contract; every engine but
    the reference has a neighbour to keep apart.
    """
    states, own = {}, own_spec(cell)

    def save(progress, take):
        if progress.epoch_end and progress.trial_id == own.trial_id:
            states[progress.step] = take().arrays

    outcomes = run(
        engine, cell, [own] if engine == "fit" else with_neighbour(own), save
    )
    return Trained(outcome=outcomes[own.trial_id], states=states)


@functools.lru_cache(maxsize=16)
def trained_together(engine: str, cells: tuple[Cell, ...]) -> dict[Cell, Trained]:
    """Cells that differ in their optimizers alone, each with its neighbour, handed to
    one engine at once.
    """
    own = {
        place: own_spec(cell, trial_id=place)
        for place, cell in enumerate(cells, start=1)
    }
    states: dict[int, dict[int, State]] = {place: {} for place in own}

    def save(progress, take):
        if progress.epoch_end and progress.trial_id in states:
            states[progress.trial_id][progress.step] = take().arrays

    outcomes = run(
        engine,
        cells[0],
        [each for one in own.values() for each in with_neighbour(one)],
        save,
    )
    return {
        cell: Trained(outcome=outcomes[place], states=states[place])
        for place, cell in enumerate(cells, start=1)
    }


def run(
    engine: str,
    cell: Cell,
    specs: list[TrialSpec],
    save: Save = lambda _progress, _take: None,
) -> dict[int, Outcome]:
    """What became of the trials, by their ids."""
    waiting = list(specs)
    with floating(cell.floatx):
        made = create_engine(engine, open_study(study(cell)))
        outcomes = list(
            made.train(
                lambda: waiting.pop(0) if waiting else None,
                lambda _progress: Verdict.KEEP,
                save,
            )
        )
    return {each.trial_id: each for each in outcomes}


@functools.lru_cache(maxsize=4)
def final_values(engine: str, cell: Cell, seeds: int) -> tuple[float, ...]:
    """The cell's final objective under that many seeds, of dropout and of the data order."""
    outcomes = run(
        engine,
        cell,
        [own_spec(cell, trial_id=seed, seed=seed) for seed in range(1, seeds + 1)],
    )
    return tuple(outcome.value for outcome in outcomes.values())


# -- how far apart ---------------------------------------------------------------------


def apart(one: Trained, other: Trained, updates: int) -> dict[str, float]:
    """The largest difference between two states' arrays, each by its own largest entry:
    of the weights and of the optimizer.

    Counters and seeds are whole numbers and have to be equal.
    """
    first, second = one.states[updates], other.states[updates]
    assert set(first) == set(second)
    found = {"model": 0.0, "optimizer": 0.0}
    for name, array in first.items():
        if np.issubdtype(array.dtype, np.floating):
            group = name.split("/")[0]
            found[group] = max(found[group], _distance(array, second[name]))
        else:
            assert np.array_equal(array, second[name]), (
                f"{name} after {updates} updates: {array} and {second[name]}"
            )
    return found


def values_apart(one: Trained, other: Trained) -> float:
    """The largest relative difference between what the last epochs logged."""
    assert set(one.outcome.logs) == set(other.outcome.logs)
    return max(
        _distance(np.asarray(value), np.asarray(other.outcome.logs[name]))
        for name, value in one.outcome.logs.items()
    )


def _distance(one, other):
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    assert np.isfinite(other).all()
    scale = np.abs(other.astype("float64")).max(initial=0.0)
    difference = np.abs(one.astype("float64") - other).max(initial=0.0)
    return float(difference / scale) if scale else float(difference)
