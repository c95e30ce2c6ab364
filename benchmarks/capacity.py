"""How many trials a second one database carries: many client processes claim, bind,
finish and mirror without training.

    python benchmarks/capacity.py sqlite|postgresql|mariadb|URL [--clients 32] [--seconds 20]

Each client is a process with connections of its own. A trial has 30 epochs, written
with its end, and the default space's parameters; it is mirrored to Optuna's rows. The
time in which the last rows are mirrored counts.
"""

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ledger import Costs, add_worker, cycle, database, plan, settings

from lrsearch.storage import Mirror, open_ledger


def client(url, seconds):
    """Cycles until time is up; prints how many, and the slowest claim and finish together."""
    ledger = open_ledger(url)
    study, mirror, costs = ledger.study("capacity"), Mirror(ledger), Costs()
    worker = add_worker(ledger, study)
    random.seed(worker)
    source = settings()
    chosen = [next(source) for _ in range(50)]  # sampling is another matter
    print("ready", flush=True)
    sys.stdin.readline()
    until, done = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        cycle(ledger, study, worker, chosen[done % 50], costs)
        mirror.sync(study.id)
        done += 1
    print(done, *sorted(map(sum, zip(costs["claim"], costs["finish"], strict=True))))


def report(url, clients, seconds):
    ledger = open_ledger(url, create=True)
    study = ledger.create_study(
        plan(name="capacity", trials=10**6, retest_seeds=0, first=())
    )
    command = [sys.executable, __file__, url, "--client", "--seconds", str(seconds)]
    started = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(clients)
    ]
    for each in started:
        assert each.stdout.readline() == "ready\n"
    began = time.monotonic()
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    ends = [each.communicate()[0].split() for each in started]
    total = sum(int(done) for done, *_ in ends)
    spent = sorted(float(each) for _, *times in ends for each in times)
    while Mirror(ledger).sync(study.id):
        pass
    rate = total / (time.monotonic() - began)
    print(f"{clients} clients: {rate:.1f} trials a second, mirrored; {total} in all")
    middle, most = spent[len(spent) // 2], spent[len(spent) * 99 // 100]
    print(
        f"claim + finish: median {middle:.2f} s, 99 % below {most:.2f} s, slowest {spent[-1]:.2f} s"
    )
    print(
        f"so many workers: {60 * rate:.0f} with trials of 1 minute, {600 * rate:.0f} of 10 minutes"
    )
    ledger.close()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        client(given.database, given.seconds)
        return
    with database(given.database) as url:
        report(url, given.clients, given.seconds)


if __name__ == "__main__":
    main()
