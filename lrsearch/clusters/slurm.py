"""Slurm: one batch script, an array with a task for each worker."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from shlex import join

from lrsearch.clusters.tasks import Submitted, WorkerTasks, find_program, run_client

# From Slurm's SIGTERM to the end of a job's time. Workers have left by then.
WARNING_SECONDS = 120
END_VARIABLE = "SLURM_JOB_END_TIME"

# Slurm sets SLURM_JOB_END_TIME in newer versions only; 22.05 does not. `exec` makes
# lrsearch the batch process, which alone gets the signal.
_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={slug}
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={slug}-%A_%a.log
#SBATCH --signal=B:TERM@{warning}
{flags}if [ -z "${end}" ]; then
    export {end}=$(date -d "$(squeue -h -j "$SLURM_JOB_ID" -o %e)" +%s 2>/dev/null)
fi
exec {command}
"""


def describe(tasks: WorkerTasks) -> str:
    """The batch script; `sbatch` takes it unchanged."""
    flags = f"#SBATCH {join(tasks.flags)}\n" if tasks.flags else ""
    # A worker that is not needed gives its device back to the cluster.
    return _SCRIPT.format(
        slug=tasks.slug,
        last=tasks.workers - 1,
        warning=WARNING_SECONDS,
        flags=flags,
        end=END_VARIABLE,
        command=join([*find_program(), *tasks.arguments("unneeded")]),
    )


def submit(tasks: WorkerTasks) -> Submitted:
    """Submit the batch script. Raises EnvironmentProblem."""
    job = run_client(("sbatch", "--parsable"), describe(tasks)).partition(";")[0]
    text = f"submitted job {job}; squeue -j {job} shows it, scancel {job} ends it"
    return Submitted(job=job, text=text)


def read_leaving_time(environ: Mapping[str, str]) -> float | None:
    """When a worker in this Slurm job must have left, in seconds since 1970; None outside one."""
    with suppress(ValueError):
        return (
            float(environ[END_VARIABLE]) - WARNING_SECONDS
            if END_VARIABLE in environ
            else None
        )
    return None
