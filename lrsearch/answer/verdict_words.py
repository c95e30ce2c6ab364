"""The verdict in words: the first sentences of every view of an answer."""

from __future__ import annotations

from collections.abc import Iterator

from lrsearch.answer.gains import WIDER, Decision, Gain
from lrsearch.answer.verdict import StudyVerdict
from lrsearch.answer.words import count_text
from lrsearch.values import TrialState


def verdict_text(verdict: StudyVerdict) -> str:
    """What the verdict is, by how much, and which noise was counted: two to six sentences."""
    return " ".join(_sentences(verdict))


def _sentences(verdict: StudyVerdict) -> Iterator[str]:
    gain = verdict.gain
    if verdict.decision is None or gain is None:
        yield _without_gain(verdict)
        return
    if verdict.contradicted:
        yield _contradiction(verdict)
    yield _decision(verdict, gain)
    yield _counted(verdict, gain)
    if gain.heavy_tailed:
        yield (
            f"A few rows carry nearly all of the loss, and a split of {gain.rows:,} may lack such "
            f"rows: for that the interval is {WIDER:.0f} times as wide, and nothing is called "
            "better."
        )
    yield from _heavy_tails(verdict)
    if verdict.test is not None:
        trainings = count_text(verdict.looks, "training")
        yield f"The test split decides; {trainings} looked at it."


def _heavy_tails(verdict: StudyVerdict) -> Iterator[str]:
    """The settings of which one split cannot tell what one more training gives."""
    trials = [
        str(trial) for trial, each in verdict.expected.items() if each.heavy_tailed
    ]
    if trials:
        yield (
            f"Another split may hold more of the rows that carry the loss of "
            f"trial{'s' * (len(trials) > 1)} {', '.join(trials)}: what one more training gives "
            f"cannot be known well, and its interval is {WIDER:.0f} times as wide."
        )


def _without_gain(verdict: StudyVerdict) -> str:
    yours = verdict.yours
    if verdict.decision is None:
        ends = (TrialState.DIVERGED, TrialState.FAILED)
        state = (
            f": yours {yours.state}"
            if yours is not None and yours.state in ends
            else ""
        )
        return f"No verdict{state or ': there is nothing to compare'}."
    if not verdict.retested:
        return f"Undecided: no fresh seeds compare the best with yours{_single_yours(verdict)}."
    return "Undecided: how far trainings on fresh seeds differ is not known."


def _single_yours(verdict: StudyVerdict) -> str:
    """What is known of yours where the few retests of a budget went to other settings."""
    yours, best = verdict.yours, verdict.challenger
    if (
        yours is None
        or best is None
        or yours.value is None
        or yours.seeds
        or not best.seeds
    ):
        return " yet"
    return (
        f". One training of yours gave {yours.value:.3g}, and {_challenger(verdict)} gave "
        f"{best.value:.3g} on {count_text(best.seeds, 'fresh seed')}"
    )


def _contradiction(verdict: StudyVerdict) -> str:
    test, validation, mine = verdict.test, verdict.validation, _challenger(verdict)
    assert test is not None
    assert validation is not None
    return (
        f"The test split contradicts the validation: there {mine} is {_apart(test)} than yours, "
        f"and on the validation it was {_apart(validation)}."
    )


def _apart(gain: Gain) -> str:
    """`0.036 worse`: as measured, before anything is taken out."""
    return f"{abs(gain.measured):.3g} {'better' if gain.measured > 0 else 'worse'}"


def _decision(verdict: StudyVerdict, gain: Gain) -> str:
    margin = f"{verdict.margin:.3g} ({verdict.margin_text})"
    match verdict.decision:
        case Decision.BETTER:
            return f"Better than yours: {_challenger(verdict)} gains {gain_text(gain)} on new data."
        case Decision.AS_GOOD if gain.interval[1] < 0:
            low, high = gain.interval
            return (
                f"Yours is better: {_challenger(verdict)} loses {-gain.value:.3g} ({-high:.3g} to "
                f"{-low:.3g}) on new data."
            )
        case Decision.AS_GOOD:
            return (
                f"Yours is as good: {_challenger(verdict)} gains at most {gain.interval[1]:.3g} on "
                f"new data, and {margin} counts as equal."
            )
    change = f"{_challenger(verdict)} {_change_text(gain)}"
    return f"Undecided: {change} on new data; {margin} counts as equal."


def _change_text(gain: Gain) -> str:
    """`gains 0.012 (-0.004 to 0.03)`, or `loses 0.004 (from a loss of 0.03 to a gain of 0.02)`."""
    low, high = gain.interval
    if gain.value >= 0 or not low < 0 < high:
        return f"gains {gain_text(gain)}"
    return (
        f"loses {-gain.value:.3g} (from a loss of {-low:.3g} to a gain of {high:.3g})"
    )


def gain_text(gain: Gain) -> str:
    """`0.012 (0.004 to 0.02)`: the honest gain and its 95 % interval."""
    low, high = gain.interval
    return f"{gain.value:.3g} ({low:.3g} to {high:.3g})"


def _challenger(verdict: StudyVerdict) -> str:
    return f"trial {verdict.challenger.trial}" if verdict.challenger else "the best"


def _counted(verdict: StudyVerdict, gain: Gain) -> str:
    """`Counted: seeds (3 and 3), 80 rows, the choice among 40 settings.`"""
    both = (verdict.challenger, verdict.yours)
    seeds = " and ".join(str(each.seeds) for each in both if each)
    choice = f"the choice among {count_text(verdict.chosen_among, 'setting')}"
    if gain.folds and not gain.rows:
        each = f"{count_text(gain.folds, 'fold')} with seeds of their own ({seeds} trainings)"
        return f"Counted: {each}, {choice}."
    if gain.rows:
        split = "test" if verdict.test else "validation"
        kept = gain.kept or gain.rows
        sample = "" if kept == gain.rows else f" (by a fixed sample of {kept:,})"
        rows = f"{count_text(gain.rows, f'{split} row')}{sample}, "
        return f"Counted: seeds ({seeds}), {rows}{choice}."
    why = f" ({verdict.no_rows})" if verdict.no_rows else ""
    return f"Counted: seeds alone ({seeds}) and {choice}; not which rows the split holds{why}."
