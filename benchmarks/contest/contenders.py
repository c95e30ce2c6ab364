"""Who takes part, and how one run of each is started, timed and checked.

Every run is a fresh process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from processes import RunFailed, last_json, timed
from settings import points
from workloads import WORKLOADS

HERE = Path(__file__).parent
PEERS = ("optuna", "kerastuner", "raytune")
PACKAGES = "tensorflow keras keras-tuner 'ray[tune]' optuna scikit-learn tensorboard"
_VERSIONS = """
import json, keras, keras_tuner, optuna, ray.tune, sklearn, tensorflow
print(json.dumps({each.__name__: each.__version__ for each in (keras, keras_tuner, optuna, ray, sklearn, tensorflow)}))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One run: `count` trials of a workload."""

    workload: str
    count: int
    peers_python: str | None
    timeout: float  # seconds


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run took and did.

    `seconds` is the process's whole wall time; `span` its training's, where that is
    known.
    """

    seconds: float
    trials: Sequence[tuple[int, int, float]]  # number, epochs, value
    span: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def problems(self, task: Task) -> list[str]:
        """Why this run must not be counted; empty where every trial of the list was
        trained to its end.
        """
        epochs = WORKLOADS[task.workload].epochs
        missing = sorted(
            set(range(task.count)) - {number for number, _, _ in self.trials}
        )
        short = sorted(
            number for number, trained, _ in self.trials if trained != epochs
        )
        found = (
            [f"{len(self.trials)} trials where {task.count} were asked"]
            if len(self.trials) != task.count
            else []
        )
        found += [f"trials without a result: {missing}"] if missing else []
        return found + (
            [f"trials that did not train {epochs} epochs: {short}"] if short else []
        )


Runner = Callable[[str, Task], Result]


# -- kinds of contenders ---------------------------------------------------------------


def run_peer(peer: str, task: Task) -> Result:
    """A peer with `model.fit`, in its own environment."""
    assert task.peers_python
    with tempfile.TemporaryDirectory(prefix="contest-") as folder:
        command = [
            task.peers_python,
            str(HERE / "peers.py"),
            peer,
            task.workload,
            str(task.count),
        ]
        seconds, printed = timed(
            command, folder, task.timeout, RAY_USAGE_STATS_ENABLED="0"
        )
    return Result(
        seconds=seconds, trials=[tuple(each) for each in last_json(printed)["trials"]]
    )


def run_loop(engine: str, task: Task) -> Result:
    """An engine in processes like the workers', without everything around it."""
    with tempfile.TemporaryDirectory(prefix="contest-") as folder:
        command = [
            sys.executable,
            str(HERE / "loop.py"),
            "train",
            task.workload,
            str(task.count),
            engine,
        ]
        seconds, printed = timed(command, folder, task.timeout)
    found = last_json(printed)
    facts = {"slots": found["slots"], "engines": found["engines"]}
    return Result(
        seconds=seconds,
        span=found["span"],
        trials=[tuple(each) for each in found["trials"]],
        facts=facts,
    )


def run_study(engine: str, task: Task) -> Result:
    """`lrsearch start-study` as a user runs it, on a study whose first trials are the
    list; making it is counted too.
    """
    with tempfile.TemporaryDirectory(prefix="contest-") as folder:
        url = f"sqlite:///{folder}/lrsearch.db"
        began = time.perf_counter()
        make_study(url, task)
        made = time.perf_counter() - began
        options = [
            "--name",
            task.workload,
            "--storage",
            url,
            "--engine",
            engine,
            "--log-file",
            "log",
            "-q",
        ]
        command = [
            sys.executable,
            "-m",
            "lrsearch",
            "start-study",
            str(HERE / f"study_{task.workload}.py"),
            *options,
        ]
        seconds, _ = timed(command, folder, task.timeout)
        events = [
            json.loads(line) for line in Path(folder, "log").read_text().splitlines()
        ]
        trials, facts = read_study(url, task)
    begun, ended = (
        [each["at"] for each in events if each["event"] == f"trial.{what}"]
        for what in ("started", "ended")
    )
    facts |= {"made": made, "slots": sum(each["event"] == "ready" for each in events)}
    return Result(
        seconds=made + seconds, span=max(ended) - min(begun), trials=trials, facts=facts
    )


_inspections: dict[str, Any] = {}


def make_study(url: str, task: Task) -> None:
    """A new study with the list as its first trials, no retests, and else what
    `start-study` gives it.
    """
    from study import setting_of

    from lrsearch.jsonable import from_json
    from lrsearch.launch.creating import make_plan
    from lrsearch.messages import Inspection
    from lrsearch.options import SearchOptions
    from lrsearch.storage import open_ledger
    from lrsearch.values import Origin

    batch = WORKLOADS[task.workload].batch_size
    search = SearchOptions(trials=task.count, retest=0)
    file = HERE / f"study_{task.workload}.py"
    found = from_json(Inspection, _inspections[task.workload])
    plan = make_plan(search, task.workload, str(file), found)
    first = tuple(
        (Origin.REFERENCE, setting_of(each, batch)) for each in points(task.count)
    )
    ledger = open_ledger(url, create=True)
    ledger.create_study(replace(plan, first=first))
    ledger.close()


def inspect(workload: str) -> None:
    """Learn what `make_study` needs, once, in a process of its own: this one never
    loads TensorFlow.
    """
    with tempfile.TemporaryDirectory(prefix="contest-") as folder:
        command = [sys.executable, str(HERE / "loop.py"), "inspect", workload]
        _inspections[workload] = last_json(timed(command, folder, 300.0)[1])


def read_study(
    url: str, task: Task
) -> tuple[list[tuple[int, int, float]], dict[str, Any]]:
    """The trials that the ledger has as complete, and what else it says.

    Raises RunFailed where curves or mirror have gaps.
    """
    import optuna

    from lrsearch.storage import open_ledger
    from lrsearch.values import TrialState

    ledger = open_ledger(url)
    study = ledger.study(task.workload)
    records = ledger.trials(study.id)
    curves = sum(map(len, ledger.curves(study.id).values()))
    mirrored = ledger.optuna_storage().get_n_trials(
        study.optuna_study_id, optuna.trial.TrialState.COMPLETE
    )
    ledger.close()
    complete = [each for each in records if each.state is TrialState.COMPLETE]
    if curves != sum(each.epochs for each in records) or mirrored < len(complete):
        raise RunFailed(
            f"{curves} points of curves, {mirrored} rows at Optuna for {len(complete)} complete trials"
        )
    facts = {
        "engines": dict(Counter(each.engine for each in records)),
        "curve points": curves,
    }
    facts["ended otherwise"] = {
        each.number: f"{each.state} {each.reason}"
        for each in records
        if each not in complete
    }
    return [
        (each.number, each.epochs, float(each.value or 0.0)) for each in complete
    ], facts


def run_rates(_name: str, task: Task) -> Result:
    """The machine's matmul rates now; trains nothing."""
    with tempfile.TemporaryDirectory(prefix="contest-") as folder:
        seconds, printed = timed(
            [sys.executable, str(HERE / "arithmetic.py"), task.workload],
            folder,
            task.timeout,
        )
    return Result(seconds=seconds, trials=[], facts=last_json(printed))


KINDS: dict[str, Runner] = {
    "lrsearch": run_study,
    "loop": run_loop,
    "peer": run_peer,
    "rates": run_rates,
}


def known_engines() -> list[str]:
    """The engines that this lrsearch's command line offers."""
    from lrsearch.cli.run import start_study

    return next(
        list(each.type.choices) for each in start_study.params if each.name == "engine"
    )  # type: ignore[attr-defined]


def peers_versions(python: str) -> dict[str, str]:
    """The versions in the peers' environment. Raises RunFailed where a package is missing."""
    try:
        with tempfile.TemporaryDirectory(prefix="contest-") as folder:
            return last_json(timed([python, "-c", _VERSIONS], folder, 300.0)[1])
    except (OSError, RunFailed) as error:
        raise RunFailed(
            f"{python} does not have what the peers need. Install there: {PACKAGES}\n{error}"
        ) from None
