"""Where runs are sent: `tensorboard=DIR`, `mlflow=URI`, `wandb=PROJECT`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.trackers.runs import Tracker

# The library that each tracker needs, which is also the name of the extra and of our
# module.
TRACKERS: Final[Mapping[str, str]] = {
    "tensorboard": "a folder",
    "mlflow": "a URI, such as sqlite:///mlflow.db",
    "wandb": "a project",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A tracker, and where in it."""

    kind: str
    where: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place of `KIND=WHERE`.

        Raises InvalidValue, and EnvironmentProblem where its library is not installed.
        """
        kind, _, where = text.partition("=")
        if kind not in TRACKERS or not where:
            allowed = ", ".join(f"{name}={what}" for name, what in TRACKERS.items())
            raise InvalidValue("a tracker", got=text, allowed=f"one of {allowed}")
        if find_spec(kind) is None:
            fix = f"Install it: pip install 'lrsearch[{kind}]'"
            raise EnvironmentProblem(f"{kind} is not installed.", fix=fix)
        return cls(kind=kind, where=where)

    def __str__(self) -> str:
        return f"{self.kind}={self.where}"

    def open(self) -> Tracker:
        """Load the tracker's library; only its `begin` writes, or asks a server."""
        tracker: Tracker = import_module(f"lrsearch.trackers._{self.kind}").open(
            self.where
        )
        return tracker
