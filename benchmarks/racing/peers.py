"""One search by a peer on a budget of epochs; run by the peers' own Python.

    python peers.py PEER TASK EPOCHS SEED

PEER: optuna (TPE and Hyperband's pruner), optuna-ours (the same over lrsearch's ranges
of rates), kerastuner (Hyperband), raytune (ASHA and OptunaSearch). Each trains with
`model.fit` in one worker, as its own documentation shows, reports the validation loss
after every epoch, and begins no trial once EPOCHS are trained. The last line printed is
JSON: the pick, its validation loss, the epochs and trials that were trained, the wall
seconds before the first training, and the incumbents: the tool's own best each time it
changed, with what was paid by then.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from racing.incumbents import Clock, Incumbents, Reports
from racing.points import (
    DECAY_START,
    FINAL,
    OPTIMIZERS,
    OUR_RATES,
    RATES,
    SCHEDULES,
    WARMUP,
    Point,
)
from racing.points import optimizer_of as make_optimizer
from racing.tasks import TASKS, Task, splits_of

PROCESS_BEGAN = time.time()
BENCHMARKS = str(Path(__file__).parents[1])
Suggest = Callable[..., Any]


@dataclass(kw_only=True)
class Spending:
    """What a search has trained, and its own best by then."""

    budget: int  # epochs
    epochs: int = 0
    trials: int = 0
    clock: Clock = field(default_factory=Clock)
    incumbents: Incumbents = field(default_factory=Incumbents)

    @property
    def over(self) -> bool:
        return self.epochs >= self.budget

    def note(self, point: Point, value: float, trained: int) -> None:
        """The tool's best now; `trained`: epochs of its run."""
        paid = {"epochs": self.epochs, "seconds": self.clock.seconds()}
        cpu = self.clock.cpu()
        self.incumbents.note(asdict(point), value, trained=trained, cpu=cpu, **paid)


def point_of(
    floating: Suggest, choice: Suggest, ranges: dict[str, tuple[float, float]]
) -> Point:
    """Ask for a setting, one value after another, as each tool's tutorial does."""
    optimizer = choice("optimizer", list(OPTIMIZERS))
    low, high = ranges.get(optimizer, RATES)
    name = f"learning_rate_{optimizer}" if ranges else "learning_rate"
    rate = floating(name, low, high, log=True)
    schedule = choice("schedule", list(SCHEDULES))
    stable = schedule == "warmup_stable_decay"
    return Point(
        optimizer=optimizer,
        learning_rate=rate,
        schedule=schedule,
        warmup=floating("warmup", *WARMUP),
        final=floating("final", *FINAL) if schedule != "constant" else 0.0,
        decay_start=floating("decay_start", *DECAY_START) if stable else 0.0,
    )


def train(
    task: Task, point: Point, seed: int, spending: Spending, each_epoch: Any
) -> None:
    """A whole run, unless `each_epoch(epoch, loss)` raises or returns True to stop."""
    import keras

    class Report(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            spending.epochs += 1
            if each_epoch(epoch, float(logs["val_loss"])):
                self.model.stop_training = True

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    training, validation = splits_of(task)
    model = task.compiled(make_optimizer(point, task.steps))
    options = {"epochs": task.epochs, "batch_size": task.batch_size, "verbose": 0}
    spending.clock.begin()
    model.fit(*training, validation_data=validation, callbacks=[Report()], **options)
    spending.trials += 1


def answer(point: Point, value: float, spending: Spending) -> dict[str, Any]:
    found = {"pick": point.to_json(), "value": value, "epochs": spending.epochs}
    found |= {"trials": spending.trials, "incumbents": spending.incumbents.found}
    return found | {"start_up": (spending.clock.began or 0.0) - PROCESS_BEGAN}


# -- Optuna ----------------------------------------------------------------------------


def run_optuna(
    task: Task, name: str, budget: int, seed: int, *, ours: bool = False
) -> dict[str, Any]:
    import optuna

    del name
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spending, ranges = Spending(budget=budget), dict(OUR_RATES) if ours else {}
    points: dict[int, Point] = {}

    def objective(trial: Any) -> float:
        point = point_of(trial.suggest_float, trial.suggest_categorical, ranges)
        points[trial.number], last = point, [float("inf")]

        def each_epoch(epoch: int, loss: float) -> bool:
            last[0] = loss
            trial.report(loss, epoch)
            if not trial.should_prune():
                return False
            spending.trials += 1
            raise optuna.TrialPruned

        train(task, point, seed * 1000 + trial.number, spending, each_epoch)
        return last[0]

    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True),
        pruner=optuna.pruners.HyperbandPruner(max_resource=task.epochs),
    )

    def each_trial(study: Any, trial: Any) -> None:
        del trial
        if study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
            best = points[study.best_trial.number]
            spending.note(best, study.best_value, task.epochs)
        if spending.over:
            study.stop()

    study.optimize(objective, callbacks=[each_trial])
    return answer(points[study.best_trial.number], study.best_value, spending)


def run_optuna_ours(task: Task, name: str, budget: int, seed: int) -> dict[str, Any]:
    return run_optuna(task, name, budget, seed, ours=True)


# -- KerasTuner ------------------------------------------------------------------------


def run_kerastuner(task: Task, name: str, budget: int, seed: int) -> dict[str, Any]:
    import keras
    import keras_tuner

    del name
    spending = Spending(budget=budget)
    training, validation = splits_of(task)

    def point_from(hp: Any) -> Point:
        def floating(name: str, low: float, high: float, *, log: bool = False) -> float:
            return float(hp.Float(name, low, high, sampling="log" if log else "linear"))

        return point_of(floating, hp.Choice, {})

    class Count(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            del epoch, logs
            spending.epochs += 1

    class Model(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> Any:
            return task.compiled(make_optimizer(point_from(hp), task.steps))

        def fit(self, hp: Any, model: Any, *args: Any, **options: Any) -> Any:
            del hp
            # A promoted trial goes on from its weights; without this its schedule would
            # begin anew.
            done = options.get("initial_epoch", 0)
            model.optimizer.iterations.assign(done * task.steps // task.epochs)
            options["callbacks"] = [*options.pop("callbacks"), Count()]
            spending.clock.begin()
            history = model.fit(*args, **options)
            spending.trials += 1
            if spending.over:
                tuner.oracle.populate_space = lambda _trial: {
                    "status": "STOPPED",
                    "values": {},
                }
            return history

    class Watched(keras_tuner.Hyperband):  # type: ignore[misc]
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            best = self.oracle.get_best_trials(1)[0]
            values = best.hyperparameters
            trained = int(values.get("tuner/epochs"))
            spending.note(point_from(values), float(best.score), trained)

    tuner = Watched(
        Model(),
        objective="val_loss",
        max_epochs=task.epochs,
        hyperband_iterations=100,  # the budget ends it
        seed=seed,
        directory=tempfile.mkdtemp(),
        project_name="p",
    )
    options = {"batch_size": task.batch_size, "verbose": 0}
    tuner.search(*training, validation_data=validation, **options)
    best = tuner.oracle.get_best_trials(1)[0]
    return answer(point_from(best.hyperparameters), float(best.score), spending)


# -- Ray Tune --------------------------------------------------------------------------


def run_raytune(task: Task, name: str, budget: int, seed: int) -> dict[str, Any]:
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    kept = {
        key: value
        for key, value in os.environ.items()
        if key.startswith(("LRSEARCH", "TF_"))
    }
    options = {
        "log_to_driver": False,
        "include_dashboard": False,
        "logging_level": logging.ERROR,
    }
    ray.init(
        "local",
        num_cpus=1,
        runtime_env={"env_vars": {"PYTHONPATH": BENCHMARKS, **kept}},
        **options,
    )

    reports, incumbents = Reports(), Incumbents()

    class Budget(tune.Stopper):  # type: ignore[misc]
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            if reports.take(trial_id, result):
                best = reports.best
                incumbents.note(
                    best["config"],
                    float(best["val_loss"]),
                    trained=best["epoch"],
                    epochs=reports.epochs,
                    seconds=reports.seconds(),
                    cpu=reports.cpu() + time.process_time(),
                )
            return False

        def stop_all(self) -> bool:
            return reports.epochs >= budget

    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(ray_trial, name=name, seed=seed), {"cpu": 1}
        ),
        tune_config=tune.TuneConfig(
            metric="val_loss",
            mode="min",
            num_samples=budget,  # one epoch each at least: the budget ends it
            reuse_actors=True,
            search_alg=OptunaSearch(
                _ray_space, metric="val_loss", mode="min", seed=seed
            ),
            scheduler=ASHAScheduler(
                time_attr="epoch", max_t=task.epochs, grace_period=1, reduction_factor=3
            ),
        ),
        run_config=tune.RunConfig(
            verbose=0, storage_path=tempfile.mkdtemp(), stop=Budget()
        ),
    )
    ends = list(tuner.fit())
    found = [
        each.metrics for each in ends if each.metrics and "val_loss" in each.metrics
    ]
    if not found:
        raise RuntimeError(
            f"no trial of Ray Tune reported: {[each.error for each in ends][:1]}"
        )
    best = min(found, key=lambda each: each["val_loss"])
    point = Point(**{key: best["config"][key] for key in best["config"]})
    spending = Spending(
        budget=budget,
        epochs=reports.epochs,
        trials=len(found),
        clock=Clock(began=reports.began),
        incumbents=incumbents,
    )
    return answer(point, best["val_loss"], spending)


def _ray_space(trial: Any) -> None:
    """Define-by-run: what is suggested becomes the trial's configuration."""
    point_of(trial.suggest_float, trial.suggest_categorical, {})


def ray_trial(config: dict[str, Any], *, name: str, seed: int) -> None:
    from ray import tune

    spending = Spending(budget=0)

    def each_epoch(epoch: int, loss: float) -> bool:
        clock = spending.clock
        used = {"process": os.getpid(), "cpu": clock.cpu(), "began": clock.began}
        told = {"val_loss": loss, "epoch": epoch + 1, "at": time.time()}
        tune.report(told | used)
        return False

    # trials have none
    number = zlib.crc32(json.dumps(config, sort_keys=True).encode()) % 1000
    train(
        TASKS[name],
        Point(**config),
        seed * 1000 + number,
        spending,
        each_epoch,
    )


PEERS = {
    "optuna": run_optuna,
    "optuna-ours": run_optuna_ours,
    "kerastuner": run_kerastuner,
    "raytune": run_raytune,
}


def main() -> None:
    peer, name, epochs, seed = sys.argv[1:]
    print(
        json.dumps(PEERS[peer](TASKS[name], name, int(epochs), int(seed))), flush=True
    )


if __name__ == "__main__":
    main()
