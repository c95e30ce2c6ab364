"""What Keras imports and no training needs, put off until a study's code asks for it.

Keras 3.15 imports Scikit-learn, SciPy's statistics and matplotlib where they are
installed: 1.5 of 5.5 CPU seconds of a worker's start.
"""

from __future__ import annotations

from lrsearch.lazy import defer_modules

EXTRAS = (
    "keras.visualization",
    "keras.wrappers",
    "keras.src.visualization",
    "keras.src.wrappers",
)


def defer_extras() -> None:
    """Put them off; Keras must not have been imported yet."""
    defer_modules(EXTRAS)
