"""What clusters are given: accepted by their own checkers, with the worker's options as given."""

import shlex
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from lrsearch.cli.clusters import leaving_time
from lrsearch.cli.main import cli
from lrsearch.clusters.slurm import END_VARIABLE
from lrsearch.clusters.tasks import find_program
from lrsearch.errors import EnvironmentProblem, InvalidValue


def printed(on, *words, flags=()):
    given = ["flowers", "--on", on, "--workers", "3", "--dry-run", *words, "--", *flags]
    done = CliRunner().invoke(cli, ["attach", *given])
    if done.exception:
        raise done.exception
    return done.stdout


def test_a_slurm_script_is_an_array_of_workers_with_the_options_and_flags_that_were_given(
    tmp_path,
):
    words = (
        "--checkpoint-every",
        "1h30m",
        "--accept-change",
        "a b",
        "--accept-change",
        "c",
        "-q",
    )
    text = printed("slurm", *words, flags=("--gres=gpu:1", "--job-name=two words"))
    head = [
        line.removeprefix("#SBATCH ") for line in text.splitlines() if "#SBATCH" in line
    ]
    assert "--array=0-2" in head
    assert "--requeue" in head
    assert "--signal=B:TERM@120" in head
    assert shlex.split(head[-1]) == ["--gres=gpu:1", "--job-name=two words"], (
        "the last one counts"
    )
    run = shlex.split(text.splitlines()[-1])
    assert run[0] == "exec", "Slurm sends SIGTERM to the batch process alone"
    given = [
        "--checkpoint-every",
        "1h30m",
        "--accept-change",
        "a b",
        "--accept-change",
        "c",
    ]
    ours = ["--workers", "1", "--until", "unneeded", "--", "flowers"]
    assert run[run.index("attach") :] == ["attach", *given, "--quiet", *ours]
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_a_cluster_keeps_workers_until_the_study_is_done_where_that_was_asked_for():
    assert "--until done --" in printed("slurm", "--until", "done")


def test_a_study_of_any_name_has_a_name_in_a_cluster():
    given = [
        "attach",
        "--on",
        "slurm",
        "--workers",
        "1",
        "--dry-run",
        "--",
        "-Größe: 3'",
    ]
    text = CliRunner().invoke(cli, given).stdout
    assert "--job-name=lrsearch-gr-e-3\n" in text
    assert shlex.split(text.splitlines()[-1])[-2:] == ["--", "-Größe: 3'"]


def manifest(*words):
    text = printed("k8s", "--image", "registry/lrsearch:1", *words)
    loaded = yaml.safe_load(text)
    kubernetes_validate.validate(loaded, "1.37", strict=True)
    return loaded["spec"]


def test_a_kubernetes_job_is_valid_and_ignores_disruptions_and_fails_where_no_pod_would_do_better():
    job = manifest()
    assert "completions" not in job, "a work queue"
    assert job["parallelism"] == 3
    ignored, fatal = job["podFailurePolicy"]["rules"]
    assert (ignored["action"], ignored["onPodConditions"][0]["type"]) == (
        "Ignore",
        "DisruptionTarget",
    )
    assert (fatal["action"], fatal["onExitCodes"]["values"]) == ("FailJob", [2, 4])
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never", "else the policy is not allowed"
    [worker] = pod["containers"]
    assert fatal["onExitCodes"]["containerName"] == worker["name"]
    assert worker["command"][-3:] == ["done", "--", "flowers"], (
        "an end of 0 ends the work queue"
    )
    assert worker["envFrom"] == [{"secretRef": {"name": "lrsearch"}}]
    assert worker["resources"]["limits"] == {"cpu": "1"}
    assert "volumes" not in pod


def test_a_pod_has_a_gpu_and_the_shared_checkpoints_where_they_were_asked_for():
    pod = manifest("--devices", "gpu", "--checkpoints", "/shared", "--threads", "4")[
        "template"
    ]["spec"]
    [worker] = pod["containers"]
    assert worker["resources"] == {
        "requests": {"cpu": "4"},
        "limits": {"nvidia.com/gpu": "1"},
    }
    assert worker["volumeMounts"] == [{"name": "checkpoints", "mountPath": "/shared"}]
    assert (
        pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
        == "lrsearch-checkpoints"
    )


def test_the_validator_finds_a_field_that_is_not_there():
    text = printed("k8s", "--image", "any:1").replace("parallelism", "paralelism")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(yaml.safe_load(text), "1.37", strict=True)


def test_ray_actors_take_fractions_and_are_restarted():
    plan = yaml.safe_load(
        printed("ray", flags=("--num-gpus", "0.5", "--num-cpus=0.25"))
    )
    asked = {
        "num_gpus": 0.5,
        "num_cpus": 0.25,
        "max_restarts": -1,
        "max_task_retries": -1,
    }
    asked["scheduling_strategy"] = "SPREAD"
    assert (plan["actors"], plan["options"]) == (3, asked)
    assert plan["command"].endswith("attach --workers 1 --until unneeded -- flowers")


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["--on", "k8s", "--workers", "2"], InvalidValue, "--image must be given"),
        (
            ["--on", "ray", "--workers", "2", "--", "--gpus=2"],
            InvalidValue,
            "--num-gpus",
        ),
        (["--image", "any"], InvalidValue, "left out without --on k8s"),
        (["--dry-run"], InvalidValue, "left out without --on"),
        (["--on", "slurm", "--workers", "2"], InvalidValue, "several hosts"),
    ],
)
def test_what_a_cluster_cannot_use_is_refused_in_one_line(
    words, error, says, monkeypatch
):
    monkeypatch.delenv("LRSEARCH_STORAGE", raising=False)
    raised = CliRunner().invoke(cli, ["attach", "flowers", *words]).exception
    assert isinstance(raised, error)
    assert says in str(raised)


@pytest.mark.parametrize(
    "words", [["--on", "slurm"], ["--on", "k8s"], ["--", "--gres=gpu:1"]]
)
def test_a_missing_or_an_extra_word_is_a_mistake_of_usage(words):
    assert CliRunner().invoke(cli, ["attach", "flowers", *words]).exit_code == 2


def test_a_client_that_is_not_here_or_refuses_is_said_in_one_line(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["attach", "flowers", "--on", "k8s", "--image", "any", "--workers", "2"]
    raised = CliRunner().invoke(cli, words).exception
    assert isinstance(raised, EnvironmentProblem)
    assert "cannot run kubectl: No such file" in str(raised)
    (tmp_path / "kubectl").write_text("#!/bin/sh\necho no such context >&2\nexit 1\n")
    (tmp_path / "kubectl").chmod(0o755)
    assert "kubectl refused: no such context" in str(
        CliRunner().invoke(cli, words).exception
    )
    (tmp_path / "kubectl").write_text('#!/bin/sh\necho "job.batch/a $*"\n')
    assert "kubectl delete job.batch/a create -f - -o name -n mine ends it" in (
        CliRunner().invoke(cli, [*words, "--", "-n", "mine"]).stdout
    )


@pytest.mark.parametrize(("end", "leave"), [("1000", 880.0), ("", None), (None, None)])
def test_a_slurm_job_is_left_before_slurm_warns_it(end, leave, monkeypatch):
    monkeypatch.delenv(END_VARIABLE, raising=False)
    if end is not None:
        monkeypatch.setenv(END_VARIABLE, end)
    assert leaving_time(None) == leave


def test_a_time_that_was_given_counts_in_place_of_the_jobs(monkeypatch):
    monkeypatch.setenv(END_VARIABLE, "1000")
    monkeypatch.setattr("time.time", lambda: 50.0)
    assert leaving_time(30.0) == 80.0


@pytest.mark.parametrize(
    ("called", "runs"),
    [
        ("{bin}/lrsearch", ["{bin}/lrsearch"]),
        ("lrsearch/__main__.py", [sys.executable, "-P", "-m", "lrsearch"]),
        ("notebook.py", ["{path}/lrsearch"]),
    ],
)
def test_another_node_runs_this_very_program(called, runs, tmp_path, monkeypatch):
    for folder in ("bin", "path"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lrsearch").touch(mode=0o755)
    places = {name: tmp_path / name for name in ("bin", "path")}
    monkeypatch.setenv("PATH", str(places["path"]))
    monkeypatch.setattr(sys, "argv", [called.format(**places)])
    assert list(find_program()) == [each.format(**places) for each in runs]
