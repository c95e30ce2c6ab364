"""Runs a command to its end in a process group of its own; knows nothing of contenders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class RunFailed(Exception):
    """The process did not come to its end; the text says how."""


def timed(
    command: Sequence[str], folder: str, timeout: float, **variables: str
) -> tuple[float, str]:
    """Run a command in `folder` to its end: seconds, and what it printed.

    Raises RunFailed, with its last words.

    On the CPU, unless CUDA_VISIBLE_DEVICES says otherwise: several of the peers'
    processes would not share a GPU by themselves.
    """
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "-1"),
    }
    environment = {**os.environ, **quiet, "PYTHONPATH": str(ROOT), **variables}
    began = time.perf_counter()
    with Path(folder, "errors").open("w+") as errors:
        pipes: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": errors,
            "text": True,
        }
        process = subprocess.Popen(
            command, cwd=folder, env=environment, start_new_session=True, **pipes
        )
        try:
            printed, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"not done after {timeout:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        seconds = time.perf_counter() - began
        errors.seek(0)
        if process.returncode:
            raise RunFailed(
                f"exit code {process.returncode}: {errors.read()[-2000:].strip()}"
            )
    return seconds, printed


def last_json(printed: str) -> dict[str, Any]:
    """The JSON of the last line printed."""
    found: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return found
