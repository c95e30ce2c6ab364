"""What a worker process is told on its first line of input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from lrsearch.machine import host_name
from lrsearch.values import Json
from lrsearch.worker.checkpoints import CheckpointPolicy

LEASE_SECONDS = 60.0  # SQLite may keep a beat waiting for its lock; three beats fit into this


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """Everything but the study's name, which comes with the command to work.

    Plain JSON, but never on a command line.
    """

    storage: str = field(repr=False)  # may hold a password
    study_file: str | None
    checkpoints: str  # root folder
    overrides: Mapping[str, Json] = field(default_factory=dict)
    slot: str = "cpu"
    host: str = field(default_factory=host_name)
    threads: int | None = None  # TensorFlow's own default where None
    memory_mib: int | None = None  # a hard limit on the GPU; None lets it grow
    engine: str = "auto"
    # "module:callable" -> StudyLoader, in Keras' place; for tests and drills
    engine_factory: str | None = None
    lease_seconds: float = LEASE_SECONDS
    checkpoint_seconds: float | None = 60.0
    checkpoint_epochs: int | None = None
    checkpoint_quota_bytes: int | None = None
    times: bool = False  # whether an inspection also times a few steps
    until: str = "done"  # "idle": leave when there is nothing to train now

    @property
    def checkpoint_policy(self) -> CheckpointPolicy:
        return CheckpointPolicy(
            every_seconds=self.checkpoint_seconds,
            every_epochs=self.checkpoint_epochs,
            quota_bytes=self.checkpoint_quota_bytes,
        )

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> WorkerConfig:
        return cls(**data)
