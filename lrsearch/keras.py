"""Registers lrsearch's serialisable Keras classes.

Import it before you load a model that was saved with one of our schedules.
"""

from lrsearch.space._keras import Schedule

__all__ = ["Schedule"]
