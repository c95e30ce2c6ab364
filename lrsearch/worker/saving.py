"""An attempt's checkpoints: when to write one, and from which one to go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrsearch.errors import StorageUnavailable
from lrsearch.values import Progress, Snapshot, TrialRecord
from lrsearch.worker.checkpoints import CheckpointStore, NoRoom
from lrsearch.worker.heartbeat import Heartbeat
from lrsearch.worker.stopping import StopRequest

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


@dataclass(frozen=True, slots=True)
class _Saved:
    """An attempt's newest checkpoint."""

    place: tuple[int, int]  # epochs done, and batches of the next
    at: float  # monotonic


class CheckpointSaver:
    """The checkpoints of all of a worker's attempts; `say_once` sends a note, once a subject."""

    def __init__(
        self,
        ledger: Ledger,
        store: CheckpointStore,
        heartbeat: Heartbeat,
        stop: StopRequest,
        *,
        say_once: Callable[[str, str], None],
    ) -> None:
        self._ledger = ledger
        self.store = store
        self._heartbeat = heartbeat
        self._stop = stop
        self._say_once = say_once
        self._saved: dict[int, _Saved] = {}  # by trial id

    def begin(self, trial: TrialRecord) -> tuple[Snapshot | None, tuple[str, ...]]:
        """Read the newest checkpoint of a trial's earlier attempts; returns the unreadable, too."""
        manifest = self._ledger.checkpoints(trial.id) if trial.attempt else ()
        snapshot, troubles = self.store.newest(manifest)
        place = snapshot.place if snapshot else (0, 0)
        self._saved[trial.id] = _Saved(place, time.monotonic())
        return snapshot, troubles

    def save(self, progress: Progress, take: Callable[[], Snapshot]) -> None:
        """Write a checkpoint where one is due, or where the attempt is about to be interrupted."""
        if not self._is_due(progress):
            return
        # Also where the write fails: a full disk is not tried at every step.
        self._saved[progress.trial_id] = _Saved(progress.place, time.monotonic())
        try:
            written = self.store.write(progress.trial_id, progress.attempt, take())
        except NoRoom as error:
            self._say_once("checkpoint", str(error))
            return
        try:
            entered = self._ledger.add_checkpoint(progress.trial_id, written)
        except StorageUnavailable:
            # the checkpoint before stays the newest in the manifest
            self.store.discard(written)
            return
        if entered:
            self.store.trim(progress.trial_id, progress.attempt)
        else:
            self.store.discard(written)
            self._heartbeat.lose(progress.trial_id, progress.attempt)

    def end(self, trial_id: int, *, ended: bool) -> None:
        """Forget an attempt; where its trial has ended, remove its checkpoints."""
        self._saved.pop(trial_id, None)
        if ended:
            self._ledger.forget_checkpoints(trial_id)
            self.store.forget(trial_id)

    def _is_due(self, progress: Progress) -> bool:
        saved = self._saved[progress.trial_id]
        if progress.place <= saved.place or progress.epoch >= progress.epochs:
            return False
        epochs, seconds = progress.epoch - saved.place[0], time.monotonic() - saved.at
        return bool(self._stop.reason) or self.store.policy.due(
            epochs=epochs, seconds=seconds
        )
