"""A study and its records, made by hand."""

import pytest

from lrsearch.values import (
    Direction,
    Kind,
    Origin,
    Setting,
    StudyFacts,
    StudyPlan,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)


@pytest.fixture
def study():
    """Makes a study's record: study(direction)."""

    def make(direction=Direction.MAXIMIZE, asked_rates=None, **more):
        facts = StudyFacts(
            objective="val_accuracy",
            direction=direction,
            metrics=("accuracy", "loss", "val_accuracy", "val_loss"),
            epochs=20,
            accumulation=1,
            steps_per_epoch={"32": 45},
            train_examples=1437,
            validation_examples=360,
            has_test=False,
            parameters=9000,
            yours=Setting(
                optimizer="adam", learning_rate=1e-3, schedule="constant", batch_size=32
            ),
            exact_order=True,
            fingerprint={},
            asked_rates=asked_rates or {},
            versions={"keras": "3.15.1"},
        )
        plan = StudyPlan(
            name="digits",
            study_file="studies/digits.py",
            facts=facts,
            overrides={},
            dimensions=more.pop("dimensions", ()),
            sampler="tpe",
            pruner="none",
            seed=0,
            trials=40,
            timeout_seconds=None,
            retest_seeds=3,
            retries=2,
            first=(),
        )
        return StudyRecord(
            id=1,
            plan=plan,
            state=more.pop("state", StudyState.OPEN),
            reason="",
            trials=40,
            deadline=None,
            created_at=0.0,
            optuna_study_id=1,
            **more,
        )

    return make


@pytest.fixture
def trial():
    """Makes a search trial's record: trial(number, optimizer, rate, value); no value
    means that it diverged.
    """

    def make(number, optimizer="adam", rate=1e-3, value=None, **more):
        shape = more.pop("shape", {"warmup": 0.05})
        setting = Setting(
            optimizer=optimizer,
            learning_rate=rate,
            schedule="linear",
            batch_size=32,
            shape=shape,
        )
        fields = {
            "id": number + 1,
            "number": number,
            "kind": Kind.SEARCH,
            "origin": Origin.YOURS if number == 0 else Origin.SAMPLED,
            "state": TrialState.DIVERGED if value is None else TrialState.COMPLETE,
            "setting": setting,
            "seed": number,
            "value": value,
        }
        return TrialRecord(**{**fields, **more})

    return make


@pytest.fixture
def retests(trial):
    """Makes the retests of a search trial: retests(parent, values); None is a seed that diverged."""

    def make(parent, values):
        return [
            trial(
                repeat,  # retests have numbers of their own, from 0
                id=100 + 10 * parent + repeat,
                value=value,
                origin=Origin.SAMPLED,
                kind=Kind.RETEST,
                parent=parent,
                repeat=repeat,
                seed=1000 + repeat,
            )
            for repeat, value in enumerate(values)
        ]

    return make


@pytest.fixture
def records(trial):
    """Yours; Adam that crawls at two rates, does well at two and diverges at one; SGD
    with a single trial.
    """
    return [
        trial(0, value=0.95),
        trial(1, "adam", 1e-6, 0.1, logs={"loss": 2.3}),
        trial(2, "adam", 1e-5, 0.4, logs={"loss": 1.8}),
        trial(3, "adam", 1e-3, 0.97, logs={"loss": 0.1}),
        trial(4, "adam", 3e-3, 0.968, logs={"loss": 0.1}),
        trial(5, "adam", 1e-1),
        trial(6, "sgd", 1e-1, 0.9, logs={"loss": 0.3}),
    ]
