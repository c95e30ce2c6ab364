"""`status --wait`: a look at a study that returns at a change, for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from shlex import quote

from lrsearch.values import Json, StudyState

# exit codes: workers train; no worker does, and the study has not ended
RUNNING, IDLE = 5, 6
_POLL_SECONDS = 1.0
_SUMS_UP = ("state", "best", "yours", "ended")  # keys of a status whose change is one


def wait_for_change(
    look: Callable[[], dict[str, Json]], seconds: float
) -> dict[str, Json]:
    """Look until something changes that decides what to do next, or for `seconds`.

    A study that has ended, or that no worker trains, is not waited for. Returns the
    last look.
    """
    until = time.monotonic() + seconds
    first = seen = look()
    while _mark(seen) == _mark(first) and _goes_on(seen):
        left = until - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(_POLL_SECONDS, left))
        seen = look()
    return seen


def _mark(data: dict[str, Json]) -> tuple[Json, ...]:
    retests = bool(data["retests"]["planned"])
    return (*(data[name] for name in _SUMS_UP), retests, bool(data["workers"]))


def _goes_on(data: dict[str, Json]) -> bool:
    return bool(data["workers"]) and not data["ended"]


def exit_code(data: dict[str, Json]) -> int:
    """0: the study has ended. 5: workers train it. 6: none does, and it has not ended."""
    if data["ended"]:
        return 0
    return RUNNING if data["workers"] else IDLE


def next_action(data: dict[str, Json], answer: dict[str, Json]) -> dict[str, Json]:
    """What to do next: the answer's own step where the study has ended, else a command."""
    name = quote(data["study"])
    if data["ended"]:
        return answer
    if data["workers"]:
        text = f"Wait: lrsearch status {name} --json --wait 90"
        return {**answer, "action": "wait", "text": text}
    first = (
        f"lrsearch resume {name} && " if StudyState(data["state"]).is_stopped else ""
    )
    text = f"No worker trains it. Go on: {first}lrsearch attach {name}"
    return {**answer, "action": "attach", "text": text}
