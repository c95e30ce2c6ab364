"""Keras training behind one contract. The one package that imports TensorFlow."""

from __future__ import annotations

from lrsearch.engine.binding import bind_memory, bind_threads
from lrsearch.engine.contract import Engine
from lrsearch.engine.exporting import write_model
from lrsearch.engine.fit import FitEngine
from lrsearch.engine.inspecting import inspect_study, open_study
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.errors import UnknownName

__all__ = [
    "Engine",
    "FitEngine",
    "LoadedStudy",
    "bind_memory",
    "bind_threads",
    "create_engine",
    "inspect_study",
    "open_study",
    "write_model",
]

ENGINES = {"auto": FitEngine, "fit": FitEngine}


def create_engine(name: str, loaded: LoadedStudy) -> Engine:
    """The engine of that name for a loaded study. Raises UnknownName."""
    if name not in ENGINES:
        raise UnknownName("engine", got=name, known=ENGINES)
    return ENGINES[name](loaded)
