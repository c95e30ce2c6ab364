"""Processes of workers and their progress: start a study, attach to one, or work in this very
process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrsearch.launch.attaching import attach
    from lrsearch.launch.doctor import diagnose
    from lrsearch.launch.estimating import plan_study
    from lrsearch.launch.inline import run_inline
    from lrsearch.launch.parent import remove_checkpoints
    from lrsearch.launch.progress import watching
    from lrsearch.launch.retesting import retest
    from lrsearch.launch.run import run_study

__all__ = [
    "attach",
    "diagnose",
    "plan_study",
    "remove_checkpoints",
    "retest",
    "run_inline",
    "run_study",
    "watching",
]

# Loaded on first use: a parent that only starts a database server needs none of them.
_HOMES = {
    "attach": "attaching",
    "diagnose": "doctor",
    "plan_study": "estimating",
    "remove_checkpoints": "parent",
    "retest": "retesting",
    "run_inline": "inline",
    "run_study": "run",
    "watching": "progress",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lrsearch.launch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"lrsearch.launch.{_HOMES[name]}"), name)
