"""MLflow: an experiment for each study, a run for each training, written in batches."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from urllib.parse import urlsplit

from mlflow.entities import Metric, Param
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.tracking import MlflowClient

from lrsearch.trackers.runs import Run, Tracker
from lrsearch.values import Json

_KEY = "lrsearch.training"
_BATCH = 1000  # metrics and parameters in one call, at most


def open(where: str) -> Tracker:  # noqa: A001 - called as a member
    # MLflow's own retries take minutes; a sender tries again by itself.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    # Nobody asked for MLflow's reports of its use to its makers, with a record for
    # every call.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if urlsplit(where).scheme.split("+")[0] in DATABASE_ENGINES:
        # A client that is made for a database loads this, for 0.8 s, and makes its
        # tables.
        import_module("mlflow.store.tracking.sqlalchemy_store")
    return _MLflow(where)


class _MLflow:
    def __init__(self, where: str) -> None:
        self._where = where

    def begin(self, study: str) -> set[str]:
        self._client = MlflowClient(tracking_uri=self._where)
        found = self._client.get_experiment_by_name(study)
        if found is None:
            self._experiment = self._client.create_experiment(study)
            return set()
        self._experiment = found.experiment_id
        return self._known()

    def _known(self) -> set[str]:
        keys: set[str] = set()
        token = None
        while True:
            some = self._client.search_runs(
                [self._experiment], "attributes.status != 'RUNNING'", page_token=token
            )
            keys |= {each.data.tags[_KEY] for each in some if _KEY in each.data.tags}
            token = some.token
            if not token:
                return keys

    def send(self, runs: Sequence[Run]) -> None:
        for run in runs:
            tags = {
                _KEY: run.key,
                **{f"lrsearch.{name}": text for name, text in run.tags.items()},
            }
            made = self._client.create_run(
                self._experiment,
                start_time=round(run.began * 1000),
                run_name=run.label,
                tags=tags,
            ).info.run_id
            params = [Param(name, str(value)) for name, value in run.params.items()]
            metrics = _metrics(run)
            while some := list(itertools.islice(metrics, _BATCH - len(params))):
                self._client.log_batch(made, metrics=some, params=params)
                params = []
            status = "FAILED" if run.failed else "FINISHED"
            self._client.set_terminated(made, status, end_time=round(run.ended * 1000))

    def conclude(self, verdict: str, answer: Mapping[str, Json]) -> None:
        for name, text in {"verdict": verdict, "next": answer["next"]["text"]}.items():
            self._client.set_experiment_tag(self._experiment, f"lrsearch.{name}", text)


def _metrics(run: Run) -> Iterator[Metric]:
    at = round(run.ended * 1000)
    for epoch, numbers in (*run.points, (run.summary_step, run.summary)):
        for name, value in numbers.items():
            yield Metric(name, value, at, epoch)
