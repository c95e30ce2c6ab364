"""The exported Python needs Keras alone, and its rates are the reference's to 1e-6 of the peak."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_world import ACCUMULATION, BATCHES, EPOCHS, setting, study_of
from ledger_tools import facts

from lrsearch.answer import summarise
from lrsearch.cli.main import main
from lrsearch.errors import CannotExport, InvalidValue, UnknownName
from lrsearch.jsonable import from_json, to_json
from lrsearch.report.exporting import export_text
from lrsearch.space import OPTIMIZERS, SHAPES, rates
from lrsearch.values import Kind, Origin, Setting, StudyFacts, TrialRecord, TrialState

RUN = """
import inspect, json, runpy, sys
sys.modules["lrsearch"] = None  # as if it were not installed
import numpy as np, keras
found = {}
for name in json.loads(sys.argv[1]):
    module = runpy.run_path(name)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    signature = str(inspect.signature(module["make_optimizer"]))
    optimizer = module["make_optimizer"](model)
    schedule = optimizer._learning_rate
    steps = module["TOTAL_STEPS"] * module["ACCUMULATION"]
    found[name] = {
        "rates": [float(schedule(step)) for step in range(steps + 2)],
        "kind": type(optimizer).__name__,
        "accumulation": optimizer.gradient_accumulation_steps,
        "batch": module["BATCH_SIZE"],
        "signature": signature,
    }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Every shape under Adam, and every optimizer under a linear schedule, loaded by
    one process without lrsearch.
    """
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
    assert (
        np.abs(given[: len(reference)] - reference).max() <= 1e-6 * chosen.learning_rate
    )
    assert np.allclose(
        given[len(reference) :], reference[-1], atol=1e-6 * chosen.learning_rate
    ), "the last rate holds"


@pytest.mark.tensorflow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_is_made_with_its_accumulation(exported, optimizer):
    found = exported[1][f"{optimizer}.py"]
    assert (found["kind"], found["accumulation"], found["batch"]) == (
        OPTIMIZERS[optimizer].keras,
        ACCUMULATION,
        8,
    )
    assert found["signature"] == "(model=None)"


def test_the_python_says_what_it_was_found_with():
    text = export_text(*study_of(setting(), carried={"clipnorm": 1.0}), form="python")
    for words in (
        "BATCH_SIZE = 8",
        "TOTAL_STEPS = 10",
        "ACCUMULATION = 2",
        "SEED = 5",
        "val_accuracy 0.9000",
        "clipnorm=1.0",
    ):
        assert words in text
    assert "import lrsearch" not in text


def own(**more):
    call = {"class": "keras.optimizers.Adam", "arguments": {"learning_rate": 0.001}}
    return {"accumulation": 1, "decays": False, "call": call} | more


def test_yours_as_the_best_is_said_and_written():
    text = export_text(
        *study_of(setting(), origin=Origin.YOURS, own_optimizer=own()), form="python"
    )
    assert "found none that is better" in text
    assert "optimizer = keras.optimizers.Adam(learning_rate=0.001)" in text
    assert "TOTAL_STEPS = 21 " in text, (
        "yours does not accumulate, though searched optimizers do"
    )
    assert "callbacks" in text


def test_yours_that_is_not_the_best_is_not_called_so():
    study, _ = study_of(setting(), origin=Origin.YOURS, own_optimizer=own())
    yours = TrialRecord(
        id=1, number=0, kind=Kind.SEARCH, origin=Origin.YOURS, state=TrialState.COMPLETE, setting=setting(), seed=5, value=0.8,
    )  # fmt: skip
    better = replace(yours, id=2, number=4, origin=Origin.SAMPLED, value=0.9)
    text = export_text(study, summarise(study, [yours, better]), form="python", trial=0)
    assert "trial 4 is" in text
    assert "found none" not in text


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({}, "made by lrsearch 0.1.0"),
        (
            {
                "accumulation": 1,
                "decays": False,
                "reason": "its learning rate is a function",
            },
            "is a function",
        ),
    ],
)
def test_yours_that_cannot_be_written_is_refused_with_the_reason(kept, said):
    found = study_of(setting(), origin=Origin.YOURS, own_optimizer=kept)
    with pytest.raises(CannotExport, match=said) as refused:
        export_text(*found, form="python")
    assert refused.value.exit_code == 1
    assert "build_model" in refused.value.fix
    data = json.loads(export_text(*found, form="json"))
    assert data["optimizer"] is None
    assert said in data["optimizer_reason"]


def test_the_facts_of_0_1_0_have_no_optimizer_and_still_open():
    known = to_json(facts())
    del known["own_optimizer"]
    assert from_json(StudyFacts, json.loads(json.dumps(known))).own_optimizer == {}


def test_a_study_of_0_1_0_exports_its_settings_and_says_why_not_yours(
    tmp_path, monkeypatch, capsys
):
    shutil.copy(
        Path(__file__).parents[1] / "fixtures" / "v0_1_0" / "studies.db",
        tmp_path / "studies.db",
    )
    monkeypatch.setenv("LRSEARCH_STORAGE", f"sqlite:///{tmp_path}/studies.db")
    for words, code, said in (
        (["migrate"], 0, ""),
        (["export", "ended"], 0, "def make_optimizer(model=None):"),
        (
            ["export", "ended", "--trial", "0"],
            1,
            "cannot be written as code: the study was made by lrsearch 0.1.0",
        ),
    ):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == code
        assert said in "".join(capsys.readouterr())


def test_the_json_has_all_that_a_retrain_needs():
    data = json.loads(export_text(*study_of(setting()), form="json"))
    assert data["total_steps"] == EPOCHS * BATCHES // ACCUMULATION
    assert {
        "setting",
        "batch_size",
        "epochs",
        "accumulation",
        "seed",
        "versions",
        "carried",
        "value",
    } <= set(data)


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
    assert (
        f"build_model(params) was called with {dict(chosen.extra)!r}."
        in module["__doc__"]
    )
    assert "study \"a 'b' λ {x} $y\"" in module["__doc__"]
    assert float(module["Schedule"]()(10**6)) == pytest.approx(
        rates(chosen, module["TOTAL_STEPS"])[-1]
    )


def test_what_keeps_yours_is_python_whatever_its_schedule_is_called():
    odd = Setting(optimizer='"""', learning_rate=1e-3, schedule="a\\", batch_size=8)
    module = {}
    exec(
        export_text(
            *study_of(odd, origin=Origin.YOURS, own_optimizer=own()), form="python"
        ),
        module,
    )
    assert '"""' in module["__doc__"]
    assert "a\\." in module["__doc__"]
