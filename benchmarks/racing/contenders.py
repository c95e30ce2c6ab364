"""Runs one search of a contender, or the judge, as a command; raises RunFailed with its last words."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contest.processes import RunFailed, last_json, timed
from racing.tasks import TASKS

HERE = Path(__file__).parent
ONE_THREAD = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
Pick = dict[str, Any] | None  # None is the task's own compile


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What one study needs to know."""

    task: str
    contender: str
    seed: int
    runs: int  # full trainings that the search pays
    peers_python: str
    timeout: float  # seconds

    @property
    def epochs(self) -> int:
        return self.runs * TASKS[self.task].epochs


def run_peer(search: Search) -> dict[str, Any]:
    """A peer's search, in its own environment."""
    what = [search.contender, search.task, str(search.epochs), str(search.seed)]
    command = [search.peers_python, str(HERE / "peers.py"), *what]
    return _in_folder(command, search.timeout)


def run_lrsearch(search: Search) -> dict[str, Any]:
    """`lrsearch start-study` as a user runs it, with one worker, and what its answer recommends.

    A contender's second word is its pruner; without one the default is taken.
    """
    pruner = search.contender.partition(" ")[2]
    options = ["--trainings", str(search.runs), "--seed", str(search.seed)]
    options += ["--pruner", pruner] if pruner else []
    with tempfile.TemporaryDirectory(prefix="race-") as folder:
        url = f"sqlite:///{folder}/lrsearch.db"
        command = [sys.executable, "-m", "lrsearch", "start-study"]
        command += [str(HERE / f"study_{search.task}.py")]
        command += ["--name", "race", "--storage", url, *options]
        command += ["--workers", "1", "--threads", "1", "--json"]
        used = _cpu_seconds()
        seconds, _ = timed(command, folder, search.timeout)
        return read_study(url) | {"seconds": seconds, "cpu": _cpu_seconds() - used}


def read_study(url: str) -> dict[str, Any]:
    """The pick of the study's answer, its value, and all epochs that were trained.

    `training_seconds` runs from the claim of the first trial to the end of the last.
    """
    from lrsearch.answer import summarise
    from lrsearch.storage import open_ledger

    ledger = open_ledger(url)
    try:
        study = ledger.study("race")
        records = ledger.trials(study.id)
        attempts, scores = ledger.all_attempts(study.id), ledger.row_scores(study.id)
        best = summarise(study, records, attempts, scores=scores).best
    finally:
        ledger.close()
    if best is None:
        raise RunFailed("the study has no trial that ended well")
    setting = best.setting
    point = {"optimizer": setting.optimizer, "learning_rate": setting.learning_rate}
    point |= {"schedule": setting.schedule, **setting.shape}
    began = min(each.started_at for each in records if each.started_at)
    ended = max(each.finished_at for each in records if each.finished_at)
    return {
        "pick": None if best.is_yours else point,
        "value": best.value,
        "epochs": sum(each.epochs for each in records),
        "trials": len(records),
        "retests": sum(each.is_retest for each in records),
        "training_seconds": ended - began,
    }


def run_yours(search: Search) -> dict[str, Any]:
    """The task's own compile; nothing is searched."""
    del search
    paid = {
        "epochs": 0,
        "trials": 0,
        "training_seconds": 0.0,
        "seconds": 0.0,
        "cpu": 0.0,
    }
    return {"pick": None, "value": None, **paid}


CONTENDERS: dict[str, Callable[[Search], dict[str, Any]]] = {
    "yours": run_yours,
    "lrsearch": run_lrsearch,
    "lrsearch none": run_lrsearch,
    "optuna": run_peer,
    "optuna-ours": run_peer,
    "raytune": run_peer,
    "kerastuner": run_peer,
}


def losses_of(
    task: str,
    picks: Sequence[Pick],
    seeds: Sequence[int],
    *,
    peers_python: str,
    timeout: float,
) -> list[dict[str, list[float]]]:
    """Each pick's losses by split, a value a seed, trained anew by plain `model.fit`."""
    what = [task, ",".join(map(str, seeds)), json.dumps(list(picks))]
    command = [peers_python, str(HERE / "judge.py"), *what]
    found: list[dict[str, list[float]]] = _in_folder(command, timeout)["losses"]
    return found


def _in_folder(command: list[str], timeout: float) -> dict[str, Any]:
    """What a command of the peers' Python printed last, and the seconds that it took."""
    with tempfile.TemporaryDirectory(prefix="race-") as folder:
        used = _cpu_seconds()
        seconds, printed = timed(command, folder, timeout, **ONE_THREAD)
        return last_json(printed) | {"seconds": seconds, "cpu": _cpu_seconds() - used}


def _cpu_seconds() -> float:
    """Of all ended children and theirs, as far as somebody waited for them (Ray's are missing)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
