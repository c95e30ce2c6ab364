"""The engines train alike: same start values and same batches give the same weights,
optimizer state and values as `fit`.

In float64 to 1e-9. In float32 within ten times the drift that merely permuting examples
inside batches causes, which each test measures for its own cell: trainings by `fit`
that differ in nothing else. The marked cells are the whole matrix (docs/decisions.md
has its command and what it found); the others are a part that is run every time: every
optimizer that can be a row, every model, every pair of variants.
"""

from dataclasses import replace

import pytest
from equality_world import (
    MODELS,
    PAIRWISE,
    VARIANTS,
    Cell,
    apart,
    final_values,
    trained,
    trained_together,
    values_apart,
)
from scipy import stats

from lrsearch.engine._keras_rules import ADAPTERS
from lrsearch.space import OPTIMIZERS
from lrsearch.values import Status

ENGINES_UNDER_TEST = ("graph", "vectorized")
FLOAT64 = 1e-9  # of an array's largest entry
DRIFTS = 10  # how many times the drift float32 may differ
# within batches, of which the drift is the largest; more than one are tried only where
# the first does not suffice
ORDERS = 8
ROUNDING = 1.2e-7  # of float32: two orders of summation may happen to drift by nothing

SEEDS = 30
LEVEL = (
    # of the two-sample Kolmogorov-Smirnov test, asymptotic (the exact one fails on
    # equal samples): below it, they differ
    0.01
)

pytestmark = pytest.mark.tensorflow
each_engine = pytest.mark.parametrize("engine", ENGINES_UNDER_TEST)


@pytest.fixture(scope="module", autouse=True)
def _no_cell_outlives_the_module():
    yield
    trained.cache_clear()
    trained_together.cache_clear()


# -- the cells -------------------------------------------------------------------------

NAMES = list(OPTIMIZERS)
OTHERS = [name for name in MODELS if name != "mlp"]


def turn(place):
    """One variant after another, so that a few cells see them all."""
    return PAIRWISE[place % len(PAIRWISE)]


MLP = [("mlp", name, turn(place)) for place, name in enumerate(NAMES)]
OTHER = [
    (model, name, turn(place + shift))
    for shift, model in enumerate(OTHERS)
    for place, name in enumerate(NAMES)
]
MATRIX = [
    *(("mlp", name, variant) for name in NAMES for variant in PAIRWISE),
    *(("mlp", name, "decay_norm_jit") for name in ("momentum", "adam", "lamb")),
    *OTHER,
]
# Rows of other models. `graph` calls a model's own step whole, whatever its layers are.
SHORT = {("cnn", "adam", "vectorized"), ("pretrained", "momentum", "vectorized")}
# `graph` calls Keras' optimizers whole, so one of Keras and one of ours say it; rows
# take each apart
SHORT_GRAPH = {"adam", "schedule_free_adamw"}
# What is never a row, since it looks at whole matrices: one of three in every run, as
# of what `graph` calls whole above.
MATRIX_WISE = ("mlp", "muon", "plain")
QUICK = {
    "float64": {
        *((each, "vectorized") for each in MLP),
        *((each, "graph") for each in MLP if each[1] in SHORT_GRAPH),
        (MATRIX_WISE, "graph"),
        *(
            (each, engine)
            for each in OTHER
            for engine in ENGINES_UNDER_TEST
            if (*each[:2], engine) in SHORT
        ),
    },
    "one update": set(),  # what agrees to 1e-9 after ten agreed after one
    "float32": {(each, "vectorized") for each in MLP if each[1] == "adam"},
}


def trains(engine, cell):
    """Whether the engine trains the cell itself; `vectorized` hands to `graph` what
    cannot be rows, which agrees all the same.
    """
    variant = VARIANTS[cell.variant]
    # an embedding's gradient
    sparse = cell.model == "transformer" and variant.accumulation == 1
    return engine == "graph" or (
        OPTIMIZERS[cell.optimizer].keras in ADAPTERS and not variant.jit and not sparse
    )


def cells(claim):
    """The whole matrix, of which all but the claim's quick part is marked."""

    def marks(cell, engine):
        quick = (cell, engine) in QUICK[claim]
        known = dict(zip(("model", "optimizer", "variant"), cell, strict=True))
        # What `vectorized` hands to `graph` is trained there as in the cell of `graph`.
        return (
            () if quick and trains(engine, Cell(**known)) else pytest.mark.slow_matrix
        )

    every = [
        pytest.param(*cell, engine, marks=marks(cell, engine))
        for cell in MATRIX
        for engine in ENGINES_UNDER_TEST
    ]
    return pytest.mark.parametrize(("model", "optimizer", "variant", "engine"), every)


def reference_of(engine, cell):
    """`fit`; for the quick rows of most optimizers `graph`, which the whole matrix
    holds against it and which takes half as long.
    """
    quick = (
        (cell.model, cell.optimizer, cell.variant) in MLP
        and cell.updates > 1
        and cell.floatx == "float64"
    )
    by_graph = engine == "vectorized" and quick and cell.optimizer not in SHORT_GRAPH
    return "graph" if by_graph else "fit"


def by(engine, cell):
    """The cell by the engine: the quick ones of rows beside those of other optimizers,
    which are traced together; those in float32 and of one update alone.
    """
    if cell.floatx == "float32" or cell.updates == 1:
        return trained(engine, cell)
    beside = [
        replace(cell, optimizer=name)
        for model, name, variant in MLP
        if (model, variant) == (cell.model, cell.variant)
    ]
    return (
        trained_together(engine, tuple(beside))[cell]
        if engine == "vectorized" and cell in beside
        else trained(engine, cell)
    )


def by_both(engine, cell):
    """The cell by its reference and by the engine, whose outcome says who really trained it."""
    reference, other = trained(reference_of(engine, cell), cell), by(engine, cell)
    assert other.outcome.engine == (engine if trains(engine, cell) else "graph"), (
        other.outcome.notes
    )
    assert reference.outcome.status is other.outcome.status
    # some overshoot at their reference rate, and end alike
    assert reference.outcome.status in {Status.COMPLETE, Status.DIVERGED}
    assert (reference.outcome.epochs, reference.outcome.steps) == (
        other.outcome.epochs,
        other.outcome.steps,
    )
    return reference, other


# -- the claims ------------------------------------------------------------------------


@cells("float64")
def test_in_float64_weights_and_optimizer_state_agree_after_10_and_50_updates(
    engine, model, optimizer, variant
):
    reference, other = by_both(
        engine, Cell(model=model, optimizer=optimizer, variant=variant)
    )
    found = {updates: apart(other, reference, updates) for updates in (10, 50)}
    print(found)  # pytest -rP shows it
    assert max(max(each.values()) for each in found.values()) <= FLOAT64, found
    assert values_apart(other, reference) <= FLOAT64


@cells("one update")
def test_in_float64_weights_and_optimizer_state_agree_after_one_update(
    engine, model, optimizer, variant
):
    reference, other = by_both(
        engine, Cell(model=model, optimizer=optimizer, variant=variant, updates=1)
    )
    found = apart(other, reference, 1)
    print(found)  # pytest -rP shows it
    assert max(found.values()) <= FLOAT64, found


@cells("float32")
# what differs after one update differs after ten, too
@pytest.mark.parametrize(
    "updates", [10, pytest.param(1, marks=pytest.mark.slow_matrix)]
)
def test_in_float32_they_differ_by_at_most_ten_times_what_the_order_within_batches_does(
    engine, model, optimizer, variant, updates
):
    cell = Cell(
        model=model,
        optimizer=optimizer,
        variant=variant,
        floatx="float32",
        updates=updates,
        shuffle=False,
    )
    reference, other = by_both(engine, cell)
    drifts, differences = {}, all_apart(cell, other, reference)
    for order in range(1, ORDERS + 1):
        drifted = all_apart(
            cell, trained("fit", replace(cell, rearranged=order)), reference
        )
        drifts = {
            where: max(each, drifts.get(where, 0.0)) for where, each in drifted.items()
        }
        beyond = {
            where: each
            for where, each in differences.items()
            if each > DRIFTS * max(drifts[where], ROUNDING)
        }
        if not beyond:
            break
    print(updates, order, drifts, differences)  # pytest -rP shows it
    assert not beyond, (updates, drifts, differences)


def all_apart(cell, one, other):
    """What lies between two trainings of the cell: their values, and weights and
    optimizer state by the number of updates.
    """
    found = {"values": values_apart(one, other)}
    for updates in (10, 50) if cell.updates > 1 else (1,):
        found |= {
            f"{group} after {updates}": each
            for group, each in apart(one, other, updates).items()
        }
    return found


# -- dropout ---------------------------------------------------------------------------

DROPOUT = Cell(model="mlp", optimizer="sgd", variant="plain", dropout=0.2)
# In every run single seeds are held: rows draw as `graph` does
# (test_vectorized_engine.py), and `graph` as `fit` (test_graph_engine.py).
PAIRS = [
    *((engine, "graph") for engine in ENGINES_UNDER_TEST if engine != "graph"),
    *((engine, "fit") for engine in ENGINES_UNDER_TEST),
]


@pytest.mark.slow_matrix
@pytest.mark.parametrize(("engine", "reference"), PAIRS)
def test_with_dropout_the_final_values_over_30_seeds_have_one_distribution(
    engine, reference
):
    ours = final_values(engine, DROPOUT, SEEDS)
    theirs = final_values(reference, DROPOUT, SEEDS)
    assert len(set(ours)) == SEEDS, "every seed has its own masks"
    assert stats.ks_2samp(ours, theirs, method="asymp").pvalue >= LEVEL


@pytest.mark.slow_matrix
@each_engine
def test_the_test_of_distributions_tells_one_dropout_rate_from_another(engine):
    ours = final_values(engine, DROPOUT, SEEDS)
    others = final_values(engine, replace(DROPOUT, dropout=0.35), SEEDS)
    assert stats.ks_2samp(ours, others, method="asymp").pvalue < LEVEL
