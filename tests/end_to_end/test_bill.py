"""The bill before a study, a limit of trainings under kills, and what was spent: real processes, a cheap stand-in trains."""

import json
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from driven import driven, journal, ledger_of, records
from driven import study as study  # noqa: PLC0414 - a fixture

from lrsearch.cli.main import cli
from lrsearch.errors import FingerprintMismatch, InvalidValue
from lrsearch.launch import plan_study, run_study
from lrsearch.launch.request import Request
from lrsearch.launch.slots import SlotRequest
from lrsearch.values import Kind, StudyState, TrialState


def every_training(arguments):
    return [*records(arguments), *records(arguments, Kind.RETEST)]


def test_twelve_trainings_are_twelve_with_three_workers_two_of_them_killed(study):
    arguments = study(workers=3, trials=None, retest=None, epochs=3, epoch_seconds=0.15) | {"trainings": 12}
    with driven(arguments) as run:
        for _ in range(2):
            held = run.wait_for("trial.started")
            os.kill(_pid(arguments, held), signal.SIGKILL)
        run.ended(60)
    trainings = every_training(arguments)
    assert len(trainings) == 12
    assert all(each.state is TrialState.COMPLETE for each in trainings)
    assert sum(each.kind is Kind.RETEST for each in trainings) == 6
    assert sum(each.lost for each in trainings) == 2
