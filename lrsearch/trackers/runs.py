"""A training as a tracker's run. Knows no tracker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lrsearch.report.flat_rows import flatten
from lrsearch.values import CurvePoint, Json, TrialRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One trial or retest that has ended."""

    study: str
    key: str  # of the training within its study: `12`, `12-retest-2`
    label: str  # for people
    params: Mapping[str, Json]  # the setting, flat, and the seed
    tags: Mapping[str, str]  # state, kind, origin, engine, reason
    # an epoch's number, and what it logged
    points: tuple[tuple[int, Mapping[str, float]], ...]
    summary: Mapping[str, float]  # the value that counts, seconds
    began: float  # seconds since 1970
    ended: float
    failed: bool

    @property
    def summary_step(self) -> int:
        """The epoch that the summary stands at: the last."""
        return self.points[-1][0] if self.points else 0


class Tracker(Protocol):
    """Where runs go."""

    def begin(self, study: str) -> set[str]:
        """Turn to the runs of `study`; returns the keys of those that are there already."""

    def send(self, runs: Sequence[Run]) -> None:
        """Write some runs, each of them whole. Raises whatever the tracker's library raises."""

    def conclude(self, verdict: str, answer: Mapping[str, Json]) -> None:
        """Write the verdict of the study."""


def make_run(study: str, record: TrialRecord, curve: Sequence[CurvePoint]) -> Run:
    """The run of a training that has ended."""
    setting = record.setting.to_json() if record.setting else {}
    ended = record.finished_at or 0.0
    summary = {"seconds": record.seconds, "epochs": float(record.epochs)}
    if record.value is not None:
        summary["value"] = record.value
    return Run(
        study=study,
        key=key_of(record),
        label=record.label,
        params={**flatten(setting), "seed": record.seed},
        tags={
            "state": record.state.value,
            "kind": record.kind.value,
            "origin": record.origin.value,
            "engine": record.engine,
            "reason": record.reason,
        },
        points=tuple((each.epoch, _numbers(each)) for each in curve),
        summary=summary,
        began=record.started_at or ended,
        ended=ended,
        failed=record.state.value == "failed",
    )


def key_of(record: TrialRecord) -> str:
    """A training's key among the study's runs."""
    return record.short_label.replace("/", "-retest-")


def _numbers(point: CurvePoint) -> dict[str, float]:
    return {**point.logs, "learning_rate": point.rate}


def plain_name(study: str) -> str:
    """A study's name as a part of a path or an identifier."""
    return re.sub(r"[^\w.-]+", "-", study)
