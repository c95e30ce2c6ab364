"""Loads a study file.

An error of the file comes with the file's own traceback; an error of ours is one line.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import traceback
from contextlib import suppress
from dataclasses import fields, replace
from itertools import dropwhile
from pathlib import Path
from types import ModuleType
from typing import Any

from lrsearch.definition.sources import read_sources
from lrsearch.definition.study import StudyDefinition
from lrsearch.definition.version1 import MODULE
from lrsearch.errors import InvalidValue, LrSearchError, StudyFileError, UnknownName
from lrsearch.space import SearchSpace

BACKEND = "tensorflow"


def load_study_file(path: str | Path) -> StudyDefinition:
    """Load the definition in a file, and fill in its `build_model` and `load_data`.

    The file's folder is importable while and after it loads, for modules beside it.
    Raises StudyFileError, with the file's own traceback where its code failed,
    InvalidValue for a field, and InvalidValue for a Keras backend other than
    TensorFlow.
    """
    check_backend()
    path = Path(path)
    check_file(path)
    if path.suffix != ".py":
        raise StudyFileError(
            f"study file {str(path)!r} is no Python file:",
            fix="its name must end in .py.",
        )
    # before the file runs: a later edit is another definition
    sources = read_sources(path)
    module = _run(path)
    definition = getattr(module, "definition", None)
    if not isinstance(definition, StudyDefinition):
        found = "none" if definition is None else f"a {type(definition).__name__}"
        text = f"{path.name} must have `definition = StudyDefinition(...)`; it has {found}."
        raise StudyFileError(
            text, fix="See `lrsearch new-study` for a file to begin from."
        )
    functions = {
        name: _function(module, definition, name)
        for name in ("build_model", "load_data")
    }
    return replace(definition, sources=sources, **functions)


def check_file(study_file: str | Path) -> Path:
    """Return the study file as an absolute path. Raises StudyFileError where there is none."""
    path = Path(study_file).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        fix = "Write one with: lrsearch new-study FILE.py"
        raise StudyFileError(f"study file {str(study_file)!r} {what}.", fix=fix)
    return path.resolve()


def check_backend() -> None:
    """Refuse a Keras backend that no engine trains on, before Keras is imported under it."""
    backend = os.environ.get("KERAS_BACKEND") or _configured_backend()
    if backend != BACKEND:
        raise InvalidValue(
            "KERAS_BACKEND", got=backend, allowed=BACKEND, fix="Set it to tensorflow."
        )


def _configured_backend() -> str:
    """The backend in Keras' own file, which counts where the variable is not set."""
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads(file.read_text(encoding="utf-8")).get("backend", BACKEND))
    return BACKEND


def _run(path: Path) -> ModuleType:
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module  # pickling and Keras' registration look there
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except LrSearchError as error:
        raise name_file(error, path) from None
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        unknown = unknown_field(error)
        if unknown is not None:
            raise name_file(unknown, path) from None
        text = own_traceback(error, path)
        raise StudyFileError(
            f"{path.name} does not load: {type(error).__name__}: {error}",
            fix=_hint(error),
            traceback_text=text,
        ) from None
    finally:
        sys.dont_write_bytecode = before
    return module


def _hint(error: Exception) -> str:
    """The fix for an error that comes from a study file's place."""
    if isinstance(error, ImportError) and "relative import" in str(error):
        return (
            "A study file is no package: import the modules beside it by their names, as in "
            "`import helpers`."
        )
    return ""


def unknown_field(error: Exception) -> LrSearchError | None:
    """The error for a misspelt field of StudyDefinition or SearchSpace, with the nearest name.

    Python reports such a field by a TypeError.
    """
    for kind in (StudyDefinition, SearchSpace):
        found = re.fullmatch(
            rf"{kind.__name__}.__init__\(\) got an unexpected keyword argument '(\w+)'.*",
            str(error),
        )
        if found is not None and isinstance(error, TypeError):
            return UnknownName(
                f"field of {kind.__name__}",
                got=found[1],
                known=[each.name for each in fields(kind)],
            )
    return None


def name_file(error: LrSearchError, path: Path) -> LrSearchError:
    """Put the file's name before the text of our own error."""
    error.args = (f"{path.name}: {error}",)
    return error


def own_traceback(error: BaseException, path: Path) -> str:
    """The traceback from the study file on, without our own frames before."""
    frames = dropwhile(
        lambda frame: Path(frame.filename) != path,
        traceback.extract_tb(error.__traceback__),
    )
    lines = traceback.format_list(list(frames))
    head = ["Traceback (most recent call last):\n"] if lines else []
    return "".join([*head, *lines, *traceback.format_exception_only(error)])


def _function(module: ModuleType, definition: StudyDefinition, name: str) -> Any:
    function = getattr(definition, name) or getattr(module, name, None)
    if not callable(function):
        file = Path(str(module.__file__)).name
        raise StudyFileError(
            f"{file} must have a function `{name}`;",
            fix="see `lrsearch new-study` for a file to begin from.",
        )
    return function
