"""A loader for worker processes in Keras' place: the "study file" is JSON that says how
trials behave.

Keys: `epochs`, `epoch_seconds`, `journal` (a file that gets a line an epoch, fsynced),
`behave` {label: what} with what one of _BEHAVIOURS, `-once` after it for the first
attempt alone, `all` (what every trial does), `inspect` (raise, kill, refuse), `open`
(any of them, or lose: give no space; `-once` for the first process alone), `print`
(text that each epoch prints), `clock` (true: the database's clock is ahead by what the
table drill_clock says), `gate` (a file: until it is there no trial goes beyond the
first batch of its last epoch). The variable DRILL_CLOCK_AHEAD sets this process' own
clock, in seconds.
"""

import contextlib
import json
import math
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from lrsearch.errors import AskedToLeave, StudyFileError
from lrsearch.messages import Inspection
from lrsearch.values import (
    Direction,
    Outcome,
    Progress,
    Snapshot,
    Status,
    StudyFacts,
    Verdict,
)
from lrsearch.version import versions

_ENDS = {
    Verdict.PRUNE: Status.PRUNED,
    Verdict.INTERRUPT: Status.INTERRUPTED,
    Verdict.LOST: Status.LOST,
}


def loader(config):
    return ToyLoader(Path(config.study_file))


class ToyLoader:
    def __init__(self, path):
        self.path = path
        self.says = json.loads(path.read_text()) if path.suffix == ".json" else {}

    def prepare(self):
        print("this must not corrupt the pipe")
        if ahead := float(os.environ.get("DRILL_CLOCK_AHEAD", "0")):
            right = time.time
            time.time = lambda: right() + ahead
        if self.says.get("clock"):
            _set_clock()
        if "failpoint" in self.says:
            _set_trap(
                self.says["failpoint"], Path(self.says["journal"]).parent / "trap"
            )

    def load(self):
        """Nothing is slow."""

    def inspect(self):
        what = self.says.get("inspect")
        if what == "refuse":
            raise StudyFileError(
                "toy.json has no definition", traceback_text="Traceback: line 1"
            )
        _behave(what)
        from lrsearch.space import SearchSpace

        space = SearchSpace(optimizers=("sgd", "adam"), schedules=("constant",))
        references = space.references()
        facts = StudyFacts(
            objective="val_accuracy",
            direction=Direction.MAXIMIZE,
            metrics=("loss", "val_accuracy"),
            epochs=self.says.get("epochs", 3),
            accumulation=1,
            steps_per_epoch={"None": 10},
            train_examples=None,
            validation_examples=None,
            has_test=False,
            parameters=1,
            yours=references[1],
            exact_order=True,
            fingerprint={"toy": self.says.get("fingerprint", 1)},
            versions=versions(),
        )
        return Inspection(
            facts=facts,
            dimensions=tuple(d.to_json() for d in space.public_dimensions()),
            references=references,
            seed=0,
        )

    def open(self, study):
        from lrsearch.space import SearchSpace

        what = self._opening()
        engine = ToyEngine(self.says)
        if what == "lose":
            # a worker that has entered the ledger finds nothing to search
            return None, engine
        _behave(what)
        return SearchSpace(optimizers=("sgd", "adam"), schedules=("constant",)), engine

    def _opening(self):
        """What `open` says; with -once, the first process alone does it."""
        what = self.says.get("open", "")
        if not what.endswith("-once"):
            return what
        try:
            self.path.with_suffix(".opened").touch(exist_ok=False)
        except FileExistsError:
            return ""
        return what.removesuffix("-once")


def _set_clock():
    """The database's clock, ahead by what a table says, for all that this process asks it."""
    from sqlalchemy import Double, literal_column

    from lrsearch.storage import schema
    from lrsearch.storage.connections import _CLOCKS

    ahead = "(select ahead from drill_clock)"
    schema.open_ledger.__kwdefaults__["clock"] = literal_column(
        f"({_CLOCKS['postgresql']} + {ahead})", Double
    )


def _set_trap(label, sprung):
    """Kill the first process that comes to this failpoint of the ledger or its mirror."""
    from lrsearch.storage import mirror, schema

    def trap(found):
        if found == label:
            try:
                sprung.touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

    schema.open_ledger.__kwdefaults__["failpoint"] = trap
    mirror.Mirror.__init__.__kwdefaults__["failpoint"] = trap


def _raise():
    raise ValueError("the toy raises")


def _interrupt():
    raise KeyboardInterrupt


def _hang():
    while True:
        time.sleep(0.05)


def _signals_of_its_own():
    """What a study's code does with signals that are not ours: handlers, a child that
    ends, a child that it ends.
    """
    for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGRTMIN + 3):
        signal.signal(number, lambda *_: None)
        os.kill(os.getpid(), number)
    subprocess.run(["true"], check=True)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(10)
    assert child.exitcode == -signal.SIGTERM, child.exitcode


def _close_descriptors():
    """As code that makes itself a daemon does; then files of its own get the numbers."""
    # messages are written by a thread: what was said before goes out first
    time.sleep(1.0)
    os.closerange(3, 256)
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(tempfile.TemporaryFile())
        _hang()


def _daemon():
    """Leave a process behind that no signal to the worker's session reaches, and that
    holds what the worker had open.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(600)
        os._exit(0)
    Path("daemon").write_text(str(child))


def _garble():
    """Write to the pipe that the worker speaks through: the highest one that it opened."""
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, b"this is no event\n")
    _hang()


def _exit_at_signal():
    """A handler of its own, which leaves as programs do."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.kill(os.getpid(), signal.SIGTERM)


_BEHAVIOURS = {
    "raise": _raise,
    "exit": sys.exit,
    "exit-at-signal": _exit_at_signal,
    "keyboard": _interrupt,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": _hang,
    "stuck": lambda: time.sleep(3600),  # one long call that no verdict reaches
    "signals": _signals_of_its_own,
    "close": _close_descriptors,
    "daemon": _daemon,
    "garble": _garble,
}


def _behave(what):
    if what:
        _BEHAVIOURS[what]()


class ToyEngine:
    """The value climbs towards 1 - (log10(rate) + 2)**2 / 10 at epochs' ends; an epoch
    is ten batches that take their time.
    """

    name = "toy"

    def __init__(self, says):
        self.says = says

    def calibrate(self, known):
        """It measures nothing."""
        return {}

    def time_steps(self):
        """Nor does it time anything."""
        return {}

    def train(self, source, watch, save):
        while (spec := source()) is not None:
            yield self._one(spec, watch, save)

    def _one(self, spec, watch, save):
        began = time.monotonic()
        epochs = self.says.get("epochs", 3)
        goal = 1 - (math.log10(spec.setting.learning_rate) + 2) ** 2 / 10
        (epoch, batch), state = (
            (spec.resume.place, float(spec.resume.arrays["state"]))
            if spec.resume
            else ((0, 0), 0.0)
        )
        try:
            self._misbehave(spec)
        except AskedToLeave:
            raise
        except BaseException as error:  # noqa: BLE001 - as a real engine does; the rest is not the study's own code
            text = traceback.format_exc()
            left = isinstance(error, SystemExit | KeyboardInterrupt)
            failed = self._outcome(
                spec,
                Status.FAILED,
                epoch,
                None,
                began,
                reason=f"{type(error).__name__}: {error}",
                text=text,
            )
            return replace(failed, left=left)
        while epoch < epochs:
            verdict = self._train(
                spec, (epoch, batch), epochs, state, watch, save, began
            )
            if verdict is Verdict.KEEP:
                epoch, state = epoch + 1, state + (goal - state) / 2
                self._journal(spec, epoch, state, batch)
                batch = 0
                progress = self._progress(spec, (epoch, 0), epochs, began, state)
                verdict = watch(progress)
                save(progress, partial(_snapshot, (epoch, 0), state))
            if verdict is not Verdict.KEEP:
                return self._outcome(
                    spec, _ENDS[verdict], epoch, state, began, reason=verdict.value
                )
        return self._outcome(spec, Status.COMPLETE, epoch, state, began)

    def _misbehave(self, spec):
        what = self.says.get("behave", {}).get(spec.label) or self.says.get("all") or ""
        if what.endswith("-once"):
            what = what.removesuffix("-once") if spec.attempt == 1 else ""
        _behave(what)

    def _train(self, spec, place, epochs, state, watch, save, began):
        if text := self.says.get("print"):
            print(text)
        epoch, first = place
        batch_seconds = self.says.get("epoch_seconds", 0.0) / 10
        begun = time.monotonic()
        for batch in range(first, 10) if batch_seconds else ():
            while time.monotonic() < begun + (
                batch - first + 1
            ) * batch_seconds or self._gate_is_shut(epoch + 1 == epochs):
                time.sleep(min(0.02, batch_seconds))
                progress = self._progress(spec, (epoch, batch), epochs, began, None)
                verdict = watch(progress)
                save(progress, partial(_snapshot, (epoch, batch), state))
                if verdict is not Verdict.KEEP:
                    return verdict
        return Verdict.KEEP

    def _gate_is_shut(self, last):
        return last and "gate" in self.says and not Path(self.says["gate"]).exists()

    def _progress(self, spec, place, epochs, began, value):
        epoch, batch = place
        return Progress(
            trial_id=spec.trial_id, attempt=spec.attempt, epoch=epoch, batch=batch, epochs=epochs, step=epoch * 10 + batch,
            total_steps=epochs * 10,
            rate=spec.setting.learning_rate, seconds=time.monotonic() - began,
            logs={} if value is None else {"val_accuracy": value}, value=value,
        )  # fmt: skip

    def _outcome(self, spec, status, epoch, value, began, *, reason="", text=""):
        return Outcome(
            trial_id=spec.trial_id, attempt=spec.attempt, status=status, engine=self.name, value=value, last_value=value,
            best_value=value, best_epoch=epoch or None, epochs=epoch, steps=epoch * 10, seconds=time.monotonic() - began,
            reason=reason, traceback_text=text,
        )  # fmt: skip

    def _journal(self, spec, epoch, state, begun):
        path = self.says.get("journal")
        if path is None:
            return
        line = json.dumps(
            {
                "trial": spec.trial_id,
                "label": spec.label,
                "attempt": spec.attempt,
                "epoch": epoch,
                "state": state,
                "begun": begun,
                "pid": os.getpid(),
            }
        )
        with Path(path).open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def _snapshot(place, state):
    epoch, batch = place
    return Snapshot(
        epoch=epoch,
        batch=batch,
        step=epoch * 10 + batch,
        arrays={"state": np.array(state)},
        meta={},
    )
