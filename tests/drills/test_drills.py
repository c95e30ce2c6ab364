"""Fault drills: real worker processes, seeded faults, SQLite and PostgreSQL; see
docs/reliability.md for what each promises.

A smoke set runs in every test run; the full set is `pytest -m drill`, its seeds in
LRSEARCH_DRILL_SEEDS (0,1,2 by default). Figures are appended to the file that
LRSEARCH_DRILL_FIGURES names.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from fleet import LEASE_SECONDS, Fleet
from ledger_tools import add_worker, claim, finish, plan
from relay import Relay
from sqlalchemy import create_engine, make_url, text

from lrsearch.errors import StorageUnavailable
from lrsearch.storage import Claim, Done, open_ledger
from lrsearch.storage.connections import CONNECT_SECONDS
from lrsearch.storage.database import TRY_SECONDS
from lrsearch.storage.limits import ANSWER_SECONDS
from lrsearch.values import CurvePoint, Status, StudyState, TrialState

SUPPORT = Path(__file__).parents[1] / "support"
SEEDS = [
    int(each) for each in os.environ.get("LRSEARCH_DRILL_SEEDS", "0,1,2").split(",")
]
KINDS = ("sqlite", "postgresql")
POINT = CurvePoint(epoch=1, step=10, rate=0.1, seconds=1.0, value=0.5, logs={})
FAILPOINTS = [
    *(
        f"{step}.{when}"
        for step in ("claim", "bind", "finish")
        for when in ("written", "committed")
    ),
    "made",
    "concluded",
    "settled",
]


def cases(*smoke):
    """Every kind and seed as drills, but for the `smoke` ones, (kind, seed), which run
    in every test run.
    """
    return [
        pytest.param(
            kind,
            seed,
            id=f"{kind}-{seed}",
            marks=[] if (kind, seed) in smoke else pytest.mark.drill,
        )
        for kind, seed in itertools.product(KINDS, SEEDS)
    ]


@pytest.fixture
def relayed(servers, new_database):
    """A new PostgreSQL database behind a relay: its URL, and the relay."""
    url = make_url(new_database("postgresql"))
    relay = Relay(servers("postgresql").port)
    yield url.set(port=relay.port).render_as_string(), relay
    relay.close()


@pytest.fixture
def fleet(new_database, tmp_path, request):
    """A maker of fleets; at the end it notes what the checker counted."""
    made = []

    def make(kind, *, url=None, **says):
        made.append(Fleet(url or new_database(kind), tmp_path, **says))
        return made[-1]

    make.figures = {}
    yield make
    for each in made:
        each.__exit__()
    if (target := os.environ.get("LRSEARCH_DRILL_FIGURES")) and make.figures:
        with Path(target).open("a") as file:
            file.write(json.dumps({"drill": request.node.name, **make.figures}) + "\n")


# -- 1 to 3: workers die ---------------------------------------------------------------


@pytest.mark.parametrize(("kind", "seed"), cases(("sqlite", 0)))
def test_01_kill_storm(fleet, kind, seed):
    smoke = seed == 0 and kind == "sqlite"
    trials, kills = (16, 5) if smoke else (60, 20)
    ours = fleet(kind, trials=trials, seed=seed, retries=20, epoch_seconds=0.15)
    ours.start(3)
    while ours.faults["kill"] < kills and ours.done() < trials - 3:
        time.sleep(ours.random.uniform(0.2, 0.6))
        ours.kill_one()
    ours.end()
    fleet.figures = ours.check()
    assert ours.faults["kill"] >= kills // 2


@pytest.mark.parametrize(
    ("kind", "failpoint"),
    [
        pytest.param(
            kind,
            failpoint,
            marks=()
            if (kind, failpoint) == ("sqlite", "finish.committed")
            else pytest.mark.drill,
        )
        for kind in KINDS
        for failpoint in FAILPOINTS
    ],
)
def test_02_kill_at_every_failpoint(fleet, kind, failpoint):
    ours = fleet(kind, trials=4, failpoint=failpoint)
    [first] = ours.start(1)
    ours.until(lambda: not first.alive, 60, f"the death at {failpoint}")
    assert first.wait(10) == -signal.SIGKILL
    ours.start(2)
    ours.end()
    fleet.figures = ours.check() | {"faults": {"kill": 1}}


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
def test_03_the_last_worker_dies_and_a_look_alone_puts_its_trial_back(fleet, kind):
    ours = fleet(kind, trials=2, epoch_seconds=0.5)
    [only] = ours.start(1)
    ours.until(ours.lines, 60)
    only.signal(signal.SIGKILL)
    ours.until(
        lambda: ours.ledger.reap(lease_seconds=LEASE_SECONDS),
        30,
        "a look that puts it back",
    )
    assert ours.ledger.counts(ours.study.id).running == 0
    ours.start(1)
    ours.end()
    fleet.figures = ours.check()


# -- 4 and 5: the database goes away ---------------------------------------------------


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(each, marks=[] if each == 0 else pytest.mark.drill)
        for each in SEEDS
    ],
)
def test_04_database_restarts(fleet, servers, seed):
    ours = fleet("postgresql", trials=30 if seed else 12, seed=seed, epoch_seconds=0.2)
    workers = ours.start(3)
    server = servers("postgresql")
    ours.until(lambda: ours.done() >= 1, 60)
    for number in range(4 if seed else 2):
        server.stop(signal.SIGINT if number % 2 else signal.SIGQUIT)  # fast, immediate
        time.sleep(ours.random.uniform(0.1, 1.0))
        server.start()
        ours.faults["restart"] += 1
        time.sleep(ours.random.uniform(0.5, 1.5))
    ours.end()
    fleet.figures = ours.check()
    assert [each.process.returncode for each in workers] == [0, 0, 0], (
        "no worker leaves"
    )


@pytest.mark.drill
def test_05_a_server_is_gone_for_a_while_and_training_goes_on(fleet, servers):
    ours = fleet(
        "postgresql", trials=6, epochs=60, epoch_seconds=0.1, lease_seconds=60.0
    )
    workers = ours.start(2)
    ours.until(lambda: len(ours.lines()) > 5, 60)
    server = servers("postgresql")
    server.stop()
    ours.faults["stop"] += 1
    before = len(ours.lines())
    time.sleep(5)
    after = len(ours.lines())
    server.start()
    assert after > before + 20, "training goes on"
    ours.end()
    fleet.figures = ours.check()
    assert [each.process.returncode for each in workers] == [0, 0]
    assert all(
        len(ours.ledger.curve(each.id)) == 60
        for each in ours.ledger.trials(ours.study.id)
    ), "what was buffered is there"


OUTAGES = {  # how the way to the server is lost, and found again
    "refused": (Relay.close, Relay.open),
    "black hole": (Relay.hole, Relay.open),
}


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        pytest.param("refused", 5, marks=pytest.mark.drill),
        pytest.param("refused", 60, marks=pytest.mark.drill),
        pytest.param("black hole", 5, marks=pytest.mark.drill),
        pytest.param("black hole", 60, marks=pytest.mark.drill),
    ],
)
def test_05_the_way_to_the_server_is_lost_and_training_goes_on(
    fleet, servers, relayed, how, seconds
):
    url, relay = relayed
    ours = fleet(
        "postgresql",
        url=url,
        trials=4,
        epochs=40 + 8 * seconds,
        epoch_seconds=0.1,
        lease_seconds=max(6.0, seconds / 3),
    )
    workers = ours.start(2)
    ours.until(lambda: len(ours.lines()) > 8, 60)
    lose, find = OUTAGES[how]
    lose(relay)
    ours.faults[how] += 1
    before, began = Counter(each["pid"] for each in ours.lines()), time.monotonic()
    time.sleep(seconds)
    after = Counter(each["pid"] for each in ours.lines())
    trained = {
        pid: (after[pid] - before[pid]) / (time.monotonic() - began) for pid in before
    }
    find(relay)
    # Up to ten epochs a second where nothing holds them up; hurried calls take 2 s at
    # first, and in every 17 later.
    assert all(each > 1 for each in trained.values()), (
        f"training goes on: {trained} epochs a second"
    )
    assert len(ours.alive) == 2
    ours.end()
    figures = ours.check()
    fleet.figures = figures
    assert figures["lost"] == 0, (
        "no living worker is taken for dead, though every lease lapsed"
    )
    assert [each.process.returncode for each in workers] == [0, 0]
    assert all(
        len(ours.ledger.curve(each.id)) == ours.says["epochs"]
        for each in ours.ledger.trials(ours.study.id)
    ), "buffered"


@pytest.mark.drill
def test_05_calls_into_a_black_hole_end_within_their_time_outs(servers, relayed):
    url, relay = relayed
    with closing(open_ledger(url, create=True, patience_seconds=0.0)) as ledger:
        study = ledger.create_study(plan(trials=3))
        worker = add_worker(ledger, study)
        held = claim(ledger, study, worker)
        relay.hole()
        calls = {
            "on an open connection, then a new one": (
                ANSWER_SECONDS + CONNECT_SECONDS,
                lambda: ledger.claim(study.id, worker, lease_seconds=9.0),
            ),
            "hurried": (
                TRY_SECONDS,
                lambda: ledger.add_curves({(held.trial.id, held.attempt): [POINT]}),
            ),
            "connecting": (CONNECT_SECONDS, lambda: ledger.counts(study.id)),
        }
        for name, (limit, call) in calls.items():
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                call()
            assert time.monotonic() - began < limit + 3, name
        relay.open()
        assert ledger.counts(study.id).running == 1


@pytest.mark.drill
def test_05_a_frozen_server_is_a_time_out_and_not_a_hang(fleet, servers):
    ours = fleet("postgresql", trials=4, epoch_seconds=0.2)
    ours.start(2)
    ours.until(lambda: ours.done() >= 1, 60)
    server = servers("postgresql")
    os.killpg(server.process.pid, signal.SIGSTOP)
    ours.faults["freeze"] += 1
    time.sleep(8)
    os.killpg(server.process.pid, signal.SIGCONT)
    ours.end()
    fleet.figures = ours.check()


@pytest.mark.drill
def test_05_a_locked_sqlite_file_is_waited_for(fleet):
    ours = fleet("sqlite", trials=6, epoch_seconds=0.1)
    workers = ours.start(2)
    ours.until(lambda: ours.done() >= 1, 60)
    other = create_engine(ours.url)
    with other.connect() as holder:
        holder.exec_driver_sql("BEGIN EXCLUSIVE")
        ours.faults["lock"] += 1
        time.sleep(10)
        holder.exec_driver_sql("ROLLBACK")
    other.dispose()
    ours.end()
    fleet.figures = ours.check()
    assert [each.process.returncode for each in workers] == [0, 0]


# -- 6: a worker that sleeps through its lease -----------------------------------------


@pytest.mark.drill
@pytest.mark.parametrize(("kind", "seed"), cases())
def test_06_a_paused_worker_drops_its_trial_writes_nothing_and_works_on(
    fleet, kind, seed
):
    ours = fleet(kind, trials=14, seed=seed, retries=10, epoch_seconds=0.3)
    workers = ours.start(3)
    ours.until(ours.lines, 60)
    for _ in range(2):
        sleeper = ours.random.choice(workers)
        sleeper.signal(signal.SIGSTOP)
        ours.faults["pause"] += 1
        time.sleep(7)
        sleeper.signal(signal.SIGCONT)
        time.sleep(0.5)
    ours.end()
    fleet.figures = ours.check()
    assert [each.process.returncode for each in workers] == [0, 0, 0], (
        "every worker works on"
    )


# -- 7 to 10: races --------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "seed"), cases(("sqlite", 0), ("postgresql", 0)))
def test_07_no_queued_trial_is_given_to_two(new_database, kind, seed):
    del seed
    url = new_database(kind)
    ledgers = [open_ledger(url, create=True) for _ in range(8)]
    study = ledgers[0].create_study(plan(trials=160, retest_seeds=0, first=()))
    worker = add_worker(ledgers[0], study)

    def drain(ledger):
        taken = []
        while isinstance(
            found := ledger.claim(study.id, worker, lease_seconds=600), Claim
        ):
            taken.append(found.trial.number)
            finish(ledger, found, status=Status.FAILED, value=None)
        return taken

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for taken in pool.map(drain, ledgers) for number in taken]
    assert sorted(numbers) == list(range(160))
    for each in ledgers:
        each.close()


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
def test_08_a_result_and_its_reaper_never_both_win(new_database, kind):
    url = new_database(kind)
    one, two = open_ledger(url, create=True), open_ledger(url, create=True)
    study = one.create_study(plan(trials=300, retest_seeds=0, retries=500, first=()))
    worker = add_worker(one, study)
    kept = lost = 0
    for _ in range(300):
        held = claim(one, study, worker, lease_seconds=0.0)
        reaped = []
        reaper = threading.Thread(
            target=lambda reaped=reaped: reaped.append(two.reap())
        )
        reaper.start()
        stands = finish(one, held, value=0.5)
        reaper.join()
        trial = next(each for each in one.trials(study.id) if each.id == held.trial.id)
        assert (trial.state is TrialState.COMPLETE) == stands
        assert stands != bool(reaped[0])
        kept, lost = kept + stands, lost + (not stands)
    assert kept + lost == 300
    one.close()
    two.close()


CREATE = "import sys; sys.path[:0] = {path!r}\nfrom lrsearch.storage import open_ledger\nfrom ledger_tools import plan\n"
CREATE += "print(open_ledger(sys.argv[1], create=True).create_study(plan(trials=3)).id)"


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
def test_09_sixteen_processes_create_schema_and_study_at_once(new_database, kind):
    for _ in range(3):
        url = new_database(kind)
        command = [sys.executable, "-c", CREATE.format(path=sys.path), url]
        started = [
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(16)
        ]
        ended = [each.communicate(timeout=180) for each in started]
        assert [each.returncode for each in started] == [0] * 16, ended
        assert len({out for out, _ in ended}) == 1


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("trials", "workers", "late"), [(1, 6, 0), (7, 1, 2), (24, 8, 2)]
)
def test_10_the_budget_is_exact_with_late_joiners_and_after_the_end(
    fleet, kind, trials, workers, late
):
    ours = fleet(kind, trials=trials, epoch_seconds=0.05)
    ours.start(workers)
    ours.until(lambda: ours.done() >= trials // 3, 90)
    ours.start(late)
    ours.end()
    ours.start(1)
    ours.until(lambda: not ours.alive, 30)
    fleet.figures = ours.check()


# -- 11 to 14: checkpoints, signals, poison, a full disk -------------------------------


@pytest.mark.drill
@pytest.mark.parametrize(("kind", "seed"), cases())
def test_11_a_killed_trial_goes_on_from_its_newest_checkpoint_and_past_a_corrupt_one(
    fleet, kind, seed
):
    ours = fleet(kind, trials=1, seed=seed, epochs=30, epoch_seconds=0.1, retries=5)
    [first] = ours.start(1)
    ours.until(lambda: len(ours.lines()) >= 10, 60)
    first.signal(signal.SIGKILL)
    first.wait(10)
    [trial] = ours.ledger.trials(ours.study.id)
    # Of those in the manifest: a kill between the file and its line leaves a newer file
    # that nobody knows of, and nobody misses.
    newest = ours.folder / "checkpoints" / ours.ledger.checkpoints(trial.id)[0].path
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    reached = max(each["epoch"] for each in ours.lines())
    [second] = ours.start(1)
    ours.end()
    fleet.figures = ours.check() | {"faults": {"kill": 1, "corrupt": 1}}
    begun = next(each["epoch"] for each in ours.lines() if each["attempt"] == 2)
    assert 1 < begun <= reached + 1, "not from the beginning"
    assert any("not usable" in event.get("text", "") for event in second.events), (
        "aloud"
    )


@pytest.mark.parametrize(("kind", "seed"), cases(("sqlite", 0)))
def test_11_a_kill_within_a_long_epoch_costs_at_most_a_checkpoint_interval(
    fleet, kind, seed
):
    ours = fleet(
        kind, trials=1, seed=seed, epochs=1, epoch_seconds=3.0, checkpoint_seconds=0.3
    )
    [first] = ours.start(1)
    ours.until(
        lambda: any(event.get("step", 0) >= 7 for event in first.events),
        60,
        "0.7 of the epoch",
    )
    first.signal(signal.SIGKILL)
    [second] = ours.start(1)
    ours.end()
    fleet.figures = ours.check() | {"faults": {"kill": 1}}
    [begun] = [event for event in second.events if event["event"] == "trial.started"]
    assert begun["resumed_from"] == 0
    assert begun["resumed_update"] >= 5, "batches take 0.3 s, and so does the interval"


@pytest.mark.drill
@pytest.mark.parametrize(("kind", "seed"), cases())
def test_11_a_job_that_is_preempted_within_every_epoch_comes_to_its_end(
    fleet, kind, seed
):
    smoke = seed == 0 and kind == "sqlite"
    epochs, epoch_seconds, ours_seconds = (1, 2.0, 0.8) if smoke else (3, 6.0, 2.0)
    ours = fleet(
        kind,
        trials=1,
        seed=seed,
        epochs=epochs,
        epoch_seconds=epoch_seconds,
        checkpoint_seconds=0.5,
    )
    places = []
    while not ours.done():
        [worker] = ours.start(1)
        ours.until(
            lambda worker=worker: _started(worker) or not worker.alive,
            60,
            "a beginning",
        )
        places += [
            (each["resumed_from"], each["resumed_update"]) for each in _started(worker)
        ]
        time.sleep(ours_seconds)
        worker.signal(signal.SIGTERM)
        worker.wait(20)
        ours.faults["SIGTERM"] += 1
        assert ours.faults["SIGTERM"] < 30, f"it does not get on: {places}"
    ours.start(1)
    ours.end()
    fleet.figures = ours.check()
    assert len(places) >= epochs * epoch_seconds / ours_seconds - 1, (
        "no epoch was ever trained in one go"
    )
    assert places == sorted(set(places)), (
        "each attempt began where the one before was stopped"
    )


def _started(worker):
    return [event for event in worker.events if event["event"] == "trial.started"]


@pytest.mark.drill
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_12_a_signal_puts_the_trial_back_uncounted_within_ten_seconds(fleet, number):
    ours = fleet("sqlite", trials=2, epochs=20, epoch_seconds=0.1)
    [first] = ours.start(1)
    ours.until(lambda: len(ours.lines()) >= 5, 60)
    began = time.monotonic()
    first.process.send_signal(number)
    ours.faults[signal.Signals(number).name] += 1
    first.wait(10)
    assert time.monotonic() - began < 10
    counts = ours.ledger.counts(ours.study.id)
    assert (counts.running, counts.waiting + counts.complete) == (0, 2)
    ours.start(1)
    ours.end()
    figures = ours.check()
    assert figures["lost"] == 0
    fleet.figures = figures


PARENT = """
import json, sys
from lrsearch.errors import LrSearchError
from launching import run_study
try:
    run_study(listen=lambda event: print(event.message.event, flush=True), **json.loads(sys.argv[1]))
except LrSearchError as error:
    sys.exit(error.exit_code)
"""


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
def test_12_a_second_ctrl_c_ends_all_within_a_second_and_what_ran_is_trained_later(
    new_database, tmp_path, kind, monkeypatch
):
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    )
    url = new_database(kind)
    (tmp_path / "toy.json").write_text(
        json.dumps({"behave": {"trial 0": "stuck-once", "trial 1": "stuck-once"}})
    )
    toy = {
        "study_file": str(tmp_path / "toy.json"),
        "engine_factory": "worker_toy:loader",
        "checkpoints": str(tmp_path / "c"),
    }
    asked = {
        **toy,
        "storage": url,
        "devices": "cpu",
        "workers": 2,
        "trials": 4,
        "retest": 0,
        "sampler": "random",
    }
    command = [sys.executable, "-c", PARENT, json.dumps(asked)]

    def parent():
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )

    with parent() as first:
        heard = Counter()
        while heard["trial.started"] < 2:
            heard[first.stdout.readline().strip()] += 1
        workers = children(first.pid)
        first.send_signal(signal.SIGINT)
        while first.stdout.readline().strip() != "stopping":
            pass
        began = time.monotonic()
        first.send_signal(signal.SIGINT)
        assert first.wait(5) == 130
        assert time.monotonic() - began < 1
    assert len(workers) == 2
    time.sleep(0.5)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    with parent() as second:  # waits for the leases of a minute that nobody gave back
        second.communicate(timeout=150)
        assert second.returncode == 0
    with closing(open_ledger(url)) as ledger:
        records = ledger.trials(ledger.study("toy").id)
    assert [(each.state, each.attempt, each.lost) for each in records] == [
        *[(TrialState.COMPLETE, 2, 1)] * 2,
        *[(TrialState.COMPLETE, 1, 0)] * 2,
    ]


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("behaviour", ["kill", "raise"])
def test_13_a_poison_trial_fails_and_the_others_are_well(fleet, kind, behaviour):
    ours = fleet(kind, trials=8, retries=1, behave={"trial 3": behaviour})
    ours.start(2)
    end = time.monotonic() + 60
    while (
        ours.ledger.study("drill").state is StudyState.OPEN and time.monotonic() < end
    ):
        time.sleep(0.2)
        if len(ours.alive) < 2:
            ours.start(1)
    ours.end()
    fleet.figures = ours.check(failed=1)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB, where this process may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.drill
def test_14_a_full_disk_is_waited_for_and_nothing_is_corrupt(
    fleet, small_disk, tmp_path
):
    ours = Fleet(
        f"sqlite:///{small_disk}/full.db", tmp_path, trials=5, epoch_seconds=0.1
    )
    with ours:
        ours.start(1)
        ours.until(lambda: ours.done() >= 1, 60)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"0" * 4096)
            except OSError:
                pass
        ours.faults["full"] += 1
        time.sleep(4)
        filler.unlink()
        ours.end()
        fleet.figures = ours.check()
        assert (
            ours.ledger.database.transact(
                lambda tx: tx.execute(text("pragma integrity_check")).scalar_one(),
                reads=True,
            )
            == "ok"
        )


@pytest.mark.drill
def test_14_checkpoints_without_room_cost_nothing_but_themselves(fleet, small_disk):
    ours = fleet("sqlite", trials=3)
    shutil.rmtree(ours.folder / "checkpoints", ignore_errors=True)
    (ours.folder / "checkpoints").symlink_to(small_disk)
    (small_disk / "filler").write_bytes(b"0" * (3 * 2**20 - 8192))
    ours.start(1)
    ours.end()
    fleet.figures = ours.check()


# -- 15: time --------------------------------------------------------------------------


@pytest.mark.drill
def test_15_time_zones_and_wrong_clocks_of_workers_make_no_difference(fleet):
    ours = fleet("postgresql", trials=9, epoch_seconds=0.3)
    for zone in ("America/New_York", "Asia/Tokyo", "UTC"):
        ours.start(1, PGTZ=zone, TZ=zone)
    ours.end()
    figures = ours.check()
    assert figures["lost"] == 0, "no living worker is taken for dead"
    fleet.figures = figures


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
def test_15_workers_whose_clocks_are_off_by_an_hour_make_no_difference(fleet, kind):
    ours = fleet(kind, trials=9, epoch_seconds=0.3)
    for ahead in (-3600, 0, 3600):
        ours.start(1, DRILL_CLOCK_AHEAD=str(ahead))
    ours.end()
    figures = ours.check()
    assert figures["lost"] == 0, "no living worker is taken for dead"
    fleet.figures = figures


@pytest.mark.drill
def test_15_the_databases_clock_stepped_back_takes_nobody_for_dead_and_the_dead_are_found(
    fleet,
):
    ours = fleet("postgresql", trials=12, epoch_seconds=0.3, clock=True)
    workers = ours.start(3)
    ours.until(lambda: ours.done() >= 2, 60)
    ours.run("update drill_clock set ahead = -5")
    ours.faults["step"] += 1
    ours.until(lambda: ours.done() >= 6, 60)
    assert sum(each.lost for each in ours.ledger.trials(ours.study.id)) == 0
    workers[0].signal(signal.SIGKILL)
    ours.faults["kill"] += 1
    ours.end()
    figures = ours.check()
    assert figures["lost"] <= 1
    fleet.figures = figures


@pytest.mark.drill
def test_15_a_dead_worker_in_another_time_zone_is_noticed(fleet):
    ours = fleet("postgresql", trials=1, epoch_seconds=0.5)
    [first] = ours.start(1, PGTZ="Asia/Tokyo")
    ours.until(ours.lines, 60)
    first.signal(signal.SIGKILL)
    ours.until(
        lambda: ours.ledger.reap(lease_seconds=LEASE_SECONDS),
        30,
        "a look that puts it back",
    )
    ours.start(1)
    ours.end()
    fleet.figures = ours.check()


# -- Keras for real --------------------------------------------------------------------

KERAS = """
import keras, numpy as np
from lrsearch import SearchSpace, StudyDefinition
def load_data():
    x = np.random.default_rng(0).normal(size=(400, 6)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    return (x[:300], y[:300]), (x[300:], y[300:])
def build_model():
    model = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dropout(0.1), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model
definition = StudyDefinition(objective="val_loss", epochs=40, batch_size=30, space=SearchSpace(optimizers=["sgd", "adam"], schedules=["linear"]))
"""


def keras_study(folder, *arguments):
    command = [sys.executable, "-m", "lrsearch", *arguments]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    # a pipe that nobody reads would hold it up
    with (folder / "output").open("a") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def children(pid):
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    return [int(each) for each in found]


@pytest.mark.drill
@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", KINDS)
def test_keras_two_of_three_workers_killed_and_two_attached_from_elsewhere(
    new_database, tmp_path, kind, monkeypatch
):
    monkeypatch.setenv("LRSEARCH_STORAGE", new_database(kind))
    (tmp_path / "toy.py").write_text(KERAS)
    options = [
        "--trials",
        "10",
        "--pruner",
        "none",
        "--retest",
        "0",
        "--workers",
        "3",
        "--engine",
        "fit",
        "--log-file",
        "log",
    ]
    start = keras_study(tmp_path, "start-study", "toy.py", *options)
    deadline = time.monotonic() + 90
    while (
        not (tmp_path / "log").exists()
        or "trial.started" not in (tmp_path / "log").read_text()
    ):
        assert time.monotonic() < deadline, (tmp_path / "output").read_text()[-3000:]
        time.sleep(0.2)
    for pid in children(start.pid)[:2]:
        os.kill(pid, signal.SIGKILL)
    other = keras_study(tmp_path, "attach", "toy", "--workers", "2", "--engine", "fit")
    assert start.wait(300) == 0, (tmp_path / "output").read_text()[-3000:]
    assert other.wait(60) == 0, (tmp_path / "output").read_text()[-3000:]
    ledger = open_ledger(os.environ["LRSEARCH_STORAGE"])
    study = ledger.study("toy")
    counts = ledger.counts(study.id)
    assert (counts.done, counts.complete, counts.running, counts.waiting) == (
        10,
        10,
        0,
        0,
    )
    for trial in ledger.trials(study.id):
        spans = [(each.started_at, each.ended_at) for each in ledger.attempts(trial.id)]
        assert all(end is not None for _, end in spans)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans)), (
            "no trial is trained by two at once"
        )
    assert isinstance(
        ledger.claim(
            study.id,
            add_worker(ledger, study, host=ledger.workers(study.id)[0].host),
            lease_seconds=60,
        ),
        Done,
    )
    ledger.close()


@pytest.mark.drill
@pytest.mark.tensorflow
def test_keras_a_trial_killed_half_way_ends_as_if_it_had_not_been(tmp_path):
    (tmp_path / "toy.py").write_text(KERAS.replace("epochs=40", "epochs=400"))
    options = [
        "--trials",
        "2",
        "--retest",
        "0",
        "--workers",
        "1",
        "--checkpoint-every",
        "1s",
        "--engine",
        "fit",
        "--log-file",
        "log",
    ]
    quiet = keras_study(
        tmp_path, "start-study", "toy.py", "--name", "undisturbed", *options
    )
    assert quiet.wait(300) == 0, (tmp_path / "output").read_text()[-3000:]
    (tmp_path / "log").unlink()
    start = keras_study(
        tmp_path, "start-study", "toy.py", "--name", "disturbed", *options
    )
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob("lrsearch-checkpoints/disturbed-*/**/epoch-*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for pid in children(start.pid):
        os.kill(pid, signal.SIGKILL)
    assert start.wait(300) == 0, (tmp_path / "output").read_text()[-3000:]
    ledger = open_ledger(f"sqlite:///{tmp_path}/lrsearch.db")
    values = {
        name: [each.value for each in ledger.trials(ledger.study(name).id)]
        for name in ("undisturbed", "disturbed")
    }
    attempts = [each.attempt for each in ledger.trials(ledger.study("disturbed").id)]
    ledger.close()
    assert max(attempts) == 2
    assert values["disturbed"] == values["undisturbed"], "bitwise"


LONG = (
    KERAS.replace("400", "24_000")
    .replace("300", "23_000")
    .replace("epochs=40", "epochs=2")
    .replace("batch_size=30", "batch_size=2")
)


@pytest.mark.drill
@pytest.mark.tensorflow
@pytest.mark.parametrize("engine", ["fit", "graph"])
def test_keras_a_job_preempted_within_epochs_ends_as_if_it_had_not_been(
    tmp_path, engine
):
    (tmp_path / "toy.py").write_text(LONG)
    options = [
        "--trials",
        "1",
        "--retest",
        "0",
        "--workers",
        "1",
        "--checkpoint-every",
        "1s",
        "--engine",
        engine,
        "--log-file",
    ]
    quiet = keras_study(
        tmp_path, "start-study", "toy.py", "--name", "undisturbed", *options, "quiet"
    )
    assert quiet.wait(300) == 0, (tmp_path / "output").read_text()[-3000:]
    codes, log = [], tmp_path / "log"
    while 0 not in codes:
        # a busy machine trains little between two preemptions
        assert len(codes) < 40, log.read_text()[-3000:]
        log.unlink(missing_ok=True)
        job = keras_study(
            tmp_path, "start-study", "toy.py", "--name", "disturbed", *options, "log"
        )
        deadline = time.monotonic() + 90
        while job.poll() is None and (
            not log.exists() or "trial.started" not in log.read_text()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(3)
        if job.poll() is None:
            job.send_signal(signal.SIGTERM)
        codes.append(job.wait(60))
    ledger = open_ledger(f"sqlite:///{tmp_path}/lrsearch.db")
    [undisturbed], [disturbed] = (
        ledger.trials(ledger.study(name).id) for name in ("undisturbed", "disturbed")
    )
    ledger.close()
    assert disturbed.lost == 0
    assert disturbed.attempt > 2, codes
    assert "update" in disturbed.notes[0], "went on within an epoch"
    assert (disturbed.value, disturbed.steps) == (
        undisturbed.value,
        undisturbed.steps,
    ), "bitwise"
