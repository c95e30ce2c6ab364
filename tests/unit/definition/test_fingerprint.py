"""Definitions are told apart by what changes results and by nothing else, with a name
for each part.
"""

import ast
import hashlib
import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_tools import facts, plan

from lrsearch import StudyDefinition
from lrsearch.definition import (
    accept_changes,
    fingerprint_of,
    load_study_file,
    recorded_of,
    syntax,
)
from lrsearch.definition.identity import compare
from lrsearch.errors import (
    FingerprintMismatch,
    InvalidValue,
    SchemaMismatch,
    UnknownName,
)
from lrsearch.values import Change, StudyRecord, StudyState

FILE = '''
"""A study."""
from lrsearch import SearchSpace, StudyDefinition

WIDTH = 8

def layer(width=WIDTH):
    return f"{width} units"

def build_model():
    return [layer(), "a model"]

def load_data():
    return "data"

def stopper():
    return "stops"

def unused():
    return 1

definition = StudyDefinition(objective="val_loss", epochs=3, batch_size=8, callbacks=lambda: [stopper()])
'''


@pytest.fixture
def write(tmp_path):
    def write(source, name="study.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    return write


@pytest.fixture
def changed(write):
    """The fields that differ when a text takes the place of another, in the study file."""

    def changed(old, new, source=FILE):
        assert old in source
        return differing(
            everything(write(source)), everything(write(source.replace(old, new)))
        )

    return changed


def everything(path):
    """The fingerprint, and what is recorded beside it; 0.1.0's digest aside."""
    definition = load_study_file(path)
    return fingerprint_of(definition) | {
        "code.callbacks": recorded_of(definition)["code.callbacks"]
    }


def differing(one, other):
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


# -- what counts -----------------------------------------------------------------------


def test_comments_docstrings_and_layout_make_no_difference(changed):
    assert not changed('"""A study."""', '"""Another text."""  # with a comment')
    assert not changed('return "data"', 'return (\n        "data"\n    )')


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("a model", "a better model", {"code.model"}),
        ("WIDTH = 8", "WIDTH = 9", {"code.model"}),
        ('return "data"', 'return "more data"', {"code.data"}),
        ("batch_size=8", "batch_size=8, loss='mse'", {"code.training"}),
        ("batch_size=8", "batch_size=8, metrics=[layer]", {"code.training"}),
        ("stops", "stops later", {"code.callbacks"}),
        ("[stopper()]", "[stopper(), 1]", {"code.callbacks"}),
        ("epochs=3", "epochs=4", {"epochs"}),
        ("epochs=3", "epochs=3, space=SearchSpace(warmup=0.1)", {"space.warmup"}),
        ("epochs=3", "epochs=3, seed=7, shuffle=True", set()),
        ("return 1", "return 2", set()),
        (
            "WIDTH = 8",
            "WIDTH = 8\nimport os\nif __name__ == '__main__':\n    print(definition)",
            set(),
        ),
        ("WIDTH = 8", "WIDTH = 8\nprint('set up')", {"code.file"}),
        ("WIDTH = 8", "WIDTH = 8\nimport click", {"code.file"}),
        ("def stopper", "@print\ndef stopper", {"code.callbacks"}),
        ("def unused", "@print\ndef unused", {"code.file"}),
    ],
)
def test_a_change_is_named_by_what_it_is_for(changed, old, new, parts):
    assert changed(old, new) == parts


def test_what_model_and_callbacks_share_is_the_models(changed):
    shared = FILE.replace("[stopper()]", "[stopper(), layer()]")
    assert changed("WIDTH = 8", "WIDTH = 9", shared) == {"code.model"}


def test_a_function_that_sets_a_global_counts_for_whoever_reads_it(changed):
    source = FILE.replace(
        "WIDTH = 8",
        "WIDTH = 8\ndef widen():\n    global WIDTH\n    WIDTH = 16\nwiden()",
    )
    assert changed("WIDTH = 16", "WIDTH = 17", source) == {"code.model"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("definition = StudyDefinition(", "definition = dict and StudyDefinition("),
        ("definition = ", "settings = globals()\ndefinition = "),
    ],
)
def test_where_names_cannot_be_followed_all_code_counts_as_one(changed, old, new):
    assert changed("stops", "stops later", FILE.replace(old, new)) == {"code.file"}


# -- modules beside the file -----------------------------------------------------------


def test_a_model_that_comes_from_a_module_beside_the_file_counts(write):
    """As do the constants that its functions read there; what only callbacks need counts as theirs."""
    source = FILE.replace("WIDTH = 8", "from nets_beside import make, Logger")
    source = source.replace(
        "callbacks=lambda: [stopper()]",
        "build_model=make, callbacks=lambda: [Logger()]",
    )
    nets = "RATE = 1e-3\ndef make():\n    return RATE\nclass Logger:\n    level = 1\n"
    path = write(source.replace("width=WIDTH", "width=1"))

    def with_nets(text):
        write(text, "nets_beside.py")
        sys.modules.pop("nets_beside", None)
        return everything(path)

    before = with_nets(nets)
    assert differing(before, with_nets(nets.replace("1e-3", "2e-3"))) == {"code.model"}
    assert differing(before, with_nets(nets.replace("level = 1", "level = 2"))) == {
        "code.callbacks"
    }
    assert differing(before, with_nets(nets + "print('loaded')\n")) == {"code.file"}


def test_packages_beside_the_file_count_however_they_are_imported(write):
    source = FILE.replace(
        "WIDTH = 8", "from package_of_this_study import layers"
    ).replace("width=WIDTH", "width=layers.deep.DEPTH")
    write("", "package_of_this_study/__init__.py")
    write("from . import deep\n", "package_of_this_study/layers.py")
    write("DEPTH = 1\n", "package_of_this_study/deep.py")
    write("UNUSED = 1\n", "unused_by_this_study.py")
    before = everything(write(source))
    write("UNUSED = 2\n", "unused_by_this_study.py")
    assert not differing(before, everything(write(source)))
    write("DEPTH = 2\n", "package_of_this_study/deep.py")
    assert differing(before, everything(write(source))) == {"code.model"}


def test_an_import_inside_a_function_and_a_star_count(write):
    inside = FILE.replace(
        '    return [layer(), "a model"]',
        "    import helper_of_this_study as h\n    return h.HELP",
    )
    star = FILE.replace("WIDTH = 8", "from helper_of_this_study import *").replace(
        "width=WIDTH", "width=HELP"
    )
    for source in (inside, star):
        write("HELP = 1\n", "helper_of_this_study.py")
        before = everything(write(source))
        write("HELP = 2\n", "helper_of_this_study.py")
        assert differing(before, everything(write(source))) == {"code.model"}


def test_a_module_that_this_python_cannot_read_counts_as_its_text(write):
    tried = "try:\n    from other_python_of_this_study import HELP\nexcept SyntaxError:\n    HELP = 0"
    source = FILE.replace("WIDTH = 8", tried).replace("width=WIDTH", "width=HELP")
    write("print 1\n", "other_python_of_this_study.py")
    before = everything(write(source))
    write("print 2\n", "other_python_of_this_study.py")
    assert "code.model" in differing(before, everything(write(source)))


def test_a_file_that_is_edited_after_it_was_loaded_counts_as_it_was_loaded(write):
    definition = load_study_file(write(FILE))
    before = fingerprint_of(definition)
    write(FILE.replace("a model", "another"))
    assert fingerprint_of(definition) == before


# -- notebooks -------------------------------------------------------------------------

SCALE = 2


def scaled(value):
    return value * SCALE


def test_a_notebooks_functions_count_with_what_they_need(monkeypatch):
    def build():
        return scaled(1)

    def other():
        return 2

    one = fingerprint_of(StudyDefinition(build_model=build, load_data=other))
    assert differing(
        one, fingerprint_of(StudyDefinition(build_model=other, load_data=other))
    ) == {"code.model"}
    assert differing(
        one,
        fingerprint_of(StudyDefinition(build_model=build, load_data=other, loss="mse")),
    ) == {"code.training"}
    monkeypatch.setitem(globals(), "SCALE", 3)
    assert differing(
        one, fingerprint_of(StudyDefinition(build_model=build, load_data=other))
    ) == {"code.model"}


# -- Pythons ---------------------------------------------------------------------------

SYNTAX = '''
"""A docstring."""
from __future__ import annotations
import os as system, sys
@decorated
class A(B, metaclass=C):
    x: int = 1
    def method(self, /, a, *args: int, b=u"ä\U0001fae8", **more) -> None:
        "Another."
        return f"{a!r:>{b}} {{}} {a=} tail" "joined" f"{b}"
async def f():
    async with g() as h, i:
        return [x async for x in y if (z := x)] or {**d} or (yield None)
match value:
    case {"k": [1, *rest], **other} if rest: pass
    case A(x=1) | None: ...
try:
    lambda: (1_000, 0x10, 1e-3, 2j, b"b", -1, not True, None, "")
except* (E, F) as error:
    del a[1:2, ...]
'''
DIGEST = "c117dce54dbc4f68"


def digest_of_syntax():
    return hashlib.sha256(syntax.dump(ast.parse(SYNTAX)).encode()).hexdigest()[:16]


def test_code_reads_the_same_under_this_python_as_under_every_other():
    assert digest_of_syntax() == DIGEST, (
        "studies of other Pythons would be refused: count FINGERPRINT's version up"
    )


def interpreters():
    """Pythons of other minor versions that this machine has."""
    names = [f"python3.{minor}" for minor in range(11, 15)]
    kept = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3.*[0-9]"))
    return {each.name: each for each in kept if each.name in names}


@pytest.mark.parametrize(
    "name", ["python3.11", "python3.12", "python3.13", "python3.14"]
)
def test_another_python_that_is_here_reads_code_the_same(name):
    found = interpreters().get(name)
    if found is None:
        pytest.skip(f"no {name} here")
    code = (
        "import ast, hashlib, json, runpy, sys; dump = runpy.run_path(sys.argv[1])['dump'];"
        "print(hashlib.sha256(dump(ast.parse(json.loads(sys.argv[2]))).encode()).hexdigest()[:16])"
    )
    done = subprocess.run(
        [found, "-c", code, syntax.__file__, json.dumps(SYNTAX)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == DIGEST


# -- comparing -------------------------------------------------------------------------


def study(fingerprint, *, recorded=None, python="3.11.7", changes=()):
    made = replace(
        facts(fingerprint=fingerprint),
        recorded=recorded or {},
        versions={"python": python},
    )
    return StudyRecord(
        id=1, plan=replace(plan(), facts=made), state=StudyState.OPEN, reason="", trials=10,
        deadline=None, created_at=0.0, optuna_study_id=1, changes=changes,
    )  # fmt: skip


def found(fingerprint, *, recorded=None, python="3.11.9", **more):
    return replace(
        facts(fingerprint=fingerprint, **more),
        recorded=recorded or {},
        versions={"python": python},
    )


NEW = {"version": 2, "epochs": 3, "code.model": "m", "code.data": "d"}
OLD = {"epochs": 3, "code": "one"}  # of 0.1.0


def test_another_definition_is_refused_with_the_option_that_accepts_it():
    with pytest.raises(
        FingerprintMismatch,
        match=r"code\.model: m in the study, n here.*--accept-change code\.model",
    ):
        accept_changes(study(NEW), found(NEW | {"code.model": "n"}))
    with pytest.raises(
        FingerprintMismatch, match="epochs: 3 in the study, 4 here"
    ) as refused:
        accept_changes(study(NEW), found(NEW | {"epochs": 4}))
    assert "--accept-change" not in str(refused.value)


def test_an_accepted_change_is_what_the_study_goes_by_from_then_on():
    here = found(NEW | {"code.model": "n"})
    changes, notes = accept_changes(study(NEW), here, accept=["code.model"])
    assert [(each.field, each.old, each.new) for each in changes] == [
        ("code.model", "m", "n")
    ]
    assert "code.model" in notes[0]
    assert accept_changes(study(NEW, changes=tuple(changes)), here) == ([], ())
    with pytest.raises(FingerprintMismatch):
        accept_changes(study(NEW, changes=tuple(changes)), found(NEW))


def test_what_decides_what_values_mean_cannot_be_accepted():
    with pytest.raises(InvalidValue, match=r"--name NEW"):
        accept_changes(study(NEW), found(NEW | {"epochs": 4}), accept=["epochs"])
    with pytest.raises(UnknownName, match=r"Did you mean 'code\.model'"):
        accept_changes(study(NEW), found(NEW), accept=["code.modell"])
    longer = found(NEW | {"code.data": "e"}, steps_per_epoch={"None": 11})
    with pytest.raises(FingerprintMismatch, match="steps_per_epoch"):
        accept_changes(study(NEW), longer, accept=["code.data"])


def test_other_callbacks_are_recorded_and_refuse_nothing():
    before = study(NEW, recorded={"code.callbacks": "a"})
    [change], [note] = accept_changes(
        before, found(NEW, recorded={"code.callbacks": "b"})
    )
    assert (change.field, change.new) == ("code.callbacks", "b")
    assert "code.callbacks" in note
    again = study(
        NEW,
        recorded={"code.callbacks": "a"},
        changes=(Change(field="code.callbacks", old="a", new="b"),),
    )
    assert accept_changes(again, found(NEW, recorded={"code.callbacks": "b"})) == (
        [],
        (),
    )
    assert again.fingerprint == NEW


def test_a_study_of_version_0_1_0_is_compared_as_that_version_did():
    assert not compare(study(OLD), found(NEW, recorded={"code": "one"})).differing
    assert set(compare(study(OLD), found(NEW, recorded={"code": "two"})).differing) == {
        "code"
    }
    assert set(
        compare(
            study(OLD), found(NEW | {"epochs": 5}, recorded={"code": "one"})
        ).differing
    ) == {"epochs"}
    [change], _ = accept_changes(
        study(OLD), found(NEW, recorded={"code": "two"}), accept=["code"]
    )
    assert (change.field, change.new) == ("code", "two")


def test_under_another_python_the_code_of_a_study_of_0_1_0_is_taken_as_it_is_and_that_is_said():
    compared = compare(
        study(OLD), found(NEW, recorded={"code": "two"}, python="3.12.1")
    )
    assert not compared.differing
    assert "3.11" in compared.notes[0]
    assert "3.12" in compared.notes[0]


def test_a_study_of_a_newer_version_is_left_to_that_one():
    with pytest.raises(SchemaMismatch, match="newer lrsearch"):
        compare(study(NEW | {"version": 3}), found(NEW))
