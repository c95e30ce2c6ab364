"""A fleet of real worker processes on one study, whose training is a cheap stand-in;
and the checker of what they left behind.

The workers are `python -m lrsearch.worker`, told what to do as the parent process tells
them; leases are short, so that a death is noticed within the drill. Each writes an
fsynced journal, a line an epoch. `check` reads the ledger, the journals and what
workers said, and nothing else; the invariants are numbered as in docs/reliability.md.
"""

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import optuna
from ledger_tools import SPACE, facts, plan
from sqlalchemy import make_url, text

from lrsearch.storage import Mirror, open_ledger
from lrsearch.values import Kind, Origin, StudyState
from lrsearch.worker.config import CheckpointPolicy, WorkerConfig

SUPPORT = Path(__file__).parent
LEASE_SECONDS = 3.0
# the password in PostgreSQL's URL, where the server trusts anybody
SECRET = "not-to-be-seen"
TERMINAL = {"complete", "diverged", "pruned", "failed"}

# The database's own witness of every change of a trial's state, whoever makes it.
AUDIT = "create table drill_audit (trial integer, before varchar(16), after varchar(16), was double precision, value double precision)"
_NOTE = "insert into drill_audit values (new.id, old.state, new.state, old.value, new.value);"
_CHANGED = (
    "(old.state <> new.state or coalesce(old.value, -9e9) <> coalesce(new.value, -9e9))"
)
WATCH = {
    "sqlite": (
        f"create trigger drill_watch after update on lrsearch_trials when {_CHANGED} begin {_NOTE} end",
    ),
    "postgresql": (
        f"create function drill_note() returns trigger as $$ begin {_NOTE} return new; end $$ language plpgsql",
        (
            "create trigger drill_watch after update on lrsearch_trials for each row"
            f" when {_CHANGED} execute function drill_note()"
        ),
    ),
}
# The database's clock as a drill sets it: see worker_toy's `clock`.
CLOCK = "create table drill_clock (ahead double precision)"


class Worker:
    """One process, its events as it says them."""

    def __init__(self, config, study, environment):
        self.events, self.code = [], None
        path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
        self.errors = Path(config.checkpoints).parent / f"errors-{time.monotonic_ns()}"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lrsearch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | {"PYTHONPATH": path} | environment,
                start_new_session=True,
                text=True,
            )
        self.tell(config.to_json())
        self.tell({"do": "work", "study": study})
        self.tell({"do": "quit"})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, message):
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    @property
    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.alive:
            os.killpg(self.process.pid, number)

    def wait(self, seconds):
        self.process.wait(seconds)
        self._reader.join(5)
        for each in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                each.close()
        return self.process.returncode


class Fleet:
    """Workers on one toy study at `url`. `says` is the toy's own script: see worker_toy."""

    def __init__(
        self,
        url,
        folder,
        *,
        trials,
        seed=0,
        retries=2,
        retest_seeds=0,
        lease_seconds=LEASE_SECONDS,
        environment=None,
        checkpoint_seconds=None,
        **says,
    ):
        url = with_secret(url)
        self.url, self.folder, self.trials, self.retries = url, folder, trials, retries
        self.random, self.environment = random.Random(seed), environment or {}
        self.journal = folder / "journal"
        self.says = {
            "epochs": 4,
            "epoch_seconds": 0.05,
            "journal": str(self.journal),
            **says,
        }
        (folder / "toy.json").write_text(json.dumps(self.says))
        self.config = WorkerConfig(
            storage=url, study_file=str(folder / "toy.json"), checkpoints=str(folder / "checkpoints"), host="drill",
            engine_factory="worker_toy:loader", lease_seconds=lease_seconds,
            checkpoint_policy=CheckpointPolicy(every_seconds=checkpoint_seconds, every_epochs=1),
        )  # fmt: skip
        self.workers, self.faults = [], Counter()
        self.ledger = open_ledger(url, create=True)
        first = tuple((Origin.REFERENCE, each) for each in SPACE.references())
        known = facts(epochs=self.says["epochs"], fingerprint={"toy": 1})
        made = plan(
            name="drill", trials=trials, retries=retries, retest_seeds=retest_seeds
        )
        made = type(made)(
            **{
                **{name: getattr(made, name) for name in made.__slots__},
                "first": first,
                "facts": known,
            }
        )
        self.study = self.ledger.create_study(made)
        for statement in (
            AUDIT,
            CLOCK,
            "insert into drill_clock values (0)",
            *WATCH[make_url(url).get_backend_name()],
        ):
            self.run(statement)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.workers:
            each.signal(signal.SIGCONT)
            each.signal(signal.SIGKILL)
            each.wait(10)
        self.ledger.close()

    def start(self, count=1, **environment):
        """Start workers; returns them."""
        made = [
            Worker(self.config, "drill", self.environment | environment)
            for _ in range(count)
        ]
        self.workers += made
        return made

    def run(self, statement):
        """A statement of the drill's own, committed."""
        self.ledger.database.transact(lambda tx: tx.execute(text(statement)))

    @property
    def alive(self):
        return [each for each in self.workers if each.alive]

    def kill_one(self):
        """SIGKILL a random living worker that trains, and start another in its place."""
        training = [
            each
            for each in self.alive
            if any(event["event"] == "trial.started" for event in each.events)
        ]
        if training:
            self.random.choice(training).signal(signal.SIGKILL)
            self.faults["kill"] += 1
            self.start()

    def done(self):
        return self.ledger.counts(self.study.id).done

    def until(self, condition, seconds, what="the condition"):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (
                f"{what} did not come within {seconds} s; {self.ledger.counts(self.study.id)}\n{self.last_words()}"
            )
            time.sleep(0.05)

    def end(self, seconds=300):
        """Wait until the study is finished and every worker has left; the last ones
        must leave well.
        """
        self.until(
            lambda: self.ledger.study("drill").state is StudyState.FINISHED,
            seconds,
            "the end of the study",
        )
        self.until(lambda: not self.alive, 30, "the last worker's leave")
        for each in self.workers:
            each.wait(10)
        self.until(
            lambda: not any(map(led, self.workers)),
            5,
            "I9: the end of all that workers started",
        )

    def last_words(self):
        words = [
            each.errors.read_text(errors="replace")[-500:] for each in self.workers[-3:]
        ]
        ends = [
            event
            for each in self.workers
            for event in each.events
            if event["event"] in {"error", "note"}
        ]
        return "\n".join([*words, *map(str, ends[-5:])])

    # -- the checker -------------------------------------------------------------------

    def lines(self):
        return (
            [json.loads(line) for line in self.journal.read_text().splitlines()]
            if self.journal.exists()
            else []
        )

    def check(self, *, failed=0):
        """Assert the invariants; returns figures."""
        records = [
            each
            for each in self.ledger.trials(self.study.id)
            if each.kind is Kind.SEARCH
        ]
        counts = self.ledger.counts(self.study.id)
        lines = self.lines()
        assert (counts.running, counts.waiting) == (0, 0), (
            "I1: nothing is left running or waiting"
        )
        assert counts.done == self.trials, "I2: the budget is met exactly"
        assert counts.failed == failed
        assert sorted(each.number for each in records) == list(range(self.trials)), (
            "I8: numbers without a gap"
        )
        self._check_attempts(lines)
        self._check_acknowledged(records)
        self._check_audit(records)
        self._check_secret()
        for each in records:
            assert each.lost <= self.retries + (each.state.value == "failed"), (
                "I5: no more losses than a trial may have"
            )
            if each.state.value == "complete":
                assert each.value == expected(
                    each.setting.learning_rate, self.says["epochs"]
                ), "I6: as if it had never been stopped"
        self._check_mirror(records)
        return {
            "trials": len(records), "faults": dict(self.faults), "attempts": sum(each.attempt for each in records),
            "lost": sum(each.lost for each in records),
        }  # fmt: skip

    def _check_attempts(self, lines):
        owners, epochs = defaultdict(set), defaultdict(list)
        for line in lines:
            owners[line["trial"], line["attempt"]].add(line["pid"])
            epochs[line["trial"], line["attempt"]].append(line["epoch"])
        assert all(len(each) == 1 for each in owners.values()), (
            "I3: no attempt in two journals"
        )
        for (trial, attempt), seen in epochs.items():
            assert seen == list(range(seen[0], seen[0] + len(seen))), (
                "an attempt's epochs follow one another"
            )
            before = [
                max(found)
                for (other, number), found in epochs.items()
                if other == trial and number < attempt
            ]
            assert seen[0] <= max(before, default=0) + 1, "I6: none is skipped"

    def _check_acknowledged(self, records):
        found = {each.id: each for each in records}
        for worker in self.workers:
            for event in worker.events:
                if (
                    event["event"] == "trial.ended"
                    and event["kind"] == "search"
                    and event["status"] in {"complete", "failed"}
                ):
                    stored = found[event["trial_id"]]
                    assert (stored.state.value, stored.value) == (
                        event["status"],
                        event["value"],
                    ), "I4: what was acknowledged stands"

    def _check_audit(self, records):
        query = "select trial, before, after, was, value from drill_audit"
        changes = self.ledger.database.rows(text(query))
        assert not [each for each in changes if each.before in TERMINAL], (
            "I1: what has ended never changes"
        )
        ends = Counter(each.trial for each in changes if each.after in TERMINAL)
        assert ends == Counter(each.id for each in records), "I1: every trial ends once"
        best = [each.value for each in records if each.state.value == "complete"]
        seen = [each.value for each in changes if each.after == "complete"]
        assert max(best, default=None) == max(seen, default=None), (
            "I7: the best is the best that was ever recorded"
        )

    def _check_secret(self):
        told = [json.dumps(each.events) for each in self.workers]
        told += [
            path.read_text(errors="replace") for path in self.folder.glob("errors-*")
        ]
        assert not any(SECRET in each for each in told), (
            "I10: no secret in what workers say"
        )

    def _check_mirror(self, records):
        Mirror(self.ledger).complete(self.study.id)
        theirs = optuna.load_study(
            study_name="drill", storage=self.ledger.optuna_storage()
        ).trials
        assert [each.number for each in theirs] == list(range(self.trials)), (
            "Optuna has each trial once"
        )
        values = {
            each.number: each.value
            for each in records
            if each.state.value == "complete"
        }
        assert {
            each.number: each.value for each in theirs if each.number in values
        } == values


def with_secret(url):
    """The URL with a password, where there is a server."""
    parsed = make_url(url)
    return (
        url
        if parsed.get_backend_name() == "sqlite"
        else parsed.set(password=SECRET).render_as_string(hide_password=False)
    )


def led(worker):
    """Whether any process of the worker's session is left."""
    try:
        os.killpg(worker.process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def expected(rate, epochs):
    """What the toy reaches when nobody disturbs it, by the same arithmetic."""
    goal, state = 1 - (math.log10(rate) + 2) ** 2 / 10, 0.0
    for _ in range(epochs):
        state = state + (goal - state) / 2
    return state
