"""Registers lrsearch's serialisable Keras classes: import it before loading a model that was saved
with one of our schedules.
"""

from lrsearch.space._keras import Schedule

__all__ = ["Schedule"]
