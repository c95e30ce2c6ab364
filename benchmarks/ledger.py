"""What the ledger costs as a study grows, what joining a large study costs, and what
sampling costs there.

    python benchmarks/ledger.py sqlite|postgresql|mariadb|URL [--sizes 100,1000,10000]

A kind starts a throw-away database of that kind, which syncs every commit to disk as a
user's would; a URL names an empty database, or one that an earlier run has grown. 32
trials run all the while. Medians of 60 trials of 30 epochs each, one client.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from ledger_tools import add_worker, outcome, plan  # noqa: E402
from servers import MariaDB, PostgreSQL  # noqa: E402

from lrsearch.sampling import make_sampler  # noqa: E402
from lrsearch.space import SearchSpace  # noqa: E402
from lrsearch.storage import Claim, Mirror, open_ledger  # noqa: E402
from lrsearch.values import CurvePoint, Direction, Kind  # noqa: E402

SERVERS = {"postgresql": PostgreSQL, "mariadb": MariaDB}
SPACE = SearchSpace()
RUNNING = 32
MEASURED = 60
POINTS = [
    CurvePoint(
        epoch=each, step=each, rate=0.1, seconds=1.0, value=0.5, logs={"loss": 1.0}
    )
    for each in range(1, 31)
]
# What a worker does before its first proposal, TensorFlow and the study's data aside.
JOIN = """
import sys, time
from lrsearch.sampling import make_sampler
from lrsearch.space import SearchSpace
from lrsearch.storage import Mirror, open_ledger
from lrsearch.values import Direction, Kind
loaded = time.perf_counter()
ledger = open_ledger(sys.argv[1])
study = ledger.study(sys.argv[2])
proposer = make_sampler("tpe", SearchSpace(), direction=Direction.MAXIMIZE, seed=0)
records = ledger.trials(study.id, kind=Kind.SEARCH)
proposer.observe(records)
proposer.propose(10**6)
print(time.perf_counter() - loaded)
"""


class Costs(dict):
    """Seconds by step, collected over trials."""

    @contextmanager
    def of(self, step):
        began = time.perf_counter()
        yield
        self.setdefault(step, []).append(time.perf_counter() - began)

    def median(self, *steps):
        """Milliseconds of these steps together."""
        return 1000 * statistics.median(
            map(sum, zip(*(self[each] for each in steps), strict=True))
        )


def settings():
    """Settings without end, as random sampling finds them."""
    proposer = make_sampler("random", SPACE, direction=Direction.MAXIMIZE, seed=0)
    while True:
        yield proposer.propose(random.randrange(10**9))


def cycle(ledger, study, worker, chosen, costs, points=POINTS):
    """One trial's way through the ledger."""
    with costs.of("claim"):
        claimed = ledger.claim(study.id, worker, lease_seconds=10**6)
    assert isinstance(claimed, Claim)
    with costs.of("bind"):
        ledger.bind(
            claimed.trial.id,
            claimed.attempt,
            setting=chosen,
            params=SPACE.public_params(chosen),
            seed=1,
        )
    ended = outcome(claimed, epochs=len(points), value=random.random())
    with costs.of("finish"):
        assert ledger.finish(ended, points)


def grow(ledger, study, worker, source, total):
    """Let the study have `total` ended trials, mirrored."""
    while (lacking := total - ledger.counts(study.id).done) > 0:
        for _ in range(min(400, lacking)):
            cycle(ledger, study, worker, next(source), Costs(), POINTS[:3])
        while Mirror(ledger).sync(study.id):
            pass


def begun(ledger, source):
    """The growing study with its running trials, made or found; and a worker."""
    study = ledger.create_study(
        plan(name="growth", trials=10**6, retest_seeds=0, first=())
    )
    worker = add_worker(ledger, study)
    for _ in range(RUNNING - ledger.counts(study.id).running):
        held, chosen = ledger.claim(study.id, worker, lease_seconds=10**6), next(source)
        ledger.bind(
            held.trial.id, 1, setting=chosen, params=SPACE.public_params(chosen), seed=1
        )
    return study, worker


def joining(url):
    """Seconds of a fresh process from its open libraries to its first proposal."""
    done = subprocess.run(
        [sys.executable, "-c", JOIN, url, "growth"],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def sampling(ledger, study, costs, source, worker):
    """What lies between two trials of a worker that knows the history: what is new,
    read and taken in, and a proposal.
    """
    proposer = make_sampler("tpe", SPACE, direction=Direction.MAXIMIZE, seed=0)
    known = ledger.trials(study.id, kind=Kind.SEARCH)
    proposer.observe(known)
    proposer.propose(10**6)
    for number in range(15):
        cycle(ledger, study, worker, next(source), Costs())
        with costs.of("observe"):
            known = ledger.trials(
                study.id, kind=Kind.SEARCH, changed_since=known.revision
            )
            proposer.observe(known)
        with costs.of("propose"):
            proposer.propose(10**6 + number)


def report(url, sizes):
    ledger, source = open_ledger(url, create=True), settings()
    study, worker = begun(ledger, source)
    steps = ("claim", "finish", "bind", "mirror", "observe", "propose")
    print(
        f"{'trials':>8} {'claim+finish':>13}"
        + "".join(f"{each:>9}" for each in steps)
        + f" {'join s':>8}",
        flush=True,
    )
    for size in sizes:
        grow(ledger, study, worker, source, size)
        costs = Costs()
        joined = joining(url)
        for _ in range(MEASURED):
            cycle(ledger, study, worker, next(source), costs)
            with costs.of("mirror"):
                Mirror(ledger).sync(study.id)
        sampling(ledger, study, costs, source, worker)
        both = costs.median("claim", "finish")
        rest = "".join(f"{costs.median(each):>9.1f}" for each in steps)
        print(f"{size:>8} {both:>10.1f} ms{rest} {joined:>8.2f}", flush=True)
    ledger.close()


@contextmanager
def database(name):
    """The URL that `name` stands for."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="lrs-") as folder:
        if name == "sqlite":
            yield f"sqlite:///{folder}/ledger.db"
        elif name in SERVERS:
            server = SERVERS[name](Path(folder), durable=True)
            server.start()
            try:
                yield server.create("ledger")
            finally:
                server.stop()
        else:
            yield name


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database")
    parser.add_argument("--sizes", default="100,1000,10000")
    given = parser.parse_args()
    with database(given.database) as url:
        report(url, [int(each) for each in given.sizes.split(",")])


if __name__ == "__main__":
    main()
