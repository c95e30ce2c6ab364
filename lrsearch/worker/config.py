"""The configuration of a worker process: its first line of input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from lrsearch.errors import InvalidValue
from lrsearch.jsonable import from_json, to_json
from lrsearch.machine import host_name
from lrsearch.values import Json

# SQLite may keep a renewal waiting for its lock; three renewals fit into a lease.
LEASE_SECONDS = 60.0
CHECKPOINT_SECONDS = 60.0  # between two checkpoints where nothing else is asked for


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointPolicy:
    """When a checkpoint is due, and how much room all of a study's may take."""

    every_seconds: float | None = CHECKPOINT_SECONDS
    every_epochs: int | None = None
    quota_bytes: int | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not value > 0:
                raise InvalidValue(
                    f"checkpoint {each.name}", got=value, allowed="above 0"
                )

    def due(self, *, epochs: int, seconds: float) -> bool:
        """Whether to write one, `epochs` and `seconds` after the last or the attempt's begin."""
        by_epochs = self.every_epochs is not None and epochs >= self.every_epochs
        by_seconds = self.every_seconds is not None and seconds >= self.every_seconds
        return by_epochs or by_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """All that a worker needs but the study's name, which comes with the command `Work`.

    Plain JSON, but never on a command line.
    """

    storage: str = field(repr=False)  # may contain a password
    study_file: str | None
    checkpoints: str  # root folder
    checkpoint_policy: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    overrides: Mapping[str, Json] = field(default_factory=dict)
    slot: str = "cpu"
    host: str = field(default_factory=host_name)
    threads: int | None = None  # None: TensorFlow's own default
    memory_mib: int | None = None  # a hard limit on the GPU; None lets it grow
    engine: str = "auto"
    # "module:callable" -> StudyLoader, in Keras' place; for tests and drills.
    engine_factory: str | None = None
    lease_seconds: float = LEASE_SECONDS
    times: bool = False  # whether an inspection also times a few steps
    # "idle": leave when there is nothing to train now; "unneeded": when there was
    # nothing for a lease, so that no trial of a dead worker is left behind
    until: str = "done"
    # when the worker must be gone, by its host's clock: seconds since 1970; None: never
    leave_by: float | None = None

    def to_json(self) -> Json:
        return to_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> WorkerConfig:
        return from_json(cls, data)
