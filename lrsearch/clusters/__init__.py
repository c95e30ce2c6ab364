"""Clusters that start `lrsearch attach` often enough: Slurm, Kubernetes, Ray.

Workers pull their trials from the database, so a cluster needs to know nothing of a
study. Each module here makes what its cluster takes, and hands it over; a module for
another cluster offers the same two functions, `describe` and `submit`.
"""

from lrsearch.clusters.tasks import WorkerTasks

__all__ = ["WorkerTasks"]
