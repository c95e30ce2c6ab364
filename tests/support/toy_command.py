"""`lrsearch` as a command whose workers train the toy, for tests of who runs it and how."""

import os
import sys
from pathlib import Path

SUPPORT = Path(__file__).parent
_PROGRAM = """
from lrsearch.cli.main import main
from lrsearch.options import MachineOptions
MachineOptions.__init__.__kwdefaults__["engine_factory"] = "worker_toy:loader"
main()
"""


def install(folder):
    """Write the command into `folder`; returns the variables under which it is found and works."""
    (folder / "toys.py").write_text(_PROGRAM)
    (folder / "lrsearch").write_text(
        f'#!/bin/sh\nexec {sys.executable} -P {folder}/toys.py "$@"\n'
    )
    (folder / "lrsearch").chmod(0o755)
    clean = {
        name: each
        for name, each in os.environ.items()
        if not name.startswith("LRSEARCH")
    }
    return clean | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), *filter(None, sys.path)]),
        "CUDA_VISIBLE_DEVICES": "-1",
    }
