"""lrsearch: learn which optimizer, peak learning rate and schedule shape to train a Keras model
with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrsearch.version import VERSION

if TYPE_CHECKING:
    from lrsearch.api import SearchResult, load, search
    from lrsearch.definition import StudyDefinition, TrialInfo
    from lrsearch.errors import LrSearchError
    from lrsearch.space import SearchSpace

__version__ = VERSION
__all__ = [
    "LrSearchError",
    "SearchResult",
    "SearchSpace",
    "StudyDefinition",
    "TrialInfo",
    "load",
    "search",
]

# Loaded on first use, so that `lrsearch --help` and a study file's import stay fast.
_HOMES = {
    "LrSearchError": "lrsearch.errors",
    "SearchResult": "lrsearch.api",
    "SearchSpace": "lrsearch.space",
    "StudyDefinition": "lrsearch.definition",
    "TrialInfo": "lrsearch.definition",
    "load": "lrsearch.api",
    "search": "lrsearch.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lrsearch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
