"""Study files: loaded, and checked in one line."""

import textwrap
from dataclasses import replace

import numpy as np
import pytest

from lrsearch import SearchSpace, StudyDefinition
from lrsearch.definition import check_study_name, load_study_file
from lrsearch.definition.study import hint_of
from lrsearch.errors import InvalidValue, StudyFileError, UnknownName

FILE = '''
"""A study."""
from lrsearch import SearchSpace, StudyDefinition

def build_model():
    return "a model"

def load_data():
    return "data"

definition = StudyDefinition(objective="val_loss", epochs=3, batch_size=8)
'''


@pytest.fixture
def write(tmp_path):
    def write(source, name="study.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    return write


def test_a_study_file_gives_a_definition_with_its_functions(write):
    definition = load_study_file(write(FILE))
    assert definition.make_model({}) == "a model"
    assert definition.read_data(8) == "data"
    assert definition.effective_space().batch_sizes == (8,)


@pytest.mark.parametrize(
    ("source", "words"),
    {
        "no definition": (
            FILE.replace("definition =", "other ="),
            ["study.py", "definition"],
        ),
        "another type": (FILE + "definition = 3\n", ["StudyDefinition", "int"]),
        "no build_model": (
            FILE.replace("def build_model", "def built"),
            ["build_model", "new-study"],
        ),
        "no load_data": (FILE.replace("def load_data", "def load"), ["load_data"]),
    }.values(),
)
def test_what_is_missing_is_said_in_one_line(write, source, words):
    with pytest.raises(StudyFileError) as caught:
        load_study_file(write(source))
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def test_a_file_that_is_no_python_is_refused_by_its_name(write):
    with pytest.raises(StudyFileError, match=r"must end in \.py"):
        load_study_file(write("# Read me", name="README.md"))


def test_further_values_that_build_model_does_not_take_are_refused(write):
    searched = FILE.replace(
        "batch_size=8", "batch_size=8, space=SearchSpace(extra={'dropout': (0.0, 0.5)})"
    )
    with pytest.raises(InvalidValue, match="takes params"):
        load_study_file(write(searched))
    definition = load_study_file(
        write(searched.replace("build_model()", "build_model(params)"))
    )
    with pytest.raises(InvalidValue, match="takes params"):
        load_study_file(write(FILE)).with_overrides(
            {"extra": {"dropout": {"between": [0.0, 0.5]}}}
        )
    assert definition.make_model({"dropout": 0.1}) == "a model"


def test_the_backend_in_keras_own_file_counts_where_the_variable_is_not_set(
    write, tmp_path, monkeypatch
):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with pytest.raises(InvalidValue, match="tensorflow; got 'jax'"):
        load_study_file(write(FILE))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    load_study_file(write(FILE))


def test_a_file_that_fails_shows_its_own_traceback_and_not_ours(write):
    with pytest.raises(StudyFileError, match="ZeroDivisionError") as caught:
        load_study_file(write("def half():\n    return 1 / 0\nhalf()\n"))
    assert "half()" in caught.value.traceback_text
    assert "lrsearch/definition" not in caught.value.traceback_text


@pytest.mark.parametrize(
    "line", ["from .helpers import x", "from . import helpers", "import above"]
)
def test_a_relative_import_gets_a_hint(write, tmp_path, line):
    (tmp_path / "helpers.py").write_text("x = 1\n")
    (tmp_path / "above.py").write_text("from .helpers import x\n")
    with pytest.raises(StudyFileError, match="relative import") as caught:
        load_study_file(write(f"{line}\n{FILE}"))
    assert "`import helpers`" in caught.value.fix
    assert str(caught.value).endswith(caught.value.fix)


def test_load_data_that_fails_without_a_batch_size_gets_a_hint():
    def load_data(batch_size):
        return [0] * (2 * batch_size)

    with pytest.raises(TypeError) as caught:
        StudyDefinition(load_data=load_data).read_data(None)
    assert "give batch_size=" in hint_of(caught.value)
    assert hint_of(TypeError()) == ""
    assert StudyDefinition(load_data=load_data).read_data(2) == [0] * 4


def test_without_a_batch_size_load_datas_own_default_stands():
    assert (
        StudyDefinition(load_data=lambda batch_size=16: batch_size).read_data(None)
        == 16
    )
    assert StudyDefinition(load_data=lambda batch_size=16: batch_size).read_data(8) == 8
    assert (
        StudyDefinition(load_data=lambda batch_size: batch_size).read_data(None) is None
    ), "it may know what to do"


@pytest.mark.parametrize(
    ("old", "new", "near"),
    [
        ("epochs=3", "epoch=3", "epochs"),
        ("epochs=3", "space=SearchSpace(optimisers=['adam'])", "optimizers"),
    ],
)
def test_a_misspelt_field_is_named_with_the_nearest(write, old, new, near):
    with pytest.raises(UnknownName, match=f"Did you mean '{near}'"):
        load_study_file(write(FILE.replace(old, new)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("objective", ""), ("objective", 3), ("direction", "up"), ("objective_epoch", "first"), ("epochs", 0), ("epochs", 2.5),
        ("epochs", True), ("batch_size", 0), ("batch_size", "32"), ("batch_size", []), ("batch_size", [32, 32]), ("batch_size", [32, -1]),
        ("steps_per_epoch", 0), ("validation_steps", -1), ("gradient_accumulation_steps", 0), ("callbacks", []), ("shuffle", 1),
        ("space", {}), ("seed", -1), ("seed", 2**31), ("class_weight", [1, 2]), ("build_model", "model"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_naming_the_field(field, value):
    with pytest.raises(InvalidValue, match=field):
        StudyDefinition(**{field: value})


def test_batch_sizes_are_said_in_one_place():
    with pytest.raises(InvalidValue, match="one place"):
        StudyDefinition(batch_size=16, space=SearchSpace(batch_size=[32, 64]))
    assert StudyDefinition(batch_size=[16, 32]).effective_space().batch_sizes == (
        16,
        32,
    )


def test_the_command_lines_options_change_the_space():
    changed = StudyDefinition(batch_size=16).with_overrides(
        {"optimizers": ["lion"], "batch_size": [8, 16], "warmup": 0.1}
    )
    space = changed.effective_space()
    assert (space.optimizers, space.batch_sizes, space.warmup) == (
        ("lion",),
        (8, 16),
        0.1,
    )


def test_build_model_gets_params_only_where_it_asks_for_them():
    assert StudyDefinition(build_model=lambda params: params).make_model(
        {"dropout": 0.1}
    ) == {"dropout": 0.1}
    assert StudyDefinition(build_model=lambda params=None: params).make_model(
        {"dropout": 0.1}
    ) == {"dropout": 0.1}
    assert (
        StudyDefinition(build_model=lambda width=64: width).make_model({"dropout": 0.1})
        == 64
    )
    assert StudyDefinition(load_data=lambda batch_size: batch_size).read_data(32) == 32
    assert StudyDefinition(load_data=lambda split=0.1: split).read_data(32) == 0.1


# -- names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "日本語", "a b", "x" * 255, "v1.2-b_c"])
def test_a_name_that_every_database_takes(name):
    assert check_study_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a ",
        "a\tb",
        "a\0b",
        "../x",
        "a/b",
        ".hidden",
        "-rf",
        "x" * 256,
        "\ud800",
        "a\nb",
    ],
)
def test_a_name_that_some_database_shell_or_folder_refuses(name):
    with pytest.raises(InvalidValue, match="study name"):
        check_study_name(name)


def test_callbacks_may_take_the_trial_and_are_refused_where_they_could_not_be_called():
    def asks(*, trial):
        return []

    for unusable in (lambda trial, model: [], asks):
        with pytest.raises(
            InvalidValue,
            match=r"of one: the trial; got 'callbacks\(.*\)'. It cannot be called so: ",
        ) as caught:
            StudyDefinition(callbacks=unusable)
        assert "\n" not in str(caught.value)
    told = object()
    for usable in (
        lambda trial: [trial],
        lambda run: [run],
        lambda trial=None: [trial],
    ):
        assert StudyDefinition(callbacks=usable).make_callbacks(lambda: told) == [told]
    for without in (list, lambda patience=3: [], lambda *more: list(more)):
        assert StudyDefinition(callbacks=without).make_callbacks(lambda: told) == []


FOLDS_ALLOWED = (
    "folds must be a whole number of at least 2, or a splitter of scikit-learn"
)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"folds": 1}, f"{FOLDS_ALLOWED}; got 1."),
        ({"folds": True}, f"{FOLDS_ALLOWED}; got True."),
        ({"folds": 5.0}, f"{FOLDS_ALLOWED}; got 5.0."),
        ({"folds": "5"}, f"{FOLDS_ALLOWED}; got '5'."),
        ({"folds": [([0], [1])]}, f"{FOLDS_ALLOWED}; got [([0], [1])]."),
        (
            {"folds": 5, "groups": [1, 2]},
            (
                "groups must be left out where folds is no splitter; got 'given'. "
                "A splitter takes them: folds=GroupKFold(5)."
            ),
        ),
        (
            {"folds": 5, "groups": "patient"},
            "groups must be an array, or a function that returns one; got 'patient'.",
        ),
        (
            {"load_data": lambda fold: fold},
            (
                "folds must be the number of folds; got None. "
                "load_data takes a fold, so it divides the data itself."
            ),
        ),
        (
            {"load_data": lambda fold, size: fold, "folds": 2},
            "load_data must be a function that names fold last; got 'load_data(fold, size)'.",
        ),
        (
            {"load_data": lambda fold, /: fold, "folds": 2},
            "load_data must be a function that names fold last; got 'load_data(fold)'.",
        ),
    ],
)
def test_folds_that_do_not_go_together_are_refused_in_one_line(given, said):
    with pytest.raises(InvalidValue) as error:
        StudyDefinition(**given)
    assert str(error.value) == said


def test_a_number_of_folds_may_be_numpys():
    assert StudyDefinition(folds=np.int64(5)).folds == 5


def test_a_fold_with_a_default_is_the_users_own_without_folds():
    definition = StudyDefinition(load_data=lambda fold=3: fold)
    assert definition.read_data(None) == 3
    assert replace(definition, folds=4).read_data(None, 1) == 1
