"""Trials in the ledger, and their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from lrsearch.values.setting import Setting
from lrsearch.values.states import Kind, Origin, TrialState
from lrsearch.values.training import AppliedRates, TrialSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One epoch of an attempt."""

    epoch: int  # 1-based
    step: int  # updates done at its end
    rate: float
    seconds: float  # since the attempt began
    value: float | None  # the objective; the ledger keeps None where it is not finite
    logs: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """A trial in the ledger, for sampling, answer and report.

    Times are seconds since 1970, UTC.
    """

    id: int
    # 0, 1, ... within its kind; a search trial's number is also its Optuna number
    number: int
    kind: Kind
    origin: Origin
    state: TrialState
    setting: Setting | None  # None from reservation until it is sampled
    seed: int | None
    parent: int | None = None  # a retest's search trial, by number
    repeat: int | None = None  # a retest's 0, 1, 2
    value: float | None = None
    last_value: float | None = None
    best_value: float | None = None
    best_epoch: int | None = None
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    attempt: int = 0  # the newest attempt's number; 0 before the first
    lost: int = 0  # attempts that ended with their worker
    repeated_epochs: int = 0  # trained by an earlier attempt, and once more
    engine: str = ""
    reason: str = ""
    traceback_text: str = ""
    notes: tuple[str, ...] = ()
    logs: Mapping[str, float] = field(default_factory=dict)
    rates: AppliedRates | None = None
    started_at: float | None = None
    finished_at: float | None = None
    worker: int | None = None

    @property
    def label(self) -> str:
        """`trial 12`, or `retest 2 of trial 12`: for people; repeats count from 1."""
        if self.is_retest:
            return f"retest {(self.repeat or 0) + 1} of trial {self.parent}"
        return f"trial {self.number}"

    @property
    def short_label(self) -> str:
        """`12`, or `12/2` for a retest: as the command line takes and prints them."""
        return (
            f"{self.parent}/{(self.repeat or 0) + 1}"
            if self.is_retest
            else str(self.number)
        )

    @property
    def setting_key(self) -> str:
        """Equal for equal settings; empty where the trial has none yet."""
        return "" if self.setting is None else self.setting.key

    @property
    def is_search(self) -> bool:
        return self.kind is Kind.SEARCH

    @property
    def is_retest(self) -> bool:
        return self.kind is Kind.RETEST

    @property
    def is_yours(self) -> bool:
        """Whether it trains the user's own compile, unchanged."""
        return self.origin is Origin.YOURS

    @property
    def ended(self) -> bool:
        return self.state.terminal

    @property
    def complete(self) -> bool:
        """Whether it ran to its end."""
        return self.state is TrialState.COMPLETE

    @property
    def diverged(self) -> bool:
        return self.state is TrialState.DIVERGED

    @property
    def has_value(self) -> bool:
        """Whether it ran to its end, and its objective was finite there."""
        return self.complete and self.value is not None

    @property
    def final_value(self) -> float:
        """The value of a trial that `has_value`."""
        assert self.value is not None
        return self.value

    @property
    def peak_rate(self) -> float:
        """The peak learning rate of a trial that has a setting."""
        assert self.setting is not None
        return self.setting.learning_rate

    def first_spec(self, setting: Setting, seed: int, fold: int | None) -> TrialSpec:
        """What an engine needs to train this trial from its beginning; no fold is fold 0."""
        return TrialSpec(
            trial_id=self.id,
            attempt=1,
            label=self.label,
            setting=setting,
            seed=seed,
            number=self.parent if self.is_retest else self.number,
            retest=(self.repeat or 0) + 1 if self.is_retest else None,
            yours=self.is_yours,
            fold=fold or 0,
        )


Trials: TypeAlias = Sequence[TrialRecord]


def count_whole_settings(records: Trials) -> int:
    """How many settings of the search ran to their end, or diverged."""
    ended = (TrialState.COMPLETE, TrialState.DIVERGED)
    return len(
        {each.setting_key for each in records if each.is_search and each.state in ended}
    )


def comparable_records(records: Trials, folds: int | None) -> Trials:
    """The records whose values compare with the search's; with folds its own alone.

    The search trains on fold 0, and retests go round all folds.
    """
    return records if folds is None else [each for each in records if each.is_search]
