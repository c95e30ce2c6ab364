"""TensorBoard: a folder for each run, written by TensorBoard's own writer.

Read in tensorboard 2.21: where the module `tensorboard.compat.notf` can be imported,
TensorBoard uses its own stub of TensorFlow's files. TensorFlow takes seconds to load,
and prints.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.modules.setdefault(
    "tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf")
)

from tensorboard.compat.proto.event_pb2 import Event  # noqa: E402
from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: E402
from tensorboard.plugins.text.summary_v2 import text_pb  # noqa: E402
from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: E402

from lrsearch.trackers.runs import Run, Tracker, plain_name  # noqa: E402
from lrsearch.values import Json  # noqa: E402

_DONE = "sent"  # a file in a run's folder: the run is whole
_ANSWER = "answer"


def open(where: str) -> Tracker:  # noqa: A001 - called as a member
    return _TensorBoard(Path(where))


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        self._root = self._folder = folder

    def begin(self, study: str) -> set[str]:
        self._folder = self._root / plain_name(study)
        return {each.parent.name for each in self._folder.glob(f"*/{_DONE}")}

    def send(self, runs: Sequence[Run]) -> None:
        for run in runs:
            folder = self._folder / run.key
            for half in folder.glob("events.*"):  # of a process that was ended
                half.unlink()
            writer = EventFileWriter(str(folder))
            for epoch, numbers in run.points:
                writer.add_event(_event(run.ended, epoch, numbers))
            writer.add_event(_event(run.ended, run.summary_step, run.summary))
            _add_text(writer, "setting", {**run.params, **run.tags})
            writer.close()
            (folder / _DONE).touch()

    def conclude(self, verdict: str, answer: Mapping[str, Json]) -> None:
        folder = self._folder / _ANSWER
        for old in folder.glob("events.*"):
            old.unlink()
        writer = EventFileWriter(str(folder))
        _add_text(
            writer, "verdict", {"verdict": verdict, "next": answer["next"]["text"]}
        )
        writer.close()


def _event(at: float, step: int, numbers: Mapping[str, float]) -> Event:
    values = [
        Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()
    ]
    return Event(wall_time=at, step=step, summary=Summary(value=values))


def _add_text(writer: EventFileWriter, tag: str, data: Mapping[str, Json]) -> None:
    text = "\n".join(f"- {name}: {json.dumps(value)}" for name, value in data.items())
    writer.add_event(Event(summary=text_pb(tag, text)))
