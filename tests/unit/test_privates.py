"""Private names of Keras, TensorFlow and Optuna stand in the modules that are named after them."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lrsearch"
KEEPERS = ("_keras", "_tensorflow", "_optuna")
OTHERS = {
    "os._exit",  # documented, for a forked child
    "node._fields",  # documented, of Python's syntax trees
    "scripts._upgrade_revs",  # alembic's: what its own `upgrade` command calls
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            from_module = (
                [node.module]
                if isinstance(node, ast.ImportFrom) and node.module
                else []
            )
            for module in from_module or [each.name for each in node.names]:
                names = [each.name for each in node.names] if from_module else []
                top, *rest = module.split(".")
                hidden = {"src", "python"} & set(rest) or any(
                    map(is_private, [*rest, *names])
                )
                if top in {"keras", "tensorflow", "optuna"} and hidden:
                    yield module


def private_attributes(tree):
    """Attributes of what is neither `self` nor a class of the module, and those asked by name."""
    own = {
        "self",
        "cls",
        *(each.name for each in tree.body if isinstance(each, ast.ClassDef)),
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in own):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "getattr",
            "setattr",
        }:
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(name.value):
                yield ast.unparse(node)


def found_in(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {*private_imports(tree), *private_attributes(tree)} - OTHERS


MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if not path.stem.startswith(KEEPERS)
)


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_module_of_ours_has_no_private_name_of_others(path):
    assert found_in(path) == set()


def test_the_search_finds_what_the_keepers_keep():
    found = {name for path in PACKAGE.rglob("_*.py") for name in found_in(path)}
    assert {"optimizer._learning_rate", "keras.src.trainers.trainer"} <= found
    assert "getattr(metric, '_direction', None)" in found
