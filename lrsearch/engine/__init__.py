"""Keras training behind one contract. The one package that imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

from lrsearch.choices import check_choice
from lrsearch.engine.auto import AutoEngine
from lrsearch.engine.binding import bind_memory, bind_threads
from lrsearch.engine.contract import Engine
from lrsearch.engine.exporting import write_model
from lrsearch.engine.final_training import train_and_save
from lrsearch.engine.fit import FitEngine
from lrsearch.engine.graph import GraphEngine
from lrsearch.engine.inspection import inspect_study, load_study, open_study
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.same_start import check_same_start
from lrsearch.engine.vectorized import VectorizedEngine

__all__ = [
    "ENGINES",
    "AutoEngine",
    "GraphEngine",
    "LoadedStudy",
    "VectorizedEngine",
    "bind_memory",
    "bind_threads",
    "check_same_start",
    "create_engine",
    "inspect_study",
    "load_study",
    "open_study",
    "train_and_save",
    "write_model",
]

# Each hands what it cannot carry to the next: auto -> vectorized -> graph -> fit.
ENGINES: dict[str, Callable[[LoadedStudy], Engine]] = {
    "auto": AutoEngine,
    "vectorized": VectorizedEngine,
    "graph": GraphEngine,
    "fit": FitEngine,
}


def create_engine(name: str, loaded: LoadedStudy) -> Engine:
    """The engine of that name for a loaded study. Raises UnknownName."""
    check_choice("engine", name)
    return ENGINES[name](loaded)
