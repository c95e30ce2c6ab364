"""What an export makes is the optimizer that was trained: the engine's for a searched
setting, the user's own for yours.
"""

import keras
import numpy as np
import pytest
from export_world import BATCHES, EPOCHS, setting, study_of
from ledger_tools import facts

from lrsearch import StudyDefinition
from lrsearch.api import SearchResult
from lrsearch.engine import write_model
from lrsearch.engine._keras_optimizer import decay_exclusions, inner, scaling_of
from lrsearch.engine.compiling import carried_of, set_searched
from lrsearch.engine.own_optimizer import own_optimizer
from lrsearch.errors import CannotExport, InvalidValue
from lrsearch.report.exporting import export_text
from lrsearch.space import OPTIMIZERS, SHAPES, build_schedule
from lrsearch.values import Origin

pytestmark = pytest.mark.tensorflow

OPT, SCHEDULES = keras.optimizers, keras.optimizers.schedules
UPDATES = 3


def model_with(optimizer):
    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Dense(5, name="a"),
        keras.layers.Dense(3, name="b"),
        keras.layers.Dense(1, name="c"),
    ]
    model = keras.Sequential([keras.layers.Input((4,)), *layers])
    model.compile(optimizer, "mse")
    return model


def leave_out(optimizer, model, places=(), names=None):
    optimizer.exclude_from_weight_decay(
        var_list=[model.trainable_variables[place] for place in places] or None,
        var_names=names,
    )


def exported(model, chosen, *, origin=Origin.SAMPLED, accumulation=1):
    """`make_optimizer` of the export of a study whose own model is `model`."""
    known = {
        "accumulation": accumulation,
        "carried": carried_of(model),
        "decay_exclusions": decay_exclusions(
            inner(model.optimizer), model.trainable_variables
        ),
        "own_optimizer": own_optimizer(model, steps=EPOCHS * BATCHES),
    }
    found = study_of(
        chosen,
        origin=origin,
        given=facts(epochs=EPOCHS, steps_per_epoch={"8": BATCHES}, **known),
    )
    module = {}
    exec(compile(export_text(*found, form="python"), "export.py", "exec"), module)
    assert {"BATCH_SIZE", "EPOCHS", "ACCUMULATION", "TOTAL_STEPS", "SEED"} <= set(
        module
    )
    return module


def config(optimizer):
    """A configuration without names, and without the schedule, which is another class by design."""
    found = inner(optimizer).get_config()
    scaling = scaling_of(optimizer) if optimizer is not inner(optimizer) else None
    return (
        {
            name: value
            for name, value in found.items()
            if name not in {"name", "learning_rate"}
        },
        scaling,
        type(inner(optimizer)).__name__,
    )


def rates(optimizer):
    rate = inner(optimizer)._learning_rate
    return (
        [float(rate(step)) for step in (0, 3, 9, 20)]
        if callable(rate)
        else [float(rate)]
    )


def moved(model, optimizer):
    """Weights and the optimizer's state after some updates with given gradients, and
    which weights decay.
    """
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    draw = np.random.default_rng(0)
    for _ in range(UPDATES * (inner(optimizer).gradient_accumulation_steps or 1)):
        gradients = [
            keras.ops.convert_to_tensor(draw.normal(size=each.shape).astype("float32"))
            for each in model.trainable_variables
        ]
        optimizer.apply(gradients, model.trainable_variables)
    decays = [
        bool(inner(optimizer).weight_decay) and inner(optimizer)._use_weight_decay(each)
        for each in model.trainable_variables
    ]
    return [each.numpy() for each in (*model.variables, *optimizer.variables)], decays


def check_same(one, other, *, atol=0.0):
    """Two models with an optimizer each: their configurations, rates, and what some
    updates make of them.
    """
    (first, optimizer), (second, again) = one, other
    assert config(again) == config(optimizer)
    assert np.allclose(rates(again), rates(optimizer), rtol=1e-6, atol=1e-9)
    (weights, decays), (same, too) = moved(first, optimizer), moved(second, again)
    assert decays == too
    assert len(weights) == len(same)
    for a, b in zip(weights, same, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5 if atol else 0.0, atol=atol)


def compiled_richly():
    """A compile with much that a searched optimizer keeps."""
    optimizer = OPT.AdamW(
        3e-3, weight_decay=0.01, clipnorm=0.5, use_ema=True, ema_momentum=0.9
    )
    model = model_with(
        OPT.LossScaleOptimizer(optimizer, initial_scale=64.0, dynamic_growth_steps=3)
    )
    leave_out(optimizer, model, [0], ["bias"])
    return model


# The shortest and the longest text. test_export.py holds every shape's rates, and the
# test below what an optimizer makes of them.
QUICK_SHAPES = ("constant", "cosine_restarts")


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(
            each, marks=() if each in QUICK_SHAPES else pytest.mark.slow_matrix
        )
        for each in SHAPES
    ],
)
@pytest.mark.parametrize("optimizer", ["adamw"])
def test_every_shape_trains_as_the_engine_trains_it(optimizer, schedule):
    check_searched(setting(optimizer, schedule), compiled_richly, accumulation=2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_trains_as_the_engine_trains_it(optimizer):
    check_searched(
        setting(optimizer, "cosine", hyper=decaying(optimizer)),
        compiled_richly,
        accumulation=1,
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon", "schedule_free_adamw"])
def test_a_plain_compile_adds_nothing(optimizer):
    check_searched(
        setting(optimizer, "linear"), lambda: model_with(OPT.SGD(0.1)), accumulation=1
    )


def decaying(optimizer):
    known = setting(optimizer).hyper
    return known | ({"weight_decay": 0.01} if "weight_decay" in known else {})


def check_searched(chosen, compiled, *, accumulation):
    ours, theirs = compiled(), compiled()
    total = EPOCHS * BATCHES // accumulation
    module = exported(theirs, chosen, accumulation=accumulation)
    assert module["TOTAL_STEPS"] == total
    set_searched(ours, chosen, total_steps=total, accumulation=accumulation)
    again = module["make_optimizer"](theirs)
    ours.optimizer.build(ours.trainable_variables)
    check_same((ours, ours.optimizer), (theirs, again), atol=1e-6)


@keras.saving.register_keras_serializable(package="export_tests")
class Registered(SCHEDULES.LearningRateSchedule):
    def __init__(self, peak, inner=None):
        self.peak, self.inner = peak, inner

    def __call__(self, step):
        return self.peak / (1.0 + keras.ops.cast(step, "float32"))

    def get_config(self):
        return {"peak": self.peak, "inner": self.inner}


@keras.saving.register_keras_serializable(package="export_tests")
class RegisteredSGD(OPT.SGD):
    pass


@keras.saving.register_keras_serializable(package="export_tests")
class Forgetful(Registered):
    def __init__(self, peak=0.5):
        super().__init__(peak)

    def get_config(self):
        return {}


class Unregistered(Registered):
    pass


class UnregisteredSGD(OPT.SGD):
    pass


class Silent(SCHEDULES.LearningRateSchedule):
    def __call__(self, step):
        return 0.1


YOURS = {
    "adam": lambda: OPT.Adam(1e-3),
    "sgd": lambda: OPT.SGD(0.1, momentum=0.9, nesterov=True),
    "cosine with warm-up": lambda: OPT.SGD(
        SCHEDULES.CosineDecay(0.0, 15, alpha=0.1, warmup_target=0.05, warmup_steps=5)
    ),
    "restarts": lambda: OPT.Adam(SCHEDULES.CosineDecayRestarts(0.01, 5, t_mul=1.5)),
    "exponential": lambda: OPT.RMSprop(
        SCHEDULES.ExponentialDecay(0.01, 4, 0.5, staircase=True), centered=True
    ),
    "pieces": lambda: OPT.Nadam(
        SCHEDULES.PiecewiseConstantDecay([5, 10], [0.1, 0.01, 0.001])
    ),
    "polynomial": lambda: OPT.Lamb(
        SCHEDULES.PolynomialDecay(0.01, 20, end_learning_rate=0.001, power=0.5)
    ),
    "inverse": lambda: OPT.Adagrad(SCHEDULES.InverseTimeDecay(0.1, 3, 0.5)),
    "registered schedule": lambda: OPT.Adam(Registered(0.3)),
    "registered optimizer": lambda: RegisteredSGD(SCHEDULES.CosineDecay(0.1, 20)),
    "schedule of ours": lambda: OPT.Adam(
        build_schedule(setting("adam", "one_cycle"), 21)
    ),
    "clipnorm": lambda: OPT.Adam(3e-4, clipnorm=1.0),
    "clipvalue": lambda: OPT.Lion(1e-4, clipvalue=0.5),
    "global clipnorm": lambda: OPT.Adadelta(1.0, global_clipnorm=0.1),
    "ema": lambda: OPT.Adamax(
        2e-3, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    ),
    "accumulation": lambda: OPT.SGD(
        SCHEDULES.CosineDecay(0.1, 20), gradient_accumulation_steps=3
    ),
    "loss factor": lambda: OPT.Ftrl(0.05, loss_scale_factor=8.0),
    "loss scaling": lambda: OPT.LossScaleOptimizer(
        OPT.Adam(1e-2), initial_scale=256.0, dynamic_growth_steps=2
    ),
    "weight decay": lambda: OPT.AdamW(1e-2, weight_decay=0.1, beta_2=0.95),
    "no weight decay": lambda: OPT.AdamW(1e-2, weight_decay=0.0),
    "muon": lambda: OPT.Muon(0.02, exclude_layers=["c/"]),
    "adafactor": lambda: OPT.Adafactor(0.01, relative_step=False),
}
if hasattr(OPT, "ScheduleFreeAdamW"):
    YOURS["schedule free"] = lambda: OPT.ScheduleFreeAdamW(0.01, warmup_steps=3)


@pytest.mark.parametrize("name", YOURS)
def test_yours_is_the_optimizer_that_was_trained(name):
    ours, theirs = model_with(YOURS[name]()), model_with(YOURS[name]())
    module = exported(theirs, setting(), origin=Origin.YOURS)
    own = inner(ours.optimizer).gradient_accumulation_steps or 1
    assert (module["ACCUMULATION"], module["TOTAL_STEPS"]) == (
        own,
        EPOCHS * BATCHES // own,
    )
    check_same((ours, ours.optimizer), (theirs, module["make_optimizer"]()))


@pytest.mark.parametrize(
    ("places", "names"), [([0, 2], None), ([], ["bias"]), ([4], ["bias", "gamma"])]
)
def test_what_yours_leaves_out_of_weight_decay_stays_left_out(places, names):
    made = []
    for _ in range(2):
        model = model_with(OPT.AdamW(1e-2, weight_decay=0.5, clipnorm=1.0))
        leave_out(model.optimizer, model, places, names)
        made.append(model)
    make = exported(made[1], setting(), origin=Origin.YOURS)["make_optimizer"]
    check_same((made[0], made[0].optimizer), (made[1], make(made[1])))
    if places:
        with pytest.raises(ValueError, match="needs the built model"):
            make()


def test_the_loss_scaling_that_mixed_precision_adds_is_written():
    model = model_with("adam")
    model.dtype_policy = keras.DTypePolicy("mixed_float16")
    model.compile(OPT.Adam(1e-3), "mse")
    assert isinstance(model.optimizer, OPT.LossScaleOptimizer)
    again = exported(model, setting(), origin=Origin.YOURS)["make_optimizer"]()
    assert config(again) == config(model.optimizer)
    model.compile(again, "mse")
    assert model.optimizer is again, "it is not scaled twice"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: OPT.Adam(lambda: 0.1), "its learning rate is a function"),
        (
            lambda: OPT.Adam(Unregistered(0.1)),
            "Unregistered is no class of Keras' own and not registered",
        ),
        (
            lambda: UnregisteredSGD(0.1),
            "UnregisteredSGD is no class of Keras' own and not registered",
        ),
        (lambda: OPT.Adam(Silent()), "must override `get_config"),
        (
            lambda: OPT.Adam(Registered(0.1, inner=lambda step: step)),
            "unsafe|lambda|not the same|another",
        ),
        (lambda: OPT.Adam(Forgetful(0.25)), "does not make the same Adam again"),
        (lambda: OPT.Adam(1e-3, epsilon=float("inf")), "its epsilon is inf"),
    ],
)
def test_yours_that_cannot_be_written_says_why(made, reason):
    with pytest.raises(CannotExport, match=reason):
        exported(model_with(made()), setting(), origin=Origin.YOURS)


def test_two_exports_in_one_process_are_two_classes_to_keras():
    model = model_with("adam")
    one, other = (
        exported(model, setting(schedule=shape))["Schedule"]
        for shape in ("linear", "cosine")
    )
    assert keras.saving.get_registered_name(one) != keras.saving.get_registered_name(
        other
    )


def result_of(chosen, **more):
    study, answer = study_of(chosen, **more)
    return SearchResult(study=study, records=answer.ranked, curves={}, answer=answer)


def test_a_results_suggestion_keeps_what_the_compile_says():
    model = compiled_richly()
    known = {
        "carried": carried_of(model),
        "decay_exclusions": decay_exclusions(
            inner(model.optimizer), model.trainable_variables
        ),
    }
    given = facts(
        epochs=EPOCHS,
        steps_per_epoch={"8": BATCHES},
        own_optimizer=own_optimizer(model, steps=9),
        **known,
    )
    chosen = setting("adamw", hyper={"weight_decay": 0.01})
    made = result_of(chosen, given=given).suggestion().optimizer(model)
    fresh = compiled_richly()
    set_searched(fresh, chosen, total_steps=EPOCHS * BATCHES, accumulation=1)
    fresh.optimizer.build(fresh.trainable_variables)
    check_same((fresh, fresh.optimizer), (model, made))


def test_yours_as_the_best_is_no_suggestion_but_an_export():
    model = model_with(OPT.Adam(1e-3, clipnorm=1.0))
    given = facts(
        epochs=EPOCHS,
        steps_per_epoch={"8": BATCHES},
        own_optimizer=own_optimizer(model, steps=9),
    )
    result = result_of(setting(), origin=Origin.YOURS, given=given)
    with pytest.raises(InvalidValue, match="your own compile"):
        result.suggestion()
    assert "keras.optimizers.Adam(learning_rate=0.001, clipnorm=1.0)" in result.export()


def definition_of(compiled):
    data = (np.zeros((8, 4), "float32"), np.zeros((8, 1), "float32"))
    return StudyDefinition(
        build_model=compiled,
        load_data=lambda: (data, data),
        epochs=EPOCHS,
        batch_size=8,
        direction="minimize",
    )


@pytest.mark.parametrize("yours", [False, True])
def test_a_keras_file_keeps_the_loss_scaling(yours, tmp_path):
    def compiled():
        return model_with(
            OPT.LossScaleOptimizer(
                OPT.AdamW(1e-3, clipnorm=0.5),
                initial_scale=64.0,
                dynamic_growth_steps=3,
            )
        )

    write_model(
        definition_of(compiled),
        setting("sgd"),
        tmp_path / "m.keras",
        seed=0,
        yours=yours,
    )
    found = keras.models.load_model(tmp_path / "m.keras").optimizer
    assert scaling_of(found) == {"initial_scale": 64.0, "dynamic_growth_steps": 3}
    assert (type(inner(found)).__name__, inner(found).clipnorm) == (
        "AdamW" if yours else "SGD",
        0.5,
    )


def test_a_keras_file_is_refused_where_it_would_decay_what_yours_leaves_out(tmp_path):
    definition = definition_of(compiled_richly)
    with pytest.raises(InvalidValue, match="weight decay"):
        write_model(
            definition,
            setting("adamw", hyper={"weight_decay": 0.01}),
            tmp_path / "m.keras",
            seed=0,
        )
    write_model(definition, setting("sgd"), tmp_path / "m.keras", seed=0)
    assert keras.models.load_model(tmp_path / "m.keras").optimizer is not None
