"""The exported Python needs Keras alone, and its rates are the reference's to 1e-6 of the peak."""

import json
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from ledger_tools import facts, plan

from lrsearch.answer import summarise
from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.report import export_text
from lrsearch.space import OPTIMIZERS, SHAPES, rates
from lrsearch.values import Kind, Origin, Setting, StudyRecord, StudyState, TrialRecord, TrialState

EPOCHS, BATCHES, ACCUMULATION = 3, 7, 2

RUN = """
import json, runpy, sys
sys.modules["lrsearch"] = None  # as if it were not installed
import numpy as np, keras
found = {}
for name in json.loads(sys.argv[1]):
    module = runpy.run_path(name)
    optimizer = module["make_optimizer"](*([keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])] if "muon" in name or "schedule_free" in name else []))
    schedule = optimizer._learning_rate
    steps = module["TOTAL_STEPS"] * module["ACCUMULATION"]
    found[name] = {
        "rates": [float(schedule(step)) for step in range(steps + 2)],
        "kind": type(optimizer).__name__,
        "accumulation": optimizer.gradient_accumulation_steps,
        "batch": module["BATCH_SIZE"],
    }
print(json.dumps(found))
"""


def setting(optimizer="adam", schedule="linear", **changes):
    knobs = {name: knob.default for name, knob in SHAPES[schedule].knobs.items()}
    shape = {"warmup": 0.2, "final": 0.05, **knobs}
    hyper = {name: knob.default for name, knob in OPTIMIZERS[optimizer].hyper.items() if name != "independent_weight_decay"}
    known = {"learning_rate": 0.0123, "batch_size": 8, "shape": shape, "hyper": hyper}
    return Setting(optimizer=optimizer, schedule=schedule, **(known | changes))


def study_of(chosen, *, origin=Origin.SAMPLED, **more):
    known = facts(epochs=EPOCHS, accumulation=ACCUMULATION, steps_per_epoch={"8": BATCHES}, **more)
    made = plan()
    made = StudyRecord(
        id=1, plan=type(made)(**{**{name: getattr(made, name) for name in made.__slots__}, "facts": known}), state=StudyState.FINISHED,
        reason="", trials=1, deadline=None, created_at=0.0, optuna_study_id=1,
    )  # fmt: skip
    record = TrialRecord(
        id=1, number=3, kind=Kind.SEARCH, origin=origin, state=TrialState.COMPLETE, setting=chosen, seed=5, value=0.9, epochs=EPOCHS,
    )  # fmt: skip
    return made, summarise(made, [record])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Every shape under Adam, and every optimizer under a linear schedule, loaded by one process without lrsearch."""
    folder = tmp_path_factory.mktemp("exported")
    wanted = {f"{schedule}.py": setting(schedule=schedule) for schedule in SHAPES}
    wanted |= {f"{optimizer}.py": setting(optimizer) for optimizer in OPTIMIZERS}
    for name, chosen in wanted.items():
        (folder / name).write_text(export_text(*study_of(chosen), form="python"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, json.dumps(list(wanted))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return wanted, json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.tensorflow
@pytest.mark.parametrize("schedule", SHAPES)
def test_every_shapes_rates_agree_where_lrsearch_is_not_installed(exported, schedule):
    wanted, found = exported
    chosen = wanted[f"{schedule}.py"]
    total = EPOCHS * BATCHES // ACCUMULATION
    reference = np.repeat(rates(chosen, total), ACCUMULATION)
    given = np.asarray(found[f"{schedule}.py"]["rates"])
    assert np.abs(given[: len(reference)] - reference).max() <= 1e-6 * chosen.learning_rate
    assert np.allclose(given[len(reference) :], reference[-1], atol=1e-6 * chosen.learning_rate), "the last rate holds"


@pytest.mark.tensorflow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_is_made_with_its_accumulation(exported, optimizer):
    found = exported[1][f"{optimizer}.py"]
    assert (found["kind"], found["accumulation"], found["batch"]) == (OPTIMIZERS[optimizer].keras, ACCUMULATION, 8)


def test_the_python_says_what_it_was_found_with():
    text = export_text(*study_of(setting(), carried={"clipnorm": 1.0}), form="python")
    for words in ("BATCH_SIZE = 8", "TOTAL_STEPS = 10", "ACCUMULATION = 2", "SEED = 5", "val_accuracy 0.9000", "clipnorm=1.0"):
        assert words in text
    assert "import lrsearch" not in text


def test_yours_as_the_best_is_said_and_not_rewritten():
    text = export_text(*study_of(setting(), origin=Origin.YOURS), form="python")
    assert "found none that is better" in text
    compile(text, "export.py", "exec")


def test_yours_that_is_not_the_best_is_not_called_so():
    study, _ = study_of(setting(), origin=Origin.YOURS)
    yours = TrialRecord(
        id=1, number=0, kind=Kind.SEARCH, origin=Origin.YOURS, state=TrialState.COMPLETE, setting=setting(), seed=5, value=0.8,
    )  # fmt: skip
    better = replace(yours, id=2, number=4, origin=Origin.SAMPLED, value=0.9)
    text = export_text(study, summarise(study, [yours, better]), form="python", trial=0)
    assert "trial 4 is" in text
    assert "found none" not in text


@pytest.mark.tensorflow
def test_what_yours_leaves_out_of_weight_decay_is_left_out_of_the_exports():
    excluded = {"var_names": ["bias"], "places": [0]}
    chosen = setting("adamw")
    text = export_text(*study_of(chosen, decay_exclusions=excluded), form="python")
    module = {}
    exec(compile(text, "export.py", "exec"), module)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    optimizer = module["make_optimizer"](model)
    optimizer.build(model.trainable_variables)
    assert [optimizer._use_weight_decay(each) for each in model.trainable_variables] == [False, False, True, False]
    assert "exclude" not in export_text(*study_of(setting("adam"), decay_exclusions=excluded), form="python"), "nothing decays"


def test_the_json_has_all_that_a_retrain_needs():
    data = json.loads(export_text(*study_of(setting()), form="json"))
    assert data["total_steps"] == EPOCHS * BATCHES // ACCUMULATION
    assert {"setting", "batch_size", "epochs", "accumulation", "seed", "versions", "carried", "value"} <= set(data)


def test_a_trial_that_did_not_end_well_cannot_be_exported():
    study, answer = study_of(setting())
    with pytest.raises(UnknownName, match="3"):
        export_text(study, answer, form="json", trial=9)
    with pytest.raises(InvalidValue, match="status"):
        export_text(study, summarise(study, []), form="python")


NASTY = [
    '"""', "'''", "a\\", r"\N{x}", r'\"""', "line\nbreak\r", "{peak}", "%s", "λ \u2028 \ud800", "\x00", '"""""', '"', r"\u12", "#", "",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_whatever_a_searched_choice_holds_the_file_runs_and_says_it(text):
    chosen = setting(extra={"mark": text, "other": "'\""})
    made, answer = study_of(chosen)
    made = replace(made, plan=replace(made.plan, name="a 'b' λ {x} $y"))
    written = export_text(made, answer, form="python").encode("utf-8").decode("utf-8")
    module = {}
    exec(compile(written, "exported.py", "exec"), module)
    assert f"build_model(params) was called with {dict(chosen.extra)!r}." in module["__doc__"]
    assert "study \"a 'b' λ {x} $y\"" in module["__doc__"]
    assert float(module["Schedule"]()(10**6)) == pytest.approx(rates(chosen, module["TOTAL_STEPS"])[-1])


def test_what_keeps_yours_is_python_whatever_its_schedule_is_called():
    odd = Setting(optimizer='"""', learning_rate=1e-3, schedule="a\\", batch_size=8)
    module = {}
    exec(export_text(*study_of(odd, origin=Origin.YOURS), form="python"), module)
    assert '"""' in module["__doc__"]
    assert "a\\;" in module["__doc__"]
