"""lrsearch: learn which optimizer, peak learning rate and schedule shape to train a
Keras model with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.lazy import lazy_names
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
__getattr__ = lazy_names(
    __name__,
    api=["SearchResult", "load", "search"],
    definition=["StudyDefinition", "TrialInfo"],
    errors=["LrSearchError"],
    space=["SearchSpace"],
)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
