"""A study with one trial of a given setting, to be exported."""

from ledger_tools import facts, plan

from lrsearch.answer import summarise
from lrsearch.space import OPTIMIZERS, SHAPES
from lrsearch.values import (
    Kind,
    Origin,
    Setting,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)

EPOCHS, BATCHES, ACCUMULATION = 3, 7, 2


def setting(optimizer="adam", schedule="linear", **changes):
    knobs = {name: knob.default for name, knob in SHAPES[schedule].knobs.items()}
    shape = {"warmup": 0.2, "final": 0.05, **knobs}
    hyper = {
        name: knob.default
        for name, knob in OPTIMIZERS[optimizer].hyper.items()
        if name != "independent_weight_decay"
    }
    known = {"learning_rate": 0.0123, "batch_size": 8, "shape": shape, "hyper": hyper}
    return Setting(optimizer=optimizer, schedule=schedule, **(known | changes))


def study_of(chosen, *, origin=Origin.SAMPLED, given=None, **more):
    known = given or facts(
        epochs=EPOCHS, accumulation=ACCUMULATION, steps_per_epoch={"8": BATCHES}, **more
    )
    made = plan()
    made = StudyRecord(
        id=1, plan=type(made)(**{**{name: getattr(made, name) for name in made.__slots__}, "facts": known}), state=StudyState.FINISHED,
        reason="", trials=1, deadline=None, created_at=0.0, optuna_study_id=1,
    )  # fmt: skip
    record = TrialRecord(
        id=1, number=3, kind=Kind.SEARCH, origin=origin, state=TrialState.COMPLETE, setting=chosen, seed=5, value=0.9, epochs=EPOCHS,
    )  # fmt: skip
    return made, summarise(made, [record])
