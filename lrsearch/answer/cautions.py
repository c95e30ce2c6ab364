"""What a reader of the answer should beware of: one small function for each rule, in one table.

Each caution is one sentence that says what is the matter and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from lrsearch.answer.evidence import Evidence
from lrsearch.answer.optimizers import ended_by_optimizer
from lrsearch.answer.ranking import (
    BY_VALUE,
    find_yours,
    nothing_to_compare,
    retest_candidates,
)
from lrsearch.answer.searched_rates import range_moves, searched_range
from lrsearch.answer.words import count_text, lost_text, rate_text
from lrsearch.budget import MODEL_RUNS
from lrsearch.space import OPTIMIZERS
from lrsearch.values import (
    StudyRecord,
    TrialRecord,
    TrialState,
    count_whole_settings,
)

if TYPE_CHECKING:
    from lrsearch.answer.leaderboard import Contender

# within this factor of a range's end, a best rate says that it may be too small
NEAR_EDGE = 1.5
FEW = 10  # fewer complete trials are a first impression: most were drawn at random
FAIR = 3  # trials of each of two methods before they are compared

# (general, special): the first can do whatever the second does (Choi et al. 2019)
INCLUDES = (
    ("momentum", "sgd"),
    ("nesterov", "sgd"),
    ("adam", "rmsprop"),
    ("adam", "momentum"),
    ("nadam", "rmsprop"),
    ("nadam", "nesterov"),
    ("adamw", "adam"),
)


Rule: TypeAlias = Callable[[Evidence], Iterator[str]]


def find_cautions(evidence: Evidence) -> tuple[str, ...]:
    """Every caution that applies, the gravest first."""
    return tuple(text for rule in RULES for text in rule(evidence))


def _nothing_ended_well(evidence: Evidence) -> Iterator[str]:
    ended = [each.state for each in evidence.search if each.ended]
    trials = evidence.way("trials")
    if TrialState.COMPLETE in ended:
        if len(ended) > 1 and nothing_to_compare(evidence.records):
            yield (
                f"No searched trial ran well: yours has nothing to be compared with. See {trials}."
            )
    elif set(ended) == {TrialState.DIVERGED}:
        yield (
            f"Every trial diverged ({len(ended)}): search lower rates (learning_rate), and "
            "check the scale of the data."
        )
    elif ended:
        yield f"No trial ran to its end ({len(ended)} ended): see {trials}."


def _failures(evidence: Evidence) -> Iterator[str]:
    failed = [
        each.number for each in evidence.search if each.state is TrialState.FAILED
    ]
    if failed:
        yield (
            f"{count_text(len(failed), 'trial')} failed: {evidence.way('show', trial=failed[0])} "
            "tells why."
        )


def _undefined(evidence: Evidence) -> Iterator[str]:
    without = [
        each.number for each in evidence.search if each.complete and not each.has_value
    ]
    if without:
        objective = evidence.study.facts.objective
        where = evidence.way("show", trial=without[0])
        yield (
            f"{count_text(len(without), 'trial')} ended without a value, since {objective} was "
            f"not finite: {where}."
        )


def _copies(evidence: Evidence) -> Iterator[str]:
    retested = evidence.leaderboard.retested
    trials = [
        str(each.trial) for each in retested if each.retest and each.retest.copies
    ]
    if trials:
        yield (
            "Every seed gave the very same training in the retests of "
            f"trial{'s' * (len(trials) > 1)} {', '.join(trials)}: how far a new training may "
            "differ is not known."
        )


def _yours(evidence: Evidence) -> Iterator[str]:
    record, best, yours = find_yours(evidence.records), evidence.best, evidence.yours
    if record is not None and record.state in {TrialState.DIVERGED, TrialState.FAILED}:
        yield f"Yours {record.state}: there is no value of your own compile to compare with."
    if record is not None and record.complete and not record.has_value:
        yield "Yours ended without a value: there is none of your own compile to compare with."
    if (
        not best
        or not yours
        or yours.value is None
        or nothing_to_compare(evidence.records)
    ):
        return
    if best.trial != yours.trial:
        return
    if evidence.goes_on:
        yield "Nothing has beaten yours yet."
    elif all(each.seeds for each in evidence.leaderboard.retested):
        yield "Nothing beat yours: keep your compile, or give the search more trials."
    else:
        yield "Yours is the best of what ran well on fresh seeds."


def _not_retested(evidence: Evidence) -> Iterator[str]:
    """What of the answer rests on single trainings, and why."""
    if not evidence.best:
        return
    plan, open_retests = evidence.study.plan, evidence.leaderboard.open_retests
    if open_retests:
        are = "are" if open_retests > 1 else "is"
        yield f"{count_text(open_retests, 'retest')} {are} still to be done: the answer may change."
    retested = {each.trial for each in evidence.leaderboard.retested}
    if not retested:
        how = "" if plan.retest_seeds else f": {evidence.way('retest', seeds=3)}"
        if plan.retest_seeds and evidence.goes_on:
            how = " when the search has ended"
        yield (
            "Values are of single trainings, and the best of many is flattered by luck: "
            f"retests tell how much{how}."
        )
    elif not evidence.best.seeds:
        yield "No retest gave a value: the best is of a single training, flattered by luck."
    if retested and not open_retests:
        yield from _left_out(evidence, retested)


def _left_out(evidence: Evidence, retested: Collection[int]) -> Iterator[str]:
    """The best values that were not retested: newer than the retests, or left out."""
    top, records = evidence.study.plan.retest_top, evidence.records
    yours = evidence.yours.trial if evidence.yours else None
    wanted = retest_candidates(records, evidence.study.direction, top=top)
    # A model may have given the place of a third value to another setting.
    certain = BY_VALUE if count_whole_settings(records) >= MODEL_RUNS else top
    values = [each for each in wanted if each != yours][:certain]
    # by id: the numbers of retests are a count of their own
    last = max(each.id for each in records if each.is_retest)
    since = {each.number for each in records if each.is_search and each.id > last}
    missing = [each for each in wanted if each not in retested]
    newer = [each for each in missing if each in since]
    older = [each for each in missing if each not in since and each in values]
    if newer:
        are = "are" if len(newer) > 1 else "is"
        yield (
            f"Since the retests {_name_trials(newer)} {are} among the best and not retested yet: "
            "the answer may change."
        )
    if older:
        yield (
            f"No retest was left for {_name_trials(older)}, among the best of the search: "
            f"{evidence.way('retest', seeds=3)} trains more."
        )


def _name_trials(numbers: Sequence[int]) -> str:
    """`trial 9`, `trials 3, 9`."""
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _lost_retests(evidence: Evidence) -> Iterator[str]:
    for each in evidence.leaderboard.retested:
        if not each.retest or not each.retest.lost:
            continue
        seeds = count_text(each.retest.n + each.retest.lost, "fresh seed")
        where = evidence.way("show", trial=_first_lost(evidence, each.trial))
        yield (
            f"Trial {each.trial} went wrong on {each.retest.lost} of {seeds} "
            f"({lost_text(each.retest)}): {_rank(evidence, each)}. See {where}."
        )


def _rank(evidence: Evidence, lossy: Contender) -> str:
    if evidence.best and lossy.trial == evidence.best.trial:
        return "no other setting did better"
    ranks_last = lossy.seeds or (lossy.retest and lossy.retest.diverged)
    return (
        "it ranks after the others"
        if ranks_last
        else "its value is of a single training"
    )


def _first_lost(evidence: Evidence, trial: int) -> str:
    """The first retest of a trial that has no value, as `lrsearch show` names it."""
    mine = (
        each for each in evidence.records if each.is_retest and each.parent == trial
    )
    lost = (each for each in mine if each.ended and not each.has_value)
    return min(lost, key=lambda each: each.repeat or 0).short_label


def _changed(evidence: Evidence) -> Iterator[str]:
    """The definition changed: trials before a change trained something else than those after."""
    for each in evidence.study.changes:
        yield (
            f"{each.field} changed after {count_text(each.trials, 'trial')} had begun, and the "
            "study went on: values before and after may differ by that."
        )


def _few(evidence: Evidence) -> Iterator[str]:
    complete = sum(each.complete for each in evidence.search)
    if 0 < complete < FEW:
        said = (
            f"Only {count_text(complete, 'trial')} ran to the end: a first impression"
        )
        more = evidence.way("extend", more=20, total=20 + len(evidence.search))
        yield f"{said}." if evidence.goes_on else f"{said}. {more}."


def _edge(evidence: Evidence) -> Iterator[str]:
    """The best rate lies near an end of the range that was searched for its optimizer."""
    best = evidence.best
    if not best or best.is_yours or best.setting.optimizer not in OPTIMIZERS:
        return
    name, rate = best.setting.optimizer, best.setting.learning_rate
    low, high = searched_range(evidence.study, evidence.search, best.setting)
    fix = "widen learning_rate in a new study"
    if (
        evidence.study.plan.sampler == "auto"
        and name not in evidence.study.facts.asked_rates
    ):
        fix = evidence.way("extend", more=20, total=20 + len(evidence.search))
        if evidence.goes_on:
            fix = "the search goes on"
    for edge, near, way in (
        (low, rate < low * NEAR_EDGE, "lower"),
        (high, rate > high / NEAR_EDGE, "higher"),
    ):
        if near and edge < OPTIMIZERS[name].clamp:
            yield (
                f"The best rate {rate_text(rate)} lies at the edge of what was searched for {name} "
                f"({rate_text(low)} to {rate_text(high)}): {way} rates than {rate_text(edge)} may "
                f"do better; {fix}."
            )


def _moved(evidence: Evidence) -> Iterator[str]:
    """The range of rates grew, since the best lay near an end."""
    if evidence.study.plan.sampler != "auto":
        return
    for move in range_moves(evidence.study, evidence.search):
        end, way = ("top", "up") if move.upward else ("bottom", "down")
        yield (
            f"The best rates lay near the {end} of the usual range, so the search went on beyond "
            f"from trial {move.trial} on: {way} to {_times(move.farthest)} an optimizer's "
            "reference rate on a constant schedule."
        )


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor >= 1 else f"1/{1 / factor:,.0f} of"


def _clamped(evidence: Evidence) -> Iterator[str]:
    """Keras kept Adafactor's rate at or below 1/sqrt(update), which cut the best's schedule."""
    best = evidence.best
    if (
        not best
        or best.is_yours
        or math.isinf(OPTIMIZERS[best.setting.optimizer].clamp)
    ):
        return
    name, rate = best.setting.optimizer, best.setting.learning_rate
    begins = int(rate**-2)
    total = evidence.study.facts.total_steps(best.setting.batch_size)
    if begins < total:
        yield (
            f"Keras lets {name} train at no more than 1/sqrt(update), which falls below "
            f"{rate_text(rate)} after {begins} of {total} updates: where the schedule lies above "
            "that, it was not followed."
        )


def _general_loses(evidence: Evidence) -> Iterator[str]:
    """An optimizer did worse than one that it includes."""
    direction = evidence.study.direction
    groups = {
        name: [
            each.final_value for each in sorted(group, key=_number) if each.has_value
        ]
        for name, group in ended_by_optimizer(evidence.records).items()
    }
    for general, special in INCLUDES:
        values, others = groups.get(general, []), groups.get(special, [])
        fair = min(len(values), len(others))
        if fair < FAIR:
            continue
        best, other = direction.best(values[:fair]), direction.best(others[:fair])
        if direction.better(other, best) and abs(best - other) > evidence.tolerance:
            yield (
                f"{general} can do what {special} does, yet the best of its first {fair} trials is "
                f"{best:.4g}, and of {special}'s {other:.4g}: {general} was not searched enough "
                "to be judged."
            )


def _dropped(evidence: Evidence) -> Iterator[str]:
    """Optimizers of the space that a finished search looked at once, or never.

    Where the search left out the optimizer of yours, yours was the one look at it.
    """
    study, best = evidence.study, evidence.best
    ended = sum(each.ended for each in evidence.search)
    if best is None or study.trials is None or ended < study.trials:
        return
    by_optimizer = ended_by_optimizer(evidence.records)
    yours = {
        each.setting.optimizer
        for each in evidence.search
        if each.is_yours and each.setting
    }
    looks = dict.fromkeys(yours, 1) | {
        name: len(group) for name, group in by_optimizer.items()
    }
    others = [
        name for name in _searched_optimizers(study) if name != best.setting.optimizer
    ]
    parts = [
        f"{words} {', '.join(names)}"
        for words, number in (("dropped after one look:", 1), ("never tried:", 0))
        if (names := [name for name in others if looks.get(name, 0) == number])
    ]
    if parts:
        text = "; ".join(parts)
        yield (
            f"{text[0].upper()}{text[1:]}. One rate says little of an optimizer. "
            f"{evidence.way('extend', more=20, total=20 + len(evidence.search))}."
        )


def _searched_optimizers(study: StudyRecord) -> tuple[str, ...]:
    """The optimizers of the study's space; none where studies of old do not say."""
    found = (each for each in study.plan.dimensions if each.get("name") == "optimizer")
    return tuple(next(found, {}).get("choices", ()))


def _number(record: TrialRecord) -> int:
    return record.number


RULES: tuple[Rule, ...] = (
    _nothing_ended_well,
    _changed,
    _undefined,
    _yours,
    _failures,
    _not_retested,
    _lost_retests,
    _copies,
    _few,
    _edge,
    _moved,
    _clamped,
    _general_loses,
    _dropped,
)
