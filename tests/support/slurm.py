"""A throw-away Slurm of two nodes on this host: installed binaries, started without systemd.

It needs root, since `munged` and the jobs have users of their own.
"""

import os
import platform
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from servers import READY_SECONDS, find, free_port

NODES = ("n1", "n2")
PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "squeue",
    "scancel",
    "scontrol",
    "sinfo",
)
_CONF = """\
ClusterName=lrsearch
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=0
KillWait=10
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=1,bf_interval=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=100\n"


class Slurm:
    """A context; `run` calls Slurm's commands."""

    def __init__(self, folder):
        self.folder, self._processes = Path(folder), []
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}

    @staticmethod
    def missing():
        absent = [each for each in PROGRAMS if not find(each)]
        if absent:
            return f"Slurm is not installed: no {', '.join(absent)}"
        return "" if os.geteuid() == 0 else "Slurm's daemons need root"

    def __enter__(self):
        self._configure()
        munge = self.folder / "munge"
        self._start(
            "munged", "--foreground", "--force", f"--key-file={munge}/key",
            f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--log-file={munge}/log",
            f"--seed-file={munge}/seed", user="munge",
        )  # fmt: skip
        _wait_until((munge / "socket").exists)
        self._start("slurmctld", "-D")
        for name in NODES:
            self._start("slurmd", "-D", "-N", name)
        _wait_until(
            lambda: (
                self.run("sinfo", "-h", "-t", "idle", "-o", "%D", check=False) == "2"
            )
        )
        return self

    def __exit__(self, *_error):
        self.run("scancel", "--user=root", check=False)
        _wait_until(lambda: not self.run("squeue", "-h", check=False))
        for each in reversed(self._processes):
            each.terminate()
            each.wait(30)

    def run(self, *command, check=True, text=None):
        """What one of Slurm's commands prints."""
        done = subprocess.run(
            command,
            input=text,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def tasks(self, job):
        """The array's tasks that have not ended: {number: (state, node)}."""
        lines = self.run(
            "squeue", "-h", "-r", "-j", job, "-o", "%K %T %N", check=False
        ).splitlines()
        parts = [(*line.split(), "") for line in lines]
        return {int(each[0]): (each[1], each[2]) for each in parts}

    def _configure(self):
        host = platform.node().partition(".")[0]
        text = _CONF.format(host=host, port=free_port(), folder=self.folder)
        text += "".join(
            _NODE.format(name=name, host=host, port=free_port()) for name in NODES
        )
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "state").mkdir()
        (self.folder / "munge").mkdir()
        (self.folder / "munge" / "key").write_bytes(secrets.token_bytes(1024))
        (self.folder / "munge" / "key").chmod(0o600)
        for each in (self.folder / "munge", self.folder / "munge" / "key"):
            shutil.chown(each, "munge", "munge")
        self.folder.chmod(0o755)

    def _start(self, program, *words, user=None):
        with (self.folder / f"{program}.log").open("ab") as log:
            started = subprocess.Popen(
                [str(find(program)), *words],
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=user,
                start_new_session=True,
            )
        self._processes.append(started)


def _wait_until(holds, seconds=READY_SECONDS):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "Slurm does not answer"
        time.sleep(0.2)
