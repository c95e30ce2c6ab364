"""Weights & Biases: a run for each training, in a group for each study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from lrsearch.trackers.runs import Run, Tracker, plain_name
from lrsearch.values import Json

# A run was trained elsewhere: this process' output, code, packages, versions and load
# say nothing of it. They were three quarters of its time: to list what is installed
# alone took 0.1 s a run.
_SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


def open(where: str) -> Tracker:  # noqa: A001 - called as a member
    return _Wandb(where)


class _Wandb:
    """Its own variables count: WANDB_MODE=offline, WANDB_DIR, WANDB_ENTITY, WANDB_API_KEY."""

    def __init__(self, project: str) -> None:
        self._project, self._study = project, ""

    def begin(self, study: str) -> set[str]:
        self._study = study
        if wandb.setup().settings.mode == "offline":
            return self._offline()
        path = f"{wandb.setup().settings.entity or wandb.Api().default_entity}/{self._project}"
        runs = wandb.Api().runs(path, filters={"group": self._study})
        try:
            return {
                each.config["training"] for each in runs if "training" in each.config
            }
        except ValueError:  # there is no such project yet
            return set()

    def _offline(self) -> set[str]:
        """The keys of the runs that lie in the folder and wait for `wandb sync`."""
        start = f"{plain_name(self._study)}-"
        folders = Path(wandb.setup().settings.wandb_dir).glob(f"offline-run-*-{start}*")
        return {each.name.split(f"-{start}", 1)[1] for each in folders}

    def send(self, runs: Sequence[Run]) -> None:
        for run in runs:
            with self._begin(
                run.key, run.label, {**run.params, "training": run.key}
            ) as begun:
                for epoch, numbers in run.points:
                    begun.log(dict(numbers), step=epoch)
                begun.summary.update({**run.summary, **run.tags})
                begun.tags = (*(begun.tags or ()), run.tags["state"], run.tags["kind"])

    def conclude(self, verdict: str, answer: Mapping[str, Json]) -> None:
        with self._begin("answer", "answer", {}) as begun:
            begun.summary.update({"verdict": verdict, "next": answer["next"]["text"]})

    def _begin(self, key: str, name: str, config: Mapping[str, Json]) -> Any:
        return wandb.init(
            project=self._project,
            group=self._study,
            id=f"{plain_name(self._study)}-{key}",
            name=name,
            config=dict(config),
            resume="allow",
            reinit="finish_previous",
            settings=wandb.Settings(**_SETTINGS),
        )
