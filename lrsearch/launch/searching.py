"""What `lrsearch.search` is asked, checked and passed on: to this very process, or to worker
processes.

Its options are those of `lrsearch start-study` by name; times are seconds, sizes bytes. Tables say
what each may be, and which need processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrsearch.errors import InvalidValue, StudyFileError, UnknownName
from lrsearch.launch.inline import run_inline
from lrsearch.launch.request import Request
from lrsearch.messages import Listener
from lrsearch.values import Json, StudyRecord

if TYPE_CHECKING:
    from lrsearch.definition import StudyDefinition
    from lrsearch.launch.retesting import RetestWish

ENGINES = ("auto", "vectorized", "graph", "fit")
SPACE = (
    "optimizers",
    "schedules",
    "learning_rate",
    "warmup",
    "final",
    "batch_size",
    "extra",
    "fine_tuning",
)
REQUEST = (
    "trials",
    "trainings",
    "timeout",
    "sampler",
    "pruner",
    "seed",
    "retest",
    "retries",
    "accept_change",
    "allow_version_drift",
)
TRAINING = ("engine", "checkpoints", "checkpoint_every", "checkpoint_quota")
# What only processes can do: one more on a device, one that is ended because it hangs.
PROCESSES = ("devices", "workers", "threads", "per_device", "trial_timeout")
OPTIONS = (*REQUEST, *TRAINING, *PROCESSES, *SPACE)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rule:
    """What a value may be, None aside."""

    holds: Callable[[Any], bool]
    allowed: str


def _whole(low: int) -> _Rule:
    return _Rule(
        holds=lambda value: (
            isinstance(value, int | np.integer)
            and not isinstance(value, bool)
            and bool(value >= low)
        ),
        allowed=f"a whole number of at least {low}",
    )


_SECONDS = _Rule(
    holds=lambda value: (
        isinstance(value, int | float | np.number)
        and not isinstance(value, bool)
        and bool(value > 0)
    ),
    allowed="a number of seconds above 0",
)
_BYTES = _Rule(
    holds=_whole(1).holds, allowed="a whole number of bytes of at least 1, such as 20 * 2**30"
)
RULES: Mapping[str, _Rule] = {
    **{name: _whole(1) for name in ("trials", "trainings", "workers", "threads", "per_device")},
    **{name: _whole(0) for name in ("seed", "retest", "retries")},
    **dict.fromkeys(("timeout", "trial_timeout", "checkpoint_every"), _SECONDS),
    "checkpoint_quota": _BYTES,
    "allow_version_drift": _Rule(
        holds=lambda value: isinstance(value, bool), allowed="True or False"
    ),
}


def search_study(
    definition: StudyDefinition | str | Path,
    *,
    name: str | None,
    storage: str | None,
    options: Mapping[str, Any],
    listen: Listener,
) -> StudyRecord:
    """Search a definition here, or a study file by worker processes; returns the study as it stands
    then.
    """
    given = checked(options)
    space = space_overrides(given)
    if isinstance(definition, str | Path):
        from lrsearch.launch.run import run_study

        rest = {each: value for each, value in given.items() if each not in SPACE}
        return run_study(
            definition, name=name, storage=storage, overrides=space, listen=listen, **rest
        )
    _refuse_processes(given, "Write the definition to a study file and give its path.")
    if name is None and given.get("accept_change"):
        fix = "Give the name of the study that goes on."
        raise InvalidValue(
            "name",
            got=None,
            allowed="given with accept_change: without it a changed definition is another study",
            fix=fix,
        )
    request = Request(**_some(given, REQUEST), overrides=space)
    return run_inline(
        definition,
        name=name,
        storage=storage,
        request=request,
        listen=listen,
        **_some(given, TRAINING),
    )


def retest_study(
    study: StudyRecord,
    wish: RetestWish,
    *,
    definition: StudyDefinition | None,
    storage: str | None,
    options: Mapping[str, Any],
    listen: Listener,
) -> None:
    """Add retests to a study and train them: of a definition here, of a study file by worker
    processes.
    """
    given = checked(options)
    if definition is None and study.plan.study_file is None:
        fix = f"Search it again with its definition, lrsearch.search(definition, name={study.name!r}), and retest that result."
        raise StudyFileError(f"study {study.name!r} was defined in a notebook. {fix}")
    if definition is None:
        from lrsearch.launch.retesting import retest

        rest = {
            each: given[each]
            for each in (*TRAINING, *PROCESSES, "accept_change", "allow_version_drift")
            if each in given
        }
        retest(study.name, wish, storage=storage, listen=listen, **rest)
        return
    _refuse_processes(given, "")
    request = Request(
        **_some(given, ("accept_change", "allow_version_drift")), overrides=study.plan.overrides
    )
    run_inline(
        definition,
        name=study.name,
        storage=storage,
        request=request,
        wish=wish,
        listen=listen,
        **_some(given, TRAINING),
    )


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of the options. Raises InvalidValue or UnknownName in the names of the call."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        rule = RULES.get(name)
        if rule is not None and not rule.holds(value):
            raise InvalidValue(name, got=value, allowed=rule.allowed)
    if given.get("engine", "auto") not in ENGINES:
        raise UnknownName("engine", got=str(given["engine"]), known=ENGINES)
    if "accept_change" in given:
        names = given["accept_change"]
        given["accept_change"] = (names,) if isinstance(names, str) else tuple(names)
    return given


def space_overrides(given: Mapping[str, Any]) -> dict[str, Json]:
    """The options of the search space as JSON, as the command line gives them."""
    space = {name: _plain(given[name]) for name in SPACE if given.get(name) not in (None, False)}
    if "extra" in space:
        space["extra"] = {name: _extra(value) for name, value in given["extra"].items()}
    return space


def _extra(value: Any) -> Json:
    """A tuple is a range, a list a choice, as in a SearchSpace."""
    return {"between" if isinstance(value, tuple) else "choices": _plain(value)}


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.item() if hasattr(value, "item") else value


def _refuse_processes(given: Mapping[str, Any], fix: str) -> None:
    for name in PROCESSES:
        if name in given:
            raise InvalidValue(
                name, got=given[name], allowed="left out for a definition of this process", fix=fix
            )


def _some(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}
