"""What the ledger costs: claim and finish as a study grows, attaching to a large one, and cycles a second that a server sustains.

    python benchmarks/ledger.py URL [--clients 32] [--seconds 20]

URL is an empty database. Sampling is reported apart.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from ledger_tools import SPACE, add_worker, outcome, plan, setting  # noqa: E402

from lrsearch.sampling import Proposer  # noqa: E402
from lrsearch.storage import Claim, Mirror, open_ledger  # noqa: E402
from lrsearch.values import CurvePoint, Direction  # noqa: E402

POINTS = [CurvePoint(epoch=each, step=each, rate=0.1, seconds=1.0, value=0.5, logs={"loss": 1.0}) for each in range(1, 31)]


def cycle(ledger, study, worker, points=POINTS):
    """One trial's way; seconds of claim and finish."""
    began = time.perf_counter()
    claimed = ledger.claim(study.id, worker, lease_seconds=600)
    claim = time.perf_counter() - began
    assert isinstance(claimed, Claim)
    chosen = setting()
    ledger.bind(claimed.trial.id, claimed.attempt, setting=chosen, params=SPACE.public_params(chosen), seed=1)
    began = time.perf_counter()
    ledger.finish(outcome(claimed, epochs=len(points)), points)
    return claim, time.perf_counter() - began


def grow(ledger, study, worker, total):
    while ledger.counts(study.id).done < total:
        for _ in range(min(500, total - ledger.counts(study.id).done)):
            cycle(ledger, study, worker, POINTS[:3])
        while Mirror(ledger).sync(study.id):
            pass


def report_growth(url, sizes):
    ledger = open_ledger(url, create=True)
    study = ledger.create_study(plan(name="growth", trials=10**6, retest_seeds=0, first=()))
    worker = add_worker(ledger, study)
    for _ in range(32):
        held = ledger.claim(study.id, worker, lease_seconds=10**6)
        ledger.bind(held.trial.id, 1, setting=setting(), params=SPACE.public_params(setting()), seed=1)
    print(f"{'trials':>8} {'claim ms':>9} {'finish ms':>10} {'together':>9} {'mirror ms':>10} {'attach s':>9} {'sample ms':>10}")
    for size in sizes:
        grow(ledger, study, worker, size)
        spent, mirrored = [], []
        for _ in range(40):
            spent.append(cycle(ledger, study, worker))
            began = time.perf_counter()
            Mirror(ledger).sync(study.id)
            mirrored.append(time.perf_counter() - began)
        claim, finish = (1000 * statistics.median(each) for each in zip(*spent, strict=True))
        attach, sample = attaching(url)
        together = 1000 * statistics.median(map(sum, spent))
        print(
            f"{size:>8} {claim:>9.1f} {finish:>10.1f} {together:>9.1f} {1000 * statistics.median(mirrored):>10.1f}"
            f" {attach:>9.2f} {sample:>10.1f}"
        )
    ledger.close()


def attaching(url):
    """Seconds until a new worker could propose its first trial, and milliseconds a proposal takes then."""
    began = time.perf_counter()
    ledger = open_ledger(url)
    study = ledger.study("growth")
    proposer = Proposer(SPACE, direction=Direction.MAXIMIZE, sampler="tpe", seed=0)
    records = ledger.trials(study.id)
    proposer.observe(records)
    proposer.propose(len(records))
    attach = time.perf_counter() - began
    began = time.perf_counter()
    for number in range(5):
        proposer.propose(len(records) + number)
    ledger.close()
    return attach, 1000 * (time.perf_counter() - began) / 5


def client(url, seconds):
    """A client process: cycles until time is up; prints how many."""
    ledger = open_ledger(url)
    study = ledger.study("capacity")
    worker = add_worker(ledger, study)
    cycle(ledger, study, worker)
    print("ready", flush=True)
    sys.stdin.readline()
    until, done, spent = time.monotonic() + seconds, 0, []
    mirror = Mirror(ledger)
    while time.monotonic() < until:
        spent.append(sum(cycle(ledger, study, worker)))
        mirror.sync(study.id)
        done += 1
    print(done, max(spent, default=0.0))


def report_capacity(url, clients, seconds):
    ledger = open_ledger(url, create=True)
    ledger.create_study(plan(name="capacity", trials=10**6, retest_seeds=0, first=()))
    command = [sys.executable, __file__, url, "--client", "--seconds", str(seconds)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
    for each in started:
        assert each.stdout.readline() == "ready\n"
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    ends = [each.communicate()[0].split() for each in started]
    total = sum(int(done) for done, _ in ends)
    print(
        f"{clients} clients: {total / seconds:.1f} cycles a second (claim, bind, finish with 30 epochs, mirror),"
        f" worst claim + finish {max(float(worst) for _, worst in ends):.2f} s"
    )
    ledger.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        client(given.url, given.seconds)
        return
    report_growth(given.url, [int(each) for each in given.sizes.split(",")])
    report_capacity(given.url, given.clients, given.seconds)


if __name__ == "__main__":
    main()
