"""Trackers that people have: TensorBoard, MLflow, Weights & Biases.

One process reads the ledger and sends every training that has ended, of any worker and
engine, as a run. Training knows nothing of it. A module here for another tracker offers
a class like those in `places.TRACKERS`.
"""

from lrsearch.trackers.places import Place

__all__ = ["Place"]
