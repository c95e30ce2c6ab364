"""Trains the list of settings with a peer; run by the peers' own Python, where lrsearch
need not be installed.

    python peers.py PEER WORKLOAD TRIALS

PEER: optuna (two processes on SQLite), kerastuner, raytune. Each trains with
`model.fit`, as its own documentation shows. The last line printed is JSON: a list of
[setting's number, epochs trained, last validation accuracy]. Settings come from our
list in every peer, so no peer pays for a sampler; each writes what it writes for every
trial.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from settings import Point, points
from workloads import WORKLOADS, Workload

CORES = len(os.sched_getaffinity(0))
OPTUNA_PROCESSES = 2
Trained = tuple[int, int, float]


def optimizer_of(point: Point, steps: int) -> Any:
    """The point's Keras optimizer with Keras' own schedule over `steps` updates."""
    from keras import optimizers

    rate, schedules = point.learning_rate, optimizers.schedules
    warm = round(point.warmup * steps)
    made = {
        "constant": lambda: rate,
        "linear": lambda: schedules.PolynomialDecay(rate, steps, 0.0),
        "cosine": lambda: (
            schedules.CosineDecay(
                0.0, steps - warm, warmup_target=rate, warmup_steps=warm
            )
            if warm
            else schedules.CosineDecay(rate, steps)
        ),
    }[point.schedule]()
    return {
        "sgd": lambda: optimizers.SGD(made),
        "momentum": lambda: optimizers.SGD(made, momentum=0.9),
        "adagrad": lambda: optimizers.Adagrad(made),
        "rmsprop": lambda: optimizers.RMSprop(made),
        "adam": lambda: optimizers.Adam(made),
    }[point.optimizer]()


def model_of(workload: Workload, point: Point, train: Any) -> Any:
    """The point's compiled model."""
    import keras

    keras.utils.set_random_seed(point.seed)
    return workload.compiled(
        optimizer_of(point, workload.epochs * -(-len(train[0]) // workload.batch_size))
    )


def fit(workload: Workload, model: Any, data: Any, callbacks: list[Any]) -> Any:
    """`model.fit` with the validation after every epoch."""
    train, validation = data
    options = {
        "epochs": workload.epochs,
        "batch_size": workload.batch_size,
        "verbose": 0,
    }
    return model.fit(*train, validation_data=validation, callbacks=callbacks, **options)


def trained(number: int, history: Any) -> Trained:
    values = history.history["val_accuracy"]
    return number, len(values), float(values[-1])


# -- Optuna ----------------------------------------------------------------------------


def run_optuna(name: str, count: int, folder: str) -> list[Trained]:
    import optuna

    url = f"sqlite:///{folder}/optuna.db"
    optuna.create_study(study_name="s", storage=url, direction="maximize")
    os.environ |= _threads(max(1, CORES // OPTUNA_PROCESSES))
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=optuna_process, args=(url, name, count))
        for _ in range(OPTUNA_PROCESSES)
    ]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    done = optuna.load_study(study_name="s", storage=url).get_trials(
        states=[optuna.trial.TrialState.COMPLETE]
    )
    return [(each.number, each.user_attrs["epochs"], each.value) for each in done]


def optuna_process(url: str, name: str, count: int) -> None:
    """Ask and tell until the list is trained: `study.optimize` in two processes overshoots a total."""
    import keras
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    workload = WORKLOADS[name]
    data, listed = workload.data(), points(count)
    study = optuna.load_study(
        study_name="s", storage=url, sampler=_listed(optuna, listed)
    )
    while (trial := study.ask()).number < count:
        point = listed[trial.number]
        trial.suggest_categorical(
            "optimizer", sorted({each.optimizer for each in listed})
        )
        trial.suggest_float("learning_rate", 1e-6, 1.0, log=True)
        trial.suggest_categorical(
            "schedule", sorted({each.schedule for each in listed})
        )
        _, epochs, value = trained(
            trial.number, fit(workload, model_of(workload, point, data[0]), data, [])
        )
        trial.set_user_attr("epochs", epochs)
        study.tell(trial, value)
        keras.backend.clear_session()
    study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _listed(optuna: Any, listed: list[Point]) -> Any:
    """A sampler that answers from the list."""

    class Listed(optuna.samplers.RandomSampler):  # type: ignore[misc, name-defined]
        def sample_independent(
            self, study: Any, trial: Any, name: str, distribution: Any
        ) -> Any:
            del study, distribution
            return getattr(listed[min(trial.number, len(listed) - 1)], name)

    return Listed()


# -- KerasTuner ------------------------------------------------------------------------


def run_kerastuner(name: str, count: int, folder: str) -> list[Trained]:
    import keras_tuner

    workload = WORKLOADS[name]
    data, listed = workload.data(), points(count)
    found: list[Trained] = []

    class Model(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> Any:
            return model_of(workload, listed[hp.Int("point", 0, count - 1)], data[0])

        def fit(self, hp: Any, model: Any, *args: Any, **options: Any) -> Any:
            history = model.fit(*args, **options)
            found.append(trained(hp.get("point"), history))
            return history

    class Listed(keras_tuner.Oracle):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            return {"status": "RUNNING", "values": {"point": int(trial_id)}}

    oracle = Listed(objective="val_accuracy", max_trials=count)
    tuner = keras_tuner.Tuner(
        oracle, Model(), directory=folder, project_name="p", overwrite=True
    )
    train, validation = data
    options = {
        "epochs": workload.epochs,
        "batch_size": workload.batch_size,
        "verbose": 0,
    }
    tuner.search(*train, validation_data=validation, **options)
    return found


# -- Ray Tune --------------------------------------------------------------------------


def run_raytune(name: str, count: int, folder: str) -> list[Trained]:
    import ray
    from ray import tune

    environment = {"PYTHONPATH": str(Path(__file__).parent), **_threads(1)}
    kept = {
        key: os.environ[key]
        for key in ("LRSEARCH_DATA", "TF_CPP_MIN_LOG_LEVEL")
        if key in os.environ
    }
    options = {
        "log_to_driver": False,
        "include_dashboard": False,
        "logging_level": logging.ERROR,
    }
    ray.init(num_cpus=CORES, runtime_env={"env_vars": environment | kept}, **options)
    workload = WORKLOADS[name]
    trainable = tune.with_parameters(
        ray_trial, name=name, data=workload.data(), listed=points(count)
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"point": tune.grid_search(list(range(count)))},
        tune_config=tune.TuneConfig(
            metric="val_accuracy", mode="max", reuse_actors=True
        ),
        run_config=tune.RunConfig(verbose=0, storage_path=folder),
    )
    ends = [each.metrics for each in tuner.fit() if each.metrics and each.error is None]
    return [
        (each["config"]["point"], each["epoch"], each["val_accuracy"]) for each in ends
    ]


def ray_trial(
    config: dict[str, int], *, name: str, data: Any, listed: list[Point]
) -> None:
    import keras
    from ray import tune

    class Report(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            tune.report(
                {"val_accuracy": float(logs["val_accuracy"]), "epoch": epoch + 1}
            )

    workload = WORKLOADS[name]
    fit(
        workload, model_of(workload, listed[config["point"]], data[0]), data, [Report()]
    )
    keras.backend.clear_session()


def _threads(count: int) -> dict[str, str]:
    """One process a core: TensorFlow's own variables for its two pools."""
    return {
        "TF_NUM_INTRAOP_THREADS": str(count),
        "TF_NUM_INTEROP_THREADS": str(count),
        "OMP_NUM_THREADS": str(count),
    }


PEERS = {"optuna": run_optuna, "kerastuner": run_kerastuner, "raytune": run_raytune}


def main() -> None:
    peer, workload, count = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        found = PEERS[peer](workload, int(count), folder)
        print(json.dumps({"trials": sorted(found)}), flush=True)


if __name__ == "__main__":
    main()
