"""Runs `lrsearch.search` and a result's `retest`.

A definition is searched in this very process, a study file by worker processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrsearch.choices import SPACE
from lrsearch.errors import InvalidValue, StudyFileError
from lrsearch.events import Listener
from lrsearch.launch.inline import run_inline
from lrsearch.options import MachineOptions, RetestOptions, SearchOptions, split_options
from lrsearch.values import Json, StudyRecord

if TYPE_CHECKING:
    from lrsearch.definition import StudyDefinition

# Options that need worker processes.
PROCESSES = (
    "devices",
    "workers",
    "threads",
    "per_device",
    "gpus_per_trial",
    "trial_timeout",
)


def read_call(given: Mapping[str, Any]) -> tuple[SearchOptions, MachineOptions]:
    """Read the options of a call by their names, with NumPy's numbers as Python's.

    Raises InvalidValue or UnknownName.
    """
    options = {
        name: _plain(value) for name, value in given.items() if name not in SPACE
    }
    accepted = options.get("accept_change") or ()
    options["accept_change"] = (
        (accepted,) if isinstance(accepted, str) else tuple(accepted)
    )
    return split_options({**options, "overrides": space_overrides(given)})


def space_overrides(given: Mapping[str, Any]) -> dict[str, Json]:
    """Convert the options of the search space to the same JSON as the command line's."""
    space = {
        name: _plain(given[name])
        for name in SPACE
        if given.get(name) not in (None, False)
    }
    if "extra" in space:
        # a tuple is a range, a list a choice, as in a SearchSpace
        space["extra"] = {
            name: {"between" if isinstance(value, tuple) else "choices": _plain(value)}
            for name, value in given["extra"].items()
        }
    return space


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.item() if hasattr(value, "item") else value


def search_study(
    definition: StudyDefinition | str | Path,
    search: SearchOptions,
    machine: MachineOptions,
    listen: Listener,
) -> StudyRecord:
    """Search a definition here, or a study file by worker processes.

    Returns the study afterwards.
    """
    if isinstance(definition, str | Path):
        from lrsearch.launch.run import run_study

        return run_study(definition, search, machine, listen=listen)
    _refuse_processes(
        machine, "Write the definition to a study file and give its path."
    )
    if search.name is None and search.accept_change:
        fix = "Give the name of the study that goes on."
        allowed = (
            "given with accept_change: without it a changed definition is another study"
        )
        raise InvalidValue("name", got=None, allowed=allowed, fix=fix)
    return run_inline(definition, search, machine, listen=listen)


def retest_study(
    study: StudyRecord,
    wanted: RetestOptions,
    search: SearchOptions,
    machine: MachineOptions,
    *,
    definition: StudyDefinition | None,
    listen: Listener,
) -> None:
    """Add retests to a study and train them, with the options of its search.

    Retests of a definition train here, those of a study file in worker processes.
    """
    again = SearchOptions(
        name=study.name,
        overrides=study.plan.overrides,
        accept_change=search.accept_change,
        allow_version_drift=search.allow_version_drift,
    )
    if definition is not None:
        _refuse_processes(machine, "")
        run_inline(definition, again, machine, wanted=wanted, listen=listen)
        return
    if study.plan.study_file is None:
        call = f"lrsearch.search(definition, name={study.name!r})"
        fix = f"Search it again with its definition, {call}, and retest that result."
        raise StudyFileError(
            f"study {study.name!r} was defined in a notebook.", fix=fix
        )
    from lrsearch.launch.retesting import retest

    retest(study.name, wanted, again, machine, listen=listen)


def _refuse_processes(machine: MachineOptions, fix: str) -> None:
    for name in PROCESSES:
        value = getattr(machine, name)
        if value is not None:
            allowed = "left out for a definition of this process"
            raise InvalidValue(name, got=value, allowed=allowed, fix=fix)
