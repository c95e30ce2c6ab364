"""What trackers are sent, read back by their own clients: every training with its right values."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_tools import add_worker, claim, finish, plan

from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.storage import open_ledger
from lrsearch.trackers import Place
from lrsearch.trackers.sending import Sender
from lrsearch.values import CurvePoint, Status, StudyState

TRIALS = 4  # MLflow and W&B take a third of a second for each


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A study of some trials, one of which diverged, in SQLite; returns its URL and its trials."""
    url = f"sqlite:///{tmp_path_factory.mktemp('trackers')}/study.db"
    with open_ledger(url, create=True) as ledger:
        study = ledger.create_study(plan(trials=TRIALS, retest_seeds=0))
        worker = add_worker(ledger, study)
        for number in range(TRIALS):
            claimed = claim(ledger, study, worker)
            points = [point(number, epoch) for epoch in (1, 2, 3)]
            ended = {"status": Status.DIVERGED, "value": None} if number == 1 else {}
            finish(
                ledger, claimed, points=points, **({"value": value_of(number)} | ended)
            )
        ledger.set_state(study.id, StudyState.DRAINING)
        return url, list(ledger.trials(study.id))


def value_of(number):
    return 0.5 + number / 100


def point(number, epoch):
    return CurvePoint(
        epoch=epoch, step=epoch * 10, rate=0.1 / epoch, seconds=float(epoch),
        value=value_of(number), logs={"loss": number + epoch / 8, "val_accuracy": value_of(number)},
    )  # fmt: skip


def send(url, place, **environment):
    """What `lrsearch log` says that it sent."""
    given = ["log", "toy", "--to", place, "--storage", url, "--json"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lrsearch", *given],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["sent"][place]


def test_tensorboard_reads_every_curve_and_a_second_call_sends_nothing(
    stored, tmp_path
):
    url, trials = stored
    assert (
        send(url, f"tensorboard={tmp_path}"),
        send(url, f"tensorboard={tmp_path}"),
    ) == (
        TRIALS,
        0,
    )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for each in trials:
        read = EventAccumulator(str(tmp_path / "toy" / str(each.number))).Reload()
        assert [(e.step, e.value) for e in read.Scalars("loss")] == [
            (epoch, each.number + epoch / 8) for epoch in (1, 2, 3)
        ]
        rates = [event.value for event in read.Scalars("learning_rate")]
        assert rates == pytest.approx([0.1, 0.05, 0.1 / 3])
        values = [e.value for e in read.Scalars("value")] if each.has_value else []
        assert values == pytest.approx(
            [value_of(each.number)] if each.has_value else []
        )


@pytest.mark.filterwarnings("ignore")  # MLflow's own, of SQLAlchemy
def test_mlflow_reads_every_run_with_setting_state_and_value(stored, tmp_path):
    url, trials = stored
    place = f"mlflow=sqlite:///{tmp_path}/mlflow.db"
    assert (send(url, place), send(url, place)) == (TRIALS, 0)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("toy")
    runs = {
        run.data.tags["lrsearch.training"]: run
        for run in client.search_runs([experiment.experiment_id])
    }
    assert set(runs) == {str(each.number) for each in trials}
    for each in trials:
        run = runs[str(each.number)].data
        assert float(run.params["learning_rate"]) == each.setting.learning_rate
        assert run.params["optimizer"] == each.setting.optimizer
        assert run.tags["lrsearch.state"] == each.state.value
        assert run.metrics.get("value") == (
            value_of(each.number) if each.has_value else None
        )
    history = client.get_metric_history(runs["3"].info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [
        (1, 3.125),
        (2, 3.25),
        (3, 3.375),
    ]


def test_wandbs_offline_files_hold_every_run_with_its_values(stored, tmp_path):
    url, trials = stored
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    assert send(url, "wandb=project", **offline) == TRIALS
    assert send(url, "wandb=project", **offline) == 0, "those in the folder are known"
    found = {
        config["training"]: (config, rows)
        for config, rows in map(scan, runs_in(tmp_path))
    }
    assert set(found) == {str(each.number) for each in trials}
    config, rows = found["3"]
    assert config["learning_rate"] == trials[3].setting.learning_rate
    assert [row["loss"] for row in rows] == [3.125, 3.25, 3.375]
    assert rows[0]["learning_rate"] == 0.1


def runs_in(folder):
    return [
        each
        for each in Path(folder).glob("wandb/offline-run-*/*.wandb")
        if "answer" not in each.name
    ]


def scan(path):
    """The configuration and the rows of history in an offline run's file."""
    from wandb.proto import wandb_internal_pb2

    config, rows = {}, []
    for data in logged(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.run.config.update:
            config[item.key] = json.loads(item.value_json)
        if record.HasField("history"):
            pairs = (
                (item.key or item.nested_key[0], item) for item in record.history.item
            )
            rows.append({name: json.loads(item.value_json) for name, item in pairs})
    return config, rows


def logged(data):
    """The records of a log in LevelDB's format, behind W&B's header of 7 bytes."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:  # a block's end holds no header
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in {1, 4}:  # whole, or the last part
            yield parts
            parts = b""


class Recorder:
    """A tracker that is away at first."""

    def __init__(self, failures):
        self.failures, self.runs, self.verdicts = failures, [], []

    def begin(self, _study):
        return {"0"}

    def send(self, runs):
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        self.runs += runs

    def conclude(self, verdict, answer):
        self.verdicts.append(verdict)


def test_a_tracker_that_is_away_gets_everything_once_it_is_back(tmp_path, monkeypatch):
    with open_ledger(f"sqlite:///{tmp_path}/a.db", create=True) as ledger:
        study = ledger.create_study(plan(trials=3, retest_seeds=0))
        worker = add_worker(ledger, study)
        for _ in range(2):
            finish(ledger, claim(ledger, study, worker))
        tracker = Recorder(failures=1)
        monkeypatch.setattr(Place, "open", lambda _self: tracker)
        sender = Sender(ledger, "toy", Place(kind="wandb", where="any"))
        with pytest.raises(
            EnvironmentProblem, match=r"away.*lrsearch log toy --to wandb=any"
        ):
            sender.send()
        sender.send()
        assert [each.key for each in tracker.runs] == ["1"], (
            "what it knows is not sent again"
        )
        assert not sender.is_over()
        finish(ledger, claim(ledger, study, worker))
        ledger.claim(study.id, worker, lease_seconds=60.0)  # nothing is left: it ends
        sender.send()
        assert [each.key for each in tracker.runs] == ["1", "2"]
        assert sender.is_over()
        assert len(tracker.verdicts) == 1


@pytest.mark.parametrize("text", ["mlflow", "mlflow=", "neptune=x", "=x"])
def test_a_tracker_that_is_not_known_is_refused(text):
    with pytest.raises(InvalidValue, match="tensorboard=a folder, mlflow="):
        Place.parse(text)


def test_a_tracker_whose_library_is_missing_is_refused_with_what_to_install(
    monkeypatch,
):
    monkeypatch.setattr("lrsearch.trackers.places.find_spec", lambda _name: None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'lrsearch\[wandb\]'"):
        Place.parse("wandb=project")
