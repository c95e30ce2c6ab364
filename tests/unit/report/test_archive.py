"""A study as a zip: what is in it, that it is read back whole, and what is refused."""

import csv
import io
import json
import zipfile
from dataclasses import replace

import pytest
from ledger_tools import facts, plan, setting

from lrsearch.errors import InvalidValue
from lrsearch.jsonable import to_json
from lrsearch.report.archive import (
    StudyHistory,
    archive_files,
    read_archive,
    write_archive,
)
from lrsearch.report.trials import trial_rows, trials_csv, trials_table
from lrsearch.storage import AttemptRecord
from lrsearch.values import (
    Change,
    CurvePoint,
    Kind,
    Origin,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
    WorkerRecord,
)

SOURCES = {"toy.py": "import helper\nd\u00e4ta = 1\n", "helper.py": ""}


def trial(number, value, **more):
    known = {
        "id": 10 + number,
        "number": number,
        "kind": Kind.SEARCH,
        "origin": Origin.YOURS if number == 0 else Origin.SAMPLED,
        "state": TrialState.COMPLETE if value is not None else TrialState.DIVERGED,
        "setting": setting(1e-3 * (number + 1)),
        "seed": 2**30 + number,
        "value": value,
        "logs": {"loss": 0.1 + number},
    }
    return TrialRecord(**(known | more))


@pytest.fixture
def history():
    study = StudyRecord(
        id=1, plan=plan(name="toy", facts=facts()), state=StudyState.FINISHED, reason="", trials=3, deadline=None, created_at=5.0,
        optuna_study_id=1, threads=2, changes=(Change(field="code.data", old="a", new="b", trials=1, at=6.0),),
    )  # fmt: skip
    trials = (
        trial(0, 0.1 + 0.2),
        trial(1, None),
        trial(2, 0.7, setting=setting(1e-2)),
        trial(0, 0.69, id=20, kind=Kind.RETEST, parent=2, repeat=1, seed=7),
    )
    point = CurvePoint(
        epoch=1, step=10, rate=1e-3, seconds=0.5, value=0.25, logs={"loss": 1.5}
    )
    attempt = AttemptRecord(
        attempt=1, worker=4, status="complete", reason="", started_at=1.0, ended_at=2.0
    )
    worker = WorkerRecord(
        id=4, host="here", pid=1, slot="cpu", versions={"keras": "3", "processor": "a CPU"}, state="gone", started_at=0.0, last_seen=2.0,
    )  # fmt: skip
    return StudyHistory(
        study=study, trials=trials, curves={10: [point]}, attempts={10: [attempt]}, workers=[worker], calibrations={"here/cpu/2": {"a": 1}},
    )  # fmt: skip


def written(path, history, sources=SOURCES):
    write_archive(path, archive_files(history, sources))
    return path


def rows(files, name):
    return list(csv.DictReader(io.StringIO(files[name])))


def test_every_table_is_there_as_csv_and_as_json_with_the_same_rows(history):
    files = archive_files(history, SOURCES)
    for name in ("trials", "curves", "attempts", "workers"):
        assert (
            len(rows(files, f"{name}.csv"))
            == len(json.loads(files[f"{name}.json"]))
            > 0
        ), name
    first, diverged, _, retest = rows(files, "trials.csv")
    assert float(first["value"]) == 0.1 + 0.2, "the number itself, not its first digits"
    assert (first["seed"], first["learning_rate"]) == (str(2**30), "0.001")
    assert first["shape.warmup"] == "0.0"
    assert (diverged["value"], diverged["state"]) == ("", "diverged")
    assert retest["label"] == "2/2"
    assert (
        rows(files, "curves.csv")[0] | {"logs.loss": "1.5", "rate": "0.001"}
        == rows(files, "curves.csv")[0]
    )
    assert rows(files, "workers.csv")[0]["versions.processor"] == "a CPU"


def test_a_study_with_folds_says_which_one_each_training_had(history):
    study = history.study
    folded = replace(study, plan=replace(study.plan, facts=facts(folds=3)))
    files = archive_files(replace(history, study=folded), SOURCES)
    assert [each["fold"] for each in rows(files, "trials.csv")] == ["0", "0", "0", "1"]
    table = list(
        csv.DictReader(io.StringIO(trials_csv(history.trials, facts(folds=3))))
    )
    assert [each["fold"] for each in table] == ["0", "0", "0", "1"]
    assert [each["fold"] for each in trial_rows(history.trials, facts())] == [None] * 4
    text = trials_table(history.trials, facts=facts(folds=3))
    assert text.splitlines()[0].split()[:3] == ["trial", "fold", "value"]
    assert text.splitlines()[-1].split()[:2] == ["2/2", "1"]
    assert "fold" not in trials_table(history.trials, facts=facts())


def test_an_archive_is_read_back_with_all_that_training_again_takes(history, tmp_path):
    archive = read_archive(written(tmp_path / "x.zip", history))
    assert archive.trials == history.trials
    assert to_json(archive.study.plan) == to_json(history.study.plan)
    assert archive.study.plan.facts == history.study.plan.facts
    assert (archive.study.threads, archive.study.changes) == (2, history.study.changes)
    assert list(archive.sources.items()) == list(SOURCES.items())


def test_the_same_study_gives_the_same_bytes(history, tmp_path):
    first, second = (written(tmp_path / name, history) for name in ("1.zip", "2.zip"))
    assert first.read_bytes() == second.read_bytes()


def test_an_archive_without_a_definition_says_so(history, tmp_path):
    path = written(tmp_path / "x.zip", history, sources={})
    with zipfile.ZipFile(path) as file:
        assert "(not at hand)" in file.read("README.txt").decode()
    assert read_archive(path).sources == {}


def changed(path, name, text):
    """The archive with another text in one file."""
    with zipfile.ZipFile(path) as file:
        files = {each: file.read(each) for each in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for each, data in (files | {name: text.encode()}).items():
            file.writestr(each, data)
    return path


def test_what_was_changed_afterwards_is_refused_with_the_files_name(history, tmp_path):
    path = changed(written(tmp_path / "x.zip", history), "trials.json", "[]")
    with pytest.raises(InvalidValue, match=r"trials\.json is not what SHA256SUMS says"):
        read_archive(path)


@pytest.mark.parametrize(
    "data", [b"", b"no zip", None], ids=["empty", "text", "another zip"]
)
def test_a_file_that_is_no_archive_is_refused(tmp_path, data):
    path = tmp_path / "x.zip"
    if data is None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.txt", "a")
    else:
        path.write_bytes(data)
    with pytest.raises(InvalidValue, match="a whole archive of a study"):
        read_archive(path)


def test_an_archive_of_a_newer_format_is_refused_and_its_version_named(
    history, tmp_path
):
    files = archive_files(history, SOURCES)
    data = json.loads(files["study.json"]) | {
        "format": 99,
        "written_by": {"lrsearch": "9.9"},
    }
    write_archive(tmp_path / "x.zip", files | {"study.json": json.dumps(data)})
    with pytest.raises(InvalidValue, match=r"lrsearch 9\.9"):
        read_archive(tmp_path / "x.zip")


def test_an_archive_that_cannot_be_written_leaves_nothing_behind(history, tmp_path):
    folder = tmp_path / "x.zip"
    folder.mkdir()
    with pytest.raises(OSError):
        written(folder, history)
    assert list(tmp_path.iterdir()) == [folder]
