"""MLflow: an experiment for each study, a run for each training, written in batches."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from lrsearch.trackers.runs import Run, Tracker
from lrsearch.values import Json

_KEY = "lrsearch.training"
_BATCH = 1000  # metrics and parameters in one call, at most


def open(where: str, study: str) -> Tracker:  # noqa: A001 - called as a member
    # MLflow's own retries take minutes; a sender tries again by itself.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    # Nobody asked for MLflow's reports of its use to its makers, with a record for every call.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return _MLflow(MlflowClient(tracking_uri=where), study)


class _MLflow:
    def __init__(self, client: MlflowClient, study: str) -> None:
        self._client, self._study = client, study
        self._id: str | None = None

    @property
    def _experiment(self) -> str:
        if self._id is None:
            found = self._client.get_experiment_by_name(self._study)
            made = found.experiment_id if found else self._client.create_experiment(self._study)
            self._id = str(made)
        return self._id

    def known(self) -> set[str]:
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
            tags = {_KEY: run.key, **{f"lrsearch.{name}": text for name, text in run.tags.items()}}
            made = self._client.create_run(
                self._experiment, start_time=round(run.began * 1000), run_name=run.label, tags=tags
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
