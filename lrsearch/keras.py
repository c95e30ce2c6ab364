"""Registers lrsearch's Keras classes: import it to load a model saved with one of our schedules."""

from lrsearch.space._keras import Schedule

__all__ = ["Schedule"]
