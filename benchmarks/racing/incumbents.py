"""What a tool would have answered at each moment of its search; knows no tool and no Keras."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Clock:
    """Since the first training began: wall seconds; since the process began: CPU seconds."""

    began: float | None = None  # seconds since 1970

    def begin(self) -> None:
        self.began = self.began or time.time()

    def seconds(self) -> float:
        return time.time() - self.began if self.began else 0.0

    def cpu(self) -> float:
        return time.process_time()


@dataclass(kw_only=True)
class Incumbents:
    """The tool's own best by the validation value that it sees, each time it changes."""

    found: list[dict[str, Any]] = field(default_factory=list)

    def note(
        self,
        pick: Mapping[str, Any],
        value: float,
        *,
        trained: int,
        epochs: int,
        seconds: float,
        cpu: float,
    ) -> None:
        """`trained`: epochs of the run that had this value; `epochs`: all that were paid by now."""
        last = self.found[-1] if self.found else {}
        if last and (last["pick"], last["value"]) == (pick, value):
            return
        self.found.append(
            {
                "pick": dict(pick),
                "value": value,
                "trained": trained,
                "epochs": epochs,
                "seconds": seconds,
                "cpu": cpu,
            }
        )


@dataclass(kw_only=True)
class Reports:
    """Epoch reports of trials in other processes, as their tool receives them."""

    latest: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by trial
    epochs: int = 0
    began: float | None = None
    used: dict[int, float] = field(default_factory=dict)  # CPU seconds, by process

    def take(self, trial: str, report: Mapping[str, Any]) -> bool:
        """Whether it is a new epoch: a tool may hand in a trial's last report again at its end."""
        known = self.latest.get(trial)
        if known is not None and known["epoch"] == report["epoch"]:
            return False
        self.latest[trial] = report
        self.epochs += 1
        self.began = self.began or report["began"]
        self.used[report["process"]] = report["cpu"]
        return True

    @property
    def best(self) -> Mapping[str, Any]:
        """The report of the trial whose last value is the lowest."""
        return min(self.latest.values(), key=lambda each: float(each["val_loss"]))

    def seconds(self) -> float:
        """From the first training's begin to the last report."""
        return max(each["at"] for each in self.latest.values()) - (self.began or 0.0)

    def cpu(self) -> float:
        return sum(self.used.values())
