"""Python as it is on a system that is not at hand: a `sitecustomize` that takes away
what the system lacks.
"""

import os
import textwrap

# What is loaded first chose its own parts by the real platform, and would load others
# that are not here.
_LOADED = "asyncio, ctypes, multiprocessing, pathlib, platform, selectors, signal, subprocess, sys, sysconfig, tempfile, click, psutil, os"
_SYSTEMS = {
    "darwin": ("resource",),
    "win32": ("resource", "fcntl", "pwd", "grp", "termios", "pty", "tty"),
}
_GONE = {
    "darwin": ("sched_getaffinity", "sched_setaffinity"),
    "win32": (
        "sched_getaffinity",
        "sched_setaffinity",
        "killpg",
        "getpgrp",
        "fork",
        "register_at_fork",
        "setsid",
        "geteuid",
        "getuid",
    ),
}


def pretend(folder, system, environ):
    """`environ` for processes that believe to run on `system`: no resource, no SIGHUP,
    no affinity, no /proc and no /sys.
    """
    (folder / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
        import {_LOADED}
        sysconfig.get_config_vars()
        for name in {_SYSTEMS[system]!r}:
            sys.modules[name] = None
        for name in {_GONE[system]!r}:
            if hasattr(os, name):
                delattr(os, name)
        del signal.SIGHUP
        opened = pathlib.Path.open
        def hidden(self, *given, **named):
            if str(self).startswith(("/proc", "/sys")):
                raise FileNotFoundError(2, "no such file", str(self))
            return opened(self, *given, **named)
        pathlib.Path.open = hidden
        pathlib.Path.read_text = lambda self, encoding=None, errors=None: self.open(encoding=encoding, errors=errors).read()
        platform.system = lambda: {system!r}.capitalize()
        sys.platform = {system!r}
        """)
    )
    return {
        **environ,
        "PYTHONPATH": os.pathsep.join([str(folder), environ.get("PYTHONPATH", "")]),
    }
