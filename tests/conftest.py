"""Databases for every test that wants one: SQLite files, and one throw-away server of
each kind a session.
"""

from __future__ import annotations

import compileall
import gc
import itertools
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from fork_server import ForkServer
from servers import MariaDB, PostgreSQL

import lrsearch
from lrsearch.worker._keras_extras import defer_extras

defer_extras()  # as workers do; every process of the suite imports Keras
# As in a worker, whose slot has a core: OpenBLAS' threads wait for each other by
# computing, which takes 10 CPU seconds instead of 4 for the tests of the sampler alone.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# pytest rewrites the assertions of 200 files: 2.5 CPU seconds in each process of the
# suite, where PYTHONDONTWRITEBYTECODE does not let it keep them for the next run.
sys.dont_write_bytecode = False
_KINDS = {"postgresql": PostgreSQL, "mariadb": MariaDB}
_count = itertools.count()


@pytest.fixture(scope="session")
def servers():
    """Starts a server of a kind when it is first asked for; all are stopped at the end."""
    running = {}

    def server(kind):
        if kind not in running:
            why = _KINDS[kind].missing()
            if why:
                if os.environ.get("LRSEARCH_TEST_NO_SKIP"):
                    pytest.fail(f"{why}, and LRSEARCH_TEST_NO_SKIP is set")
                pytest.skip(why)
            folder = Path(tempfile.mkdtemp(prefix="lrs-", dir="/tmp"))
            running[kind] = _KINDS[kind](folder)
            running[kind].start()
        return running[kind]

    yield server
    for each in running.values():
        each.stop()
        shutil.rmtree(each.folder, ignore_errors=True)


@pytest.fixture
def new_database(servers, tmp_path):
    """A maker of new, empty databases of a kind; returns a URL."""

    def make(kind):
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{next(_count)}.db"
        return servers(kind).create(f"lrsearch_{next(_count)}")

    return make


@pytest.fixture(scope="session")
def fork_server():
    """What forks workers of the toy, and the processes that start them."""
    with ForkServer("import launching, lrsearch.worker.session, worker_toy") as made:
        yield made


@pytest.fixture(scope="session")
def keras_fork_server():
    """What forks workers that train with Keras, and the processes that start them."""
    ready = "import lrsearch.launch.run, lrsearch.worker.session"
    keras = "from lrsearch.worker._keras_extras import defer_extras; defer_extras()"
    with ForkServer(f"{ready}; {keras}; import lrsearch.engine") as made:
        yield made


def pytest_configure(config):
    """Make the processes that tests start as quick as a user's, and let them hear signals."""
    _hear_signals()
    if not hasattr(config, "workerinput"):  # once, before xdist's processes begin
        _compile_sources()


def _compile_sources():
    """Compile the package ahead, as its installation does: under
    PYTHONDONTWRITEBYTECODE each of some 300 processes would compile it anew, for 0.2
    CPU seconds.
    """
    for folder in (Path(lrsearch.__file__).parent, Path(__file__).parent / "support"):
        compileall.compile_dir(folder, quiet=2)


def _hear_signals():
    """Let processes that tests start hear a hang-up and an interrupt, also in a suite
    that `nohup` or a script's `&` began: a signal that is ignored is inherited, and one
    with a handler begins anew.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Set the objects of TensorFlow aside, a million: collecting them again and again
    slows its import and every trial by `fit`.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# The longest: begun first, so that the short files fill what is left of the other
# processes' time. Slurm and Ray mostly wait: one of them at a time, beside files that
# compute. xdist keeps this order only under --no-loadscope-reorder: else files of most
# tests come first.
_LONGEST = (
    "test_slurm.py", "test_equality.py", "test_vectorized_engine.py", "test_ray.py", "test_ledger.py", "test_row_scores.py",
    "test_within_epochs.py", "test_cli.py", "test_graph_engine.py", "test_strangers.py", "test_situations.py", "test_engines.py",
    "test_background.py", "test_compose.py", "test_graph_streams.py", "test_callbacks_of_trials.py", "test_situations_of_callbacks.py",
    "test_exported_optimizers.py", "test_trackers.py", "test_stops.py", "test_workers.py", "test_bill.py", "test_bad_input.py",
    "test_drills.py", "test_strategies.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """Files that take longest come first; within a file nothing changes."""
    rank = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(autouse=True)
def _optimizer_is_there(request):
    """Skip what trains an optimizer that the oldest Keras does not have yet."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get(
        "optimizer"
    )
    if name and request.node.get_closest_marker("tensorflow"):
        import keras

        from lrsearch.space import OPTIMIZERS

        if not hasattr(keras.optimizers, OPTIMIZERS[name].keras):
            pytest.skip(f"Keras {keras.__version__} has no {OPTIMIZERS[name].keras}")
