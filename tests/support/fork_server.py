"""Processes of the package that are forked from one which has imported it already, for
tests that start many: a worker of the toy takes 0.2 CPU seconds instead of 1.0.

    with ForkServer("import lrsearch.worker.session") as server:
        process = server.popen(WORKER, stdin=PIPE, stdout=PIPE)

A forked process is what a started one would be: a child of the process that asked (its
parent's number, its exit code, its signals), with the streams, environment and folder
that were given; only its command line is the server's. The server is single-threaded,
so nothing is copied half-done.
"""

import atexit
import contextlib
import ctypes
import faulthandler
import gc
import inspect
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace

WORKER = "from lrsearch.worker.process import main; main()"
# `lrsearch`, its workers forked from a server beside it.
COMMAND = """
import sys
import lrsearch.launch.child
from fork_server import ForkServer
lrsearch.launch.child.subprocess = ForkServer.beside().fork_workers()
sys.argv = ["lrsearch", *{arguments!r}]
from lrsearch.cli.main import main
main()
"""
_CLONE = {"x86_64": 56, "aarch64": 220}  # the number of clone(2)
_CLONE_PARENT = 0x00008000  # the new process is a child of the server's parent
_MESSAGE = 2**20


class ForkServer:
    """A process that forks others on request; it ends with this object, or with this process."""

    def __init__(self, ready):
        """Run the code `ready`, which imports what the forked processes need."""
        self._socket, theirs = _pair()
        command = [sys.executable, "-P", __file__, str(theirs.fileno()), ready]
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        # Threads of a library would not be copied.
        alone = {
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": path,
        }
        alone |= {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=os.environ | alone,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    @classmethod
    def beside(cls):
        """A server that is forked from this process, which must be single-threaded still."""
        made = cls.__new__(cls)
        made._socket, theirs = _pair()
        if not os.fork():
            handle = os.dup2(theirs.fileno(), 3)
            for own in range(3):
                os.dup2(os.open(os.devnull, os.O_RDWR), own)
            os.closerange(4, 256)
            _serve(handle)
            os._exit(0)
        theirs.close()
        return made

    def popen(self, code, **streams):
        """The process that runs `code`; takes what `subprocess.Popen` takes."""
        return _Forked([code], server=self, **streams)

    def lrsearch(self, *arguments, **streams):
        """`lrsearch` with these arguments; takes what `subprocess.Popen` takes."""
        return self.popen(COMMAND.format(arguments=arguments), **streams)

    def run(self, *arguments, timeout=None, **more):
        """As `subprocess.run` of `lrsearch` with these arguments, its output captured as text."""
        streams = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **more,
        }
        with self.lrsearch(*arguments, **streams) as process:
            try:
                said = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, *said)

    def fork(self, request, streams):
        """Fork a process with these three descriptors; returns its number."""
        socket.send_fds(self._socket, [json.dumps(request).encode()], streams)
        pid = int(self._socket.recv(64))
        if pid < 0:  # a signal to -1 would reach every process
            raise OSError("clone(2) with CLONE_PARENT is refused here")
        return pid

    def fork_workers(self):
        """What `lrsearch.launch.child` calls `subprocess`, whose workers are forked from here."""

        def popen(_command, **streams):
            return self.popen(WORKER, **streams)

        return SimpleNamespace(**(vars(subprocess) | {"Popen": popen}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._process.wait(30)


class _Forked(subprocess.Popen):
    """Python's own Popen, but for how the process comes into being."""

    def __init__(self, args, *, server, **more):
        self._server = server
        super().__init__(args, **more)

    def _execute_child(self, *given):
        asked = inspect.signature(super()._execute_child).bind(*given).arguments
        ends = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        request = {
            "code": asked["args"][0],
            "environ": dict(os.environ if asked["env"] is None else asked["env"]),
            "folder": str(asked["cwd"] or Path.cwd()),
            "session": bool(asked["start_new_session"]),
        }
        try:
            streams = [own if end == -1 else end for own, end in enumerate(ends)]
            self.pid = self._server.fork(request, streams)
            self._child_created = True
        finally:
            theirs = {
                asked[end]
                for end, ours in (
                    ("p2cread", "p2cwrite"),
                    ("c2pwrite", "c2pread"),
                    ("errwrite", "errread"),
                )
                if asked[ours] != -1
            }
            for end in theirs:
                os.close(end)


def _pair():
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each in pair:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE)
    return pair


def _serve(handle):
    """Fork a process for each request until the other end is closed."""
    requests = socket.socket(fileno=handle)
    while True:
        data, streams, *_ = socket.recv_fds(requests, _MESSAGE, 3)
        if not data:
            return
        pid = _clone()
        if not pid:
            _become(json.loads(data), streams)
        for each in streams:
            os.close(each)
        requests.send(str(pid).encode())


def _clone():
    """As os.fork(), but the new process is this one's sibling."""
    ctypes.pythonapi.PyOS_BeforeFork()
    number = _CLONE[os.uname().machine]
    pid = ctypes.PyDLL(None).syscall(number, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    after = (
        ctypes.pythonapi.PyOS_AfterFork_Parent
        if pid
        else ctypes.pythonapi.PyOS_AfterFork_Child
    )
    after()
    return pid


def _become(request, streams):
    """Run the code of a request in this new process, and end it."""
    code = 1
    try:
        if request["session"]:
            os.setsid()
        streams = [os.dup(each) for each in streams]
        for own, each in enumerate(streams):
            os.dup2(each, own)
        os.closerange(3, 256)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environ"])
        sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        sys.argv[:] = ["-c"]
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
        for own, name in ((1, "stdout"), (2, "stderr")):
            raw = io.FileIO(own, "w", closefd=False)
            setattr(sys, name, io.TextIOWrapper(raw, write_through=True))
        if os.environ.get("PYTHONFAULTHANDLER"):
            faulthandler.enable()
        exec(compile(request["code"], "<forked>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - as Python ends a process
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            threading._shutdown()
            atexit._run_exitfuncs()
        os._exit(code)


if __name__ == "__main__":
    exec(sys.argv[2])  # what its processes need
    assert len([*Path("/proc/self/task").iterdir()]) == 1, (
        "a thread would not be copied"
    )
    gc.freeze()  # no collection copies its pages in every process
    _serve(int(sys.argv[1]))
