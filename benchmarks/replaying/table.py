"""A table of real trainings: settings, whole curves, values, retests; how it is kept, and made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lrsearch.values import Direction, Kind, Origin, Setting, TrialState


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """n settings, each trained once to its end, or to where it diverged.

    curves: (n, epochs) float64, the objective after each epoch, NaN where none was
    reached. values: (n,) float64, the objective after the last epoch, NaN where
    training diverged. retests: (n, seeds) float64, NaN where a setting was not
    retested. steps_per_epoch: updates of an epoch.
    """

    name: str
    direction: Direction
    steps_per_epoch: int
    settings: tuple[Setting, ...]
    curves: np.ndarray
    values: np.ndarray
    retests: np.ndarray

    @property
    def epochs(self) -> int:
        return int(self.curves.shape[1])

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def summary(self) -> str:
        bad = np.isnan(self.values).sum()
        tested = np.isfinite(self.retests).any(axis=1).sum()
        return f"{len(self.values)} settings, {bad} diverged, {tested} retested"

    def save(self, path: Path) -> None:
        """Write the table: float32 and text, compressed."""
        texts = np.array(
            [json.dumps(each.to_json(), sort_keys=True) for each in self.settings]
        )
        facts = {
            "name": self.name,
            "direction": self.direction.value,
            "steps_per_epoch": self.steps_per_epoch,
        }
        np.savez_compressed(
            path,
            facts=np.array(json.dumps(facts)),
            settings=texts,
            curves=self.curves.astype("float32"),
            values=self.values.astype("float32"),
            retests=self.retests.astype("float32"),
        )

    @classmethod
    def load(cls, path: Path) -> Table:
        with np.load(path) as file:
            facts = json.loads(str(file["facts"]))
            return cls(
                name=facts["name"],
                direction=Direction(facts["direction"]),
                steps_per_epoch=facts["steps_per_epoch"],
                settings=tuple(
                    Setting.from_json(json.loads(str(text)))
                    for text in file["settings"]
                ),
                curves=file["curves"].astype("float64"),
                values=file["values"].astype("float64"),
                retests=file["retests"].astype("float64"),
            )


def table_of(url: str, study_name: str) -> Table:
    """The finished study at `url` as a table: its sampled trials, in the order of their numbers."""
    from lrsearch.storage import open_ledger

    ledger = open_ledger(url)
    try:
        study = ledger.study(study_name)
        facts, records = study.plan.facts, ledger.trials(study.id)
        curves = ledger.curves(study.id)
    finally:
        ledger.close()
    ended = (TrialState.COMPLETE, TrialState.DIVERGED)
    search = [
        each
        for each in records
        if each.kind is Kind.SEARCH
        and each.state in ended
        and each.origin is not Origin.YOURS
    ]
    retests: dict[int, list[float]] = {}
    for each in records:
        if each.kind is Kind.RETEST and each.value is not None:
            retests.setdefault(each.parent, []).append(each.value)
    seeds = max(map(len, retests.values()), default=0)
    epochs = facts.epochs
    return Table(
        name=study_name,
        direction=facts.direction,
        steps_per_epoch=next(iter(facts.steps_per_epoch.values())),
        settings=tuple(each.setting for each in search),
        curves=np.array([_curve(curves.get(each.id, ()), epochs) for each in search]),
        values=np.array([_number(each.value) for each in search]),
        retests=np.array(
            [_padded(retests.get(each.number, []), seeds) for each in search]
        ),
    )


def _curve(points, epochs: int) -> list[float]:
    by_epoch = {each.epoch: each.value for each in points}
    return [_number(by_epoch.get(epoch)) for epoch in range(1, epochs + 1)]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _padded(values: list[float], size: int) -> list[float]:
    return [*values, *[float("nan")] * (size - len(values))]
