"""What would settle an undecided verdict: more seeds, or how many rows.

A verdict is likely (in 80 of 100 cases) once the standard error of the gain is its
distance from what it must exclude, by 2.8: 1.96 for the interval and 0.84 for the
power.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from lrsearch.answer.gains import LEAST_CARRYING, Decision, Gain
from lrsearch.answer.next_steps import Ways
from lrsearch.answer.verdict import StudyVerdict
from lrsearch.values import Json

ERRORS_APART = 2.8
MOST_SEEDS = 30  # of each setting that are worth naming
MOST_ROWS = 10_000_000  # of a split that are worth naming
MOST_TIMES = 30  # the rows of folds that are worth naming
FIRST_SEEDS = 3
DIGITS = 2  # of a number of rows: it is an estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """What to do next. `seeds` are retests of each setting in all, `rows` those of a split."""

    action: str  # take, keep, retest, rows, wait or look
    text: str
    seeds: int | None = None
    rows: int | None = None

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def next_step(
    verdict: StudyVerdict, *, study: str, open_retests: int, over: bool, ways: Ways
) -> NextStep:
    """What this verdict leads to; `over` says that the search has ended."""
    match verdict.decision:
        case Decision.BETTER:
            return NextStep(
                action="take", text=f"Take it: {ways.say('export', study)}."
            )
        case Decision.AS_GOOD:
            return NextStep(action="keep", text="Keep yours.")
        case None:
            return NextStep(action="look", text=f"See {ways.say('trials', study)}.")
    if open_retests:
        return _wait("Wait: retests are still to be done.", study, ways)
    if verdict.gain is not None:
        return _settle(verdict, verdict.gain, study, ways)
    return _first_retests(verdict, study, ways, over=over)


def _wait(why: str, study: str, ways: Ways) -> NextStep:
    text = f"{why} Where no worker trains, {ways.say('attach', study)} goes on."
    return NextStep(action="wait", text=text)


def _first_retests(
    verdict: StudyVerdict, study: str, ways: Ways, *, over: bool
) -> NextStep:
    both = (verdict.challenger, verdict.yours)
    if verdict.retested and any(
        each.retest.copies for each in both if each and each.retest
    ):
        text = "More seeds show nothing: let the seed reach the start values and the data's order."
        return NextStep(action="look", text=text)
    if not over:
        return _wait("Wait: the retests come when the search is over.", study, ways)
    text = f"{ways.say('retest', study, seeds=FIRST_SEEDS)} tells more."
    return NextStep(action="retest", text=text, seeds=FIRST_SEEDS)


def _settle(verdict: StudyVerdict, gain: Gain, study: str, ways: Ways) -> NextStep:
    seeds, rows = needed(gain, verdict.margin, have=_fewest_seeds(verdict))
    split = "test" if verdict.test else "validation"
    if rows is None and seeds is not None:
        # every fold as often
        seeds = -(-seeds // (gain.folds or 1)) * (gain.folds or 1)
        command = ways.say("retest", study, seeds=seeds)
        text = f"{seeds} seeds of each would probably settle it: {command}."
        return NextStep(action="retest", text=text, seeds=seeds)
    if rows is not None:
        text = (
            f"A {split} split of {gain.rows:,} rows cannot settle it, however many seeds: about "
            f"{rows:,} rows could, with {seeds} seeds of each."
        )
        return NextStep(action="rows", text=text, seeds=seeds, rows=rows)
    if (
        gain is verdict.validation
        and gain.folds
        and (times := _rows_times(gain, verdict.margin))
    ):
        text = (
            "No number of seeds on these folds would probably settle it: about "
            f"{times} times the rows could."
        )
        return NextStep(action="rows", text=text)
    text = f"Nothing within reason settles it, {MOST_SEEDS} seeds of each included: take either."
    return NextStep(action="keep", text=text)


def _fewest_seeds(verdict: StudyVerdict) -> int:
    both = (verdict.challenger, verdict.yours)
    return min(len(each.retest.independent) for each in both if each and each.retest)


def needed(gain: Gain, margin: float, *, have: int) -> tuple[int | None, int | None]:
    """Seeds of each setting, and rows of the split, that would probably settle it.

    The rows are None where those that are there suffice. Both are None where nothing
    within reason would.
    """
    if gain.heavy_tailed:
        return _light_tailed(gain, margin, have=have)
    away = max(gain.value, margin - gain.value)
    room = (away / ERRORS_APART) ** 2
    if away <= 0 or not math.isfinite(room):
        return None, None
    seeds = _seeds(gain.seeds_variance, room - gain.rows_variance)
    if seeds is not None and seeds <= MOST_SEEDS:
        return max(seeds, have + 1), None
    seeds = _seeds(gain.seeds_variance, room / 2)
    if not gain.rows or seeds is None or seeds > MOST_SEEDS:
        return None, None
    rows = _rounded(math.ceil(gain.rows * gain.rows_variance / (room / 2)))
    return (max(seeds, have), rows) if gain.rows < rows <= MOST_ROWS else (None, None)


def _rows_times(gain: Gain, margin: float) -> int | None:
    """How many times the rows would probably settle it, all noise taken to be theirs."""
    away = max(gain.value, margin - gain.value)
    variance = gain.seeds_variance / (gain.folds or 1) + gain.rows_variance
    times = math.ceil(variance * (ERRORS_APART / away) ** 2) if away > 0 else 0
    return times if 1 < times <= MOST_TIMES else None


def _light_tailed(
    gain: Gain, margin: float, *, have: int
) -> tuple[int | None, int | None]:
    """The same where a few rows carry the noise: rows of which twice the least would."""
    assert gain.rows is not None
    assert gain.carrying is not None
    seeds, rows = needed(replace(gain, carrying=None), margin, have=have)
    least = _rounded(math.ceil(gain.rows * 2 * LEAST_CARRYING / gain.carrying))
    return (seeds, max(least, rows or 0)) if seeds is not None else (None, None)


def _seeds(variance: float, room: float) -> int | None:
    return math.ceil(variance / room) if room > 0 else None


def _rounded(number: int) -> int:
    """`number` with two digits, rounded up."""
    step: int = 10 ** max(0, len(str(number)) - DIGITS)
    return -(-number // step) * step
