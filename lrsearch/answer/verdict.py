"""The verdict: whether the best setting is better than yours on new data.

*Better*: the 95 % interval of the gain lies above 0, and reaches above the margin. *As
good*: the interval lies below the margin, so that yours is as good as what was found.
*Undecided*: neither. A gain is positive where the challenger, the best setting other
than yours, is better. With a test split, this split decides; the choice never depends
on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lrsearch.answer.alike import not_separable
from lrsearch.answer.gains import (
    Decision,
    Expected,
    Gain,
    expect_singles,
    expect_trainings,
    gain_on_test,
    gain_on_validation,
)
from lrsearch.answer.leaderboard import Contender, Leaderboard
from lrsearch.answer.margin import ONE_PERCENT, Margin
from lrsearch.answer.measured import Measured, find_challenger, measure
from lrsearch.answer.paired_rows import Scores
from lrsearch.answer.ranking import nothing_to_compare
from lrsearch.answer.selection import choose_anew
from lrsearch.values import NO_ROW_SCORES, Direction, Json, Trials


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyVerdict:
    """Whether the challenger is better than yours. `decision` is None where nothing compares."""

    decision: Decision | None
    margin: float  # in the objective's unit
    margin_text: str
    challenger: Contender | None = None
    yours: Contender | None = None
    validation: Gain | None = None
    test: Gain | None = None
    looks: int = 0  # trainings that the test split was looked at with
    contradicted: bool = False  # the test split says the opposite of the validation
    chosen_among: int = 0  # settings that might have been chosen as well
    expected: Mapping[int, Expected] = field(default_factory=dict)  # by trial
    # what the best single training of each optimizer is worth without the luck of the
    # search
    singles: Mapping[str, float] = field(default_factory=dict)
    # retested trials that the best cannot be told from
    not_separable: tuple[int, ...] = ()
    no_rows: str = ""  # why rows are not counted, where a trial says so

    @property
    def retested(self) -> bool:
        """Whether yours and another setting have retests with values."""
        both = (self.challenger, self.yours)
        return all(each is not None and each.seeds > 0 for each in both)

    @property
    def gain(self) -> Gain | None:
        """The gain that decides."""
        return self.test or self.validation

    def to_json(self) -> dict[str, Json]:
        gain = self.gain
        return {
            "verdict": self.decision.value if self.decision else None,
            "trial": self.challenger.trial if self.challenger else None,
            "yours": self.yours.trial if self.yours else None,
            "gain": gain.value if gain else None,
            "interval": list(gain.interval) if gain else None,
            "margin": self.margin,
            "decided_by": ("test" if self.test else "validation") if gain else None,
            "counted": self.counted,
            "rows_not_counted": None if self._rows_or_folds else self.no_rows,
            "chosen_among": self.chosen_among,
            "validation": self.validation.to_json() if self.validation else None,
            "test": self.test.to_json() if self.test else None,
            "test_looks": self.looks,
            "contradicted": self.contradicted,
        }

    @property
    def _rows_or_folds(self) -> bool:
        return self.gain is None or bool(self.gain.rows or self.gain.folds)

    @property
    def counted(self) -> list[str]:
        """The noise that is in the interval."""
        if self.gain is None:
            return []
        others = {"folds": self.gain.folds, "rows": self.gain.rows}
        return ["seeds", *(name for name, number in others.items() if number), "choice"]


def give_verdict(
    leaderboard: Leaderboard,
    records: Trials,
    direction: Direction,
    scores: Scores | None = None,
    *,
    margin: Margin = ONE_PERCENT,
) -> StudyVerdict:
    """The verdict of a study; `scores` are its row scores, where it has some."""
    yours, best = leaderboard.yours, leaderboard.best
    values = [
        each.value
        for each in (yours, best)
        if each is not None and each.value is not None
    ]
    compares = len(values) > 1 and not nothing_to_compare(records)
    measured = (
        measure(leaderboard, records, direction, scores or {}) if compares else None
    )
    begun = StudyVerdict(
        decision=Decision.UNDECIDED if compares else None,
        margin=margin.of(values[0] if values else None),
        margin_text=str(margin),
        challenger=find_challenger(leaderboard),
        yours=yours,
        not_separable=not_separable(leaderboard, direction, measured),
        no_rows=_no_rows(records),
    )
    return (
        begun if measured is None else _judge(measured, leaderboard, direction, begun)
    )


def _no_rows(records: Trials) -> str:
    """Why trials have no row scores, as the first one's note says."""
    notes = (
        note
        for each in records
        for note in each.notes
        if note.startswith(NO_ROW_SCORES)
    )
    return next(notes, "").removeprefix(NO_ROW_SCORES)


def _judge(
    measured: Measured,
    leaderboard: Leaderboard,
    direction: Direction,
    begun: StudyVerdict,
) -> StudyVerdict:
    misses = choose_anew(measured.race)
    validation = gain_on_validation(measured, misses)
    test = gain_on_test(measured, measured.test, misses) if measured.test else None
    contradicted = test is not None and _contradicts(validation, test, begun.margin)
    decision = (test or validation).decide(begun.margin)
    leads = (
        leaderboard.best is not None
        and leaderboard.best.trial == measured.challenger.trial
    )
    # A test split takes a verdict back and makes no choice: yours stays the best where
    # it leads.
    if decision is Decision.BETTER and (contradicted or not leads):
        decision = Decision.UNDECIDED
    return replace(
        begun,
        decision=decision,
        validation=validation,
        test=test,
        looks=measured.test.looks if measured.test else 0,
        contradicted=contradicted,
        chosen_among=len(measured.trials),
        expected=expect_trainings(measured, leaderboard, direction, misses),
        singles=expect_singles(
            measured,
            direction,
            misses,
            _by_optimizer(leaderboard),
            bounds=leaderboard.bounds,
        ),
        not_separable=_with_yours(
            begun.not_separable, measured, validation, leads=leads
        ),
    )


def _with_yours(
    alike: tuple[int, ...], measured: Measured, gain: Gain, *, leads: bool
) -> tuple[int, ...]:
    """The settings not separable from the best; of yours the gain's interval decides."""
    yours = measured.yours.trial
    if not leads:
        return alike
    others = tuple(each for each in alike if each != yours)
    return others if gain.interval[0] > 0 else (*others, yours)


def _by_optimizer(leaderboard: Leaderboard) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for each in leaderboard.ranked:
        if each.setting and not each.is_yours:
            groups.setdefault(each.setting.optimizer, []).append(each.number)
    return groups


def _contradicts(validation: Gain, test: Gain, margin: float) -> bool:
    """Whether the validation's difference counts, and the test split's has the other sign."""
    one, other = validation.measured, test.measured
    return abs(one) > margin and (one > 0) != (other > 0)
