"""What holds on this machine's GPU: one script for a few minutes of a device.

    python benchmarks/gpu.py [--only devices,widths] [--stop-after 540]
        [--output gpu.json] [--quick]

Each step prints what it found and is limited in time; the most valuable come first.
Steps that call engines share one process (benchmarks/gpus/engines.py), so that
TensorFlow is loaded once; a step that takes too long or crashes costs this process, and
the next step starts another. Every finding is written to the file at once. On a machine
without a GPU everything runs on the CPU: a rehearsal, for which --quick makes the work
small. Nothing is downloaded: scikit-learn's digits, random numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent / "gpus")]

from visible import visible_devices  # noqa: E402

from studies import CNN, digits  # noqa: E402

# In the order of their worth: seconds that each may take.
LIMITS = {
    "devices": 90,
    "visible": 40,
    "checks": 150,
    "widths": 90,
    "cnn": 110,
    "study": 80,
    "memory": 80,
    "large": 70,
    "inputs": 40,
    "sharing": 170,
    "rows": 60,
}
ENGINES = Path(__file__).parent / "gpus" / "engines.py"


def main() -> int:
    given = arguments()
    until = time.monotonic() + given.stop_after
    found: dict[str, Any] = {}
    child = EngineProcess(quick=given.quick)
    commands = {
        "visible": visible,
        "checks": checks,
        "study": study,
        "sharing": sharing,
    }
    for name in given.only.split(","):
        left = min(LIMITS[name], until - time.monotonic())
        if left < 10:
            print(f"== {name}: no time left", flush=True)
            continue
        began = time.monotonic()
        print(f"== {name}", flush=True)
        try:
            step = commands.get(name, child.run)
            found[name] = step(name, left, quick=given.quick)
        except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            found[name] = {"error": f"{type(error).__name__}: {error}"}
        took = time.monotonic() - began
        print(f"   {json.dumps(found[name])}\n   {took:.1f} s", flush=True)
        Path(given.output).write_text(
            json.dumps(found, indent=1) + "\n", encoding="utf-8"
        )
        if name == "devices" and not found[name].get("gpus") and not given.quick:
            print("no GPU: nothing else is run", flush=True)
            break
    child.close()
    return 0


class EngineProcess:
    """The process of the steps that call engines; started when it is needed."""

    def __init__(self, *, quick: bool) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._quick = quick

    def run(self, name: str, seconds: float, *, quick: bool) -> Any:
        """What the step found. Raises ValueError where it took too long or its process ended."""
        del quick
        process = self._running()
        assert process.stdin
        process.stdin.write(name + "\n")
        process.stdin.flush()
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.1, until - time.monotonic()))
            except queue.Empty:
                self.close()
                raise ValueError(f"not done after {seconds:.0f} s") from None
            if not line:
                self.close()
                raise ValueError("the process ended")
            if line.startswith("FOUND "):
                return json.loads(line.removeprefix("FOUND "))
            print(f"   {line.rstrip()}", flush=True)

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # type: ignore[union-attr]
        self._process, self._lines = None, queue.Queue()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [
                sys.executable,
                str(ENGINES),
                *(["--quick"] if self._quick else []),
            ]
            pipes: dict[str, Any] = {
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
            }
            self._process = subprocess.Popen(
                command, env=environment(), text=True, stderr=None, **pipes
            )
            threading.Thread(
                target=_read_lines,
                args=(self._process.stdout, self._lines),
                daemon=True,
            ).start()
        return self._process


def _read_lines(stream: Any, lines: queue.Queue[str]) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put("")


def environment(**more: str) -> dict[str, str]:
    """Memory grows, so that processes may share the GPU; TensorFlow's log is quiet."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    quiet = {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
    grows = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return {**os.environ, **quiet, **grows, "PYTHONPATH": paths, **more}


# -- steps that are commands -----------------------------------------------------------


def visible(name: str, seconds: float, *, quick: bool) -> dict[str, Any]:
    """nvidia-smi's words, and what CUDA and lrsearch see under CUDA_VISIBLE_DEVICES."""
    del name, quick
    asked = (
        ["nvidia-smi", "-L"],
        [
            "nvidia-smi",
            "--query-gpu=index,uuid,name,memory.total",
            "--format=csv,noheader,nounits",
        ],
        [
            "nvidia-smi",
            "--query-gpu=memory.used,memory.free,mig.mode.current",
            "--format=csv",
        ],
    )
    words = {}
    for command in asked:
        with contextlib.suppress(OSError):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds, check=False
            )
            words[" ".join(command)] = done.stdout + done.stderr
    return {"nvidia-smi": words, "CUDA_VISIBLE_DEVICES": visible_devices()}


def checks(name: str, seconds: float, *, quick: bool) -> dict[str, Any]:
    """The doctor, and the equality test's quick cells beside it."""
    del name
    until = time.monotonic() + seconds
    # Each process takes cells in turn: the project's own options would give one the
    # whole file.
    options = [
        "-o",
        "addopts=--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
    ]
    cells = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "-ra",
        *options,
        "--dist",
        "load",
    ]
    cells += ["tests/contract/test_equality.py", "-m", "not slow_matrix"]
    cells += ["-n", "1", "-k", "float64 and adamw and graph"] if quick else ["-n", "8"]
    device = "-1" if quick else os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    running = start(cells, environment(CUDA_VISIBLE_DEVICES=device))
    doctor = [sys.executable, "-m", "lrsearch", "doctor", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        own = start([*doctor, "--storage", f"sqlite:///{folder}/d.db"], environment())
        found = {"doctor": end(own, until)}
    found["equality"] = end(running, until)[-3000:]
    return found


def study(name: str, seconds: float, *, quick: bool) -> dict[str, Any]:
    """`start-study` of digits from its start to the answer, as `auto` trains it."""
    del name
    return whole_study(digits(quick=quick), seconds, "auto", "--seed", "1")


def sharing(name: str, seconds: float, *, quick: bool) -> dict[str, Any]:
    """Several workers on one GPU."""
    del name
    until, found = time.monotonic() + seconds, {}
    gpu = _used_mib() is not None
    few, cnn = ("2", "6") if quick else ("120", "12")
    for label, text, engine, trials in (
        ("digits", digits(quick=quick), "auto", few),
        ("cnn", CNN, "graph", cnn),
    ):
        for workers in (1, 2) if quick else (1, 4):
            own = ["--per-device" if gpu else "--workers", str(workers)]
            left = until - time.monotonic()
            if left > 15:
                more = [*own, "--trials", trials, "--retest", "0", "--seed", "1"]
                found[f"{label}, {workers} workers"] = whole_study(
                    text, left, engine, *more
                )
                print(
                    f"   {label}, {workers}: {found[f'{label}, {workers} workers']}",
                    flush=True,
                )
    return found


def whole_study(
    text: str, seconds: float, engine: str, *options: str
) -> dict[str, Any]:
    """One `start-study` command: its seconds, its trials' seconds, and the GPU's memory."""
    with tempfile.TemporaryDirectory() as folder, gpu_memory() as most:
        file = Path(folder) / "study.py"
        file.write_text(text, encoding="utf-8")
        url = f"sqlite:///{folder}/s.db"
        command = [
            sys.executable,
            "-m",
            "lrsearch",
            "start-study",
            str(file),
            "--storage",
            url,
        ]
        command += ["--name", "s", "--engine", engine, *options]
        began = time.monotonic()
        printed = end(start(command, environment(), folder), began + seconds)
        took = time.monotonic() - began
        says = r"at once|one trial at a time|per-device|out of memory|memory"
        said = [line.strip() for line in printed.splitlines() if re.search(says, line)]
        found = {"seconds": round(took, 1), "gpu_mib": most(), "said": said[:6]}
        return (
            found
            | read_trials(url)
            | ({} if "engines" in found else {"end": printed[-300:]})
        )


def read_trials(url: str) -> dict[str, Any]:
    """How the trials went, by the ledger."""
    from lrsearch.storage import open_ledger

    ledger = open_ledger(url)
    records = [each for each in ledger.trials(ledger.study("s").id) if each.finished_at]
    ledger.close()
    ends = sorted(each.finished_at or 0.0 for each in records)
    first = min((each.started_at or 0.0 for each in records), default=0.0)
    return {
        "trials": len(records),
        "engines": sorted({each.engine for each in records}),
        "states": sorted({str(each.state) for each in records}),
        "first_s": round(ends[0] - first, 2) if ends else None,
        "span_s": round(ends[-1] - first, 2) if ends else None,
        "workers": len({each.worker for each in records}),
        "notes": sorted({note[:120] for each in records for note in each.notes})[:5],
    }


@contextlib.contextmanager
def gpu_memory() -> Iterator[Callable[[], int | None]]:
    """The most MiB of the first GPU that were taken meanwhile, beyond those at the beginning."""
    ended, seen = threading.Event(), [_used_mib()]

    def watch() -> None:
        while not ended.wait(0.4):
            seen.append(_used_mib())

    watcher = threading.Thread(target=watch, daemon=True)
    if seen[0] is not None:
        watcher.start()
    known = lambda: [each for each in seen if each is not None]  # noqa: E731
    try:
        yield lambda: max(known()) - known()[0] if known() else None
    finally:
        ended.set()


def _used_mib() -> int | None:
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, ValueError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return int(done.stdout.splitlines()[0])
    return None


def start(
    command: list[str], env: dict[str, str], folder: str | None = None
) -> subprocess.Popen[str]:
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(
        command, env=env, cwd=folder or ROOT, start_new_session=True, **out
    )  # type: ignore[call-overload, no-any-return]


def end(process: subprocess.Popen[str], until: float) -> str:
    """What the process printed; killed where it takes too long."""
    try:
        return process.communicate(timeout=max(1.0, until - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        return f"TOO LONG: {process.communicate()[0]}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(LIMITS), help="steps, in this order")
    parser.add_argument("--stop-after", type=float, default=540.0, metavar="SECONDS")
    parser.add_argument("--output", default="gpu.json")
    parser.add_argument(
        "--quick", action="store_true", help="little work, on a CPU too"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
