"""What a reader of the answer should be warned of: each rule a small function, all of them in one
table.

Knows the records, the table by optimizer and the study's plan. Each caution is one sentence that
says what and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from lrsearch.answer.certainty import more_seeds
from lrsearch.answer.optimizers import OptimizerRow, ended_by_optimizer
from lrsearch.answer.ranking import nothing_to_compare, retest_candidates, yours_of
from lrsearch.answer.ways import SHELL, Ways
from lrsearch.answer.words import counted, lost_text, rate_text
from lrsearch.space import OPTIMIZERS, rate_range
from lrsearch.values import Change, Direction, StudyPlan, TrialRecord, TrialState

if TYPE_CHECKING:
    from lrsearch.answer.standing import Contender, Standing

# a best rate within this factor of the range's end says that the range may be too small
NEAR_EDGE = 1.5
# fewer complete trials than this are a first impression: the sampler drew most of them at random
FEW = 10
FAIR = 3  # trials of each of two methods before they are compared

INCLUDES = (  # (general, special): the first can do whatever the second does (Choi et al. 2019)
    ("momentum", "sgd"),
    ("nesterov", "sgd"),
    ("adam", "rmsprop"),
    ("adam", "momentum"),
    ("nadam", "rmsprop"),
    ("nadam", "nesterov"),
    ("adamw", "adam"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the rules look at."""

    plan: StudyPlan
    records: Sequence[TrialRecord]
    rows: Sequence[OptimizerRow]
    standing: Standing
    not_separable: frozenset[int]
    tolerance: float
    changes: Sequence[Change] = ()  # of the definition, since the study began
    ways: Ways = SHELL

    @property
    def best(self) -> Contender | None:
        return self.standing.best

    @property
    def yours(self) -> Contender | None:
        return self.standing.yours

    def way(self, way: str, **numbers: object) -> str:
        """What to do next, as the reader would type it."""
        return self.ways.say(way, self.plan.name, **numbers)

    @property
    def direction(self) -> Direction:
        return self.plan.facts.direction

    @property
    def search(self) -> list[TrialRecord]:
        """The search trials, yours among them."""
        return [each for each in self.records if each.is_search]


Rule: TypeAlias = Callable[[Seen], Iterator[str]]


def cautions(seen: Seen) -> tuple[str, ...]:
    """Every caution that applies, the gravest first."""
    return tuple(text for rule in RULES for text in rule(seen))


def _nothing_ended_well(seen: Seen) -> Iterator[str]:
    ended = [each.state for each in seen.search if each.ended]
    if TrialState.COMPLETE in ended and len(ended) > 1 and nothing_to_compare(seen.records):
        yield (
            "No searched trial ran well: yours has nothing to be compared with. See "
            f"{seen.way('trials')}."
        )
    if not ended or TrialState.COMPLETE in ended:
        return
    if set(ended) == {TrialState.DIVERGED}:
        yield (
            f"Every trial diverged ({len(ended)}): search lower rates (learning_rate), and "
            "check the scale of the data."
        )
    else:
        yield f"No trial ran to its end ({len(ended)} ended): see {seen.way('trials')}."


def _failures(seen: Seen) -> Iterator[str]:
    failed = [each.number for each in seen.search if each.state is TrialState.FAILED]
    if failed:
        yield (
            f"{counted(len(failed), 'trial')} failed: {seen.way('show', trial=failed[0])} "
            "tells why."
        )


def _undefined(seen: Seen) -> Iterator[str]:
    without = [each.number for each in seen.search if each.complete and not each.has_value]
    if without:
        objective = seen.plan.facts.objective
        where = seen.way("show", trial=without[0])
        yield (
            f"{counted(len(without), 'trial')} ended without a value, since {objective} was "
            f"not finite: {where}."
        )


def _copies(seen: Seen) -> Iterator[str]:
    trials = [
        str(each.trial)
        for each in seen.standing.retested
        if each.retest is not None and each.retest.copies
    ]
    if trials:
        of = f"trial {trials[0]}" if len(trials) == 1 else f"trials {', '.join(trials)}"
        yield (
            f"Every seed gave the very same training in the retests of {of}: how far a new "
            "training may differ is not known."
        )


def _yours(seen: Seen) -> Iterator[str]:
    record = yours_of(seen.records)
    if record is not None and record.state in {TrialState.DIVERGED, TrialState.FAILED}:
        yield f"Yours {record.state}: there is no value of your own compile to compare with."
    if record is not None and record.complete and not record.has_value:
        yield "Yours ended without a value: there is none of your own compile to compare with."
    if not seen.best or not seen.yours or seen.yours.value is None:
        return
    if nothing_to_compare(seen.records):
        return
    if seen.best.trial == seen.yours.trial and any(
        not each.seeds for each in seen.standing.retested
    ):
        yield "Yours is the best of what ran well on fresh seeds."
    elif seen.best.trial == seen.yours.trial:
        yield "Nothing beat yours: keep your compile, or give the search more trials."
    elif seen.yours.trial in seen.not_separable:
        yield f"The best is not separable from yours: the difference may be chance.{_more(seen)}"


def _more(seen: Seen) -> str:
    """How to tell them apart, where more seeds can, and none are still to be trained."""
    retests = [
        each.retest
        for each in (seen.best, seen.yours)
        if each is not None and each.retest is not None
    ]
    if seen.standing.open_retests or any(each.copies for each in retests):
        return ""
    return f" {seen.way('retest', seeds=more_seeds([each.n for each in retests]))} tells more."


def _not_retested(seen: Seen) -> Iterator[str]:
    """What of the answer rests on single trainings, and why."""
    if not seen.best:
        return
    open_ones, retested = seen.standing.open_retests, seen.standing.retested
    if open_ones:
        yield (
            f"{counted(open_ones, 'retest')} {'are' if open_ones > 1 else 'is'} still to be "
            "done: the answer may change."
        )
    if not retested:
        how = "" if seen.plan.retest_seeds else f": {seen.way('retest', seeds=3)}"
        yield (
            "Values are of single trainings, and the best of many is flattered by luck: "
            f"retests tell how much{how}."
        )
    elif not seen.best.seeds:
        yield "No retest gave a value: the best is of a single training, flattered by luck."
    done = {each.trial for each in retested}
    newer = [
        each
        for each in retest_candidates(seen.records, seen.direction, top=seen.plan.retest_top)
        if each not in done
    ]
    if done and newer and not open_ones:
        names = (
            f"trials {', '.join(map(str, newer))} are" if len(newer) > 1 else f"trial {newer[0]} is"
        )
        yield (
            f"Since the retests {names} among the best and not retested yet: the answer may change."
        )


def _lost_retests(seen: Seen) -> Iterator[str]:
    for each in seen.standing.retested:
        if not each.retest or not each.retest.lost:
            continue
        seeds = each.retest.n + each.retest.lost
        yield (
            f"Trial {each.trial} went wrong on {each.retest.lost} of "
            f"{counted(seeds, 'fresh seed')} "
            f"({lost_text(each.retest)}): {_rank(seen, each)}. See "
            f"{seen.way('show', trial=_first_lost(seen, each.trial))}."
        )


def _rank(seen: Seen, lossy: Contender) -> str:
    if seen.best and lossy.trial == seen.best.trial:
        return "no other setting did better"
    ranks_last = lossy.seeds or (lossy.retest and lossy.retest.diverged)
    return "it ranks after the others" if ranks_last else "its value is of a single training"


def _first_lost(seen: Seen, trial: int) -> str:
    """The first retest of a trial that has no value, as `lrsearch show` names it."""
    mine = (each for each in seen.records if each.is_retest and each.parent == trial)
    lost = (each for each in mine if each.ended and not each.has_value)
    return min(lost, key=lambda each: each.repeat or 0).short_label


def _changed(seen: Seen) -> Iterator[str]:
    """The definition changed under way: what trained before is not what trained after."""
    for each in seen.changes:
        begun = f"{each.trials} trials" if each.trials != 1 else "1 trial"
        yield (
            f"{each.field} changed after {begun} had begun, and the study went on: values "
            "before and after may differ by that."
        )


def _few(seen: Seen) -> Iterator[str]:
    complete = sum(each.complete for each in seen.search)
    if 0 < complete < FEW:
        more = seen.way("extend", more=20, total=20 + len(seen.search))
        yield f"Only {counted(complete, 'trial')} ran to the end: a first impression. {more}."


def _edge(seen: Seen) -> Iterator[str]:
    """The best rate near an end of what was searched: the plausible range of its optimizer, cut to
    the range asked for.
    """
    if not seen.best or seen.best.is_yours or seen.best.setting.optimizer not in OPTIMIZERS:
        return
    name, rate = seen.best.setting.optimizer, seen.best.setting.learning_rate
    facts = seen.plan.facts
    low, high = rate_range(
        name,
        seen.best.setting.batch_size,
        asked=facts.asked_rates,
        base=facts.yours.batch_size,
    )
    for edge, near, way in (
        (low, rate < low * NEAR_EDGE, "lower"),
        (high, rate > high / NEAR_EDGE, "higher"),
    ):
        if near and edge < OPTIMIZERS[name].clamp:
            yield (
                f"The best rate {rate_text(rate)} lies at the edge of what was searched for {name} "
                f"({rate_text(low)} to {rate_text(high)}): {way} rates than {rate_text(edge)} "
                "may do better; "
                f"widen learning_rate in a new study."
            )


def _clamped(seen: Seen) -> Iterator[str]:
    """Adafactor, whose rate Keras keeps at or below 1/sqrt(update): a high one is another schedule
    than it says.
    """
    if (
        not seen.best
        or seen.best.is_yours
        or not math.isfinite(OPTIMIZERS[seen.best.setting.optimizer].clamp)
    ):
        return
    rate = seen.best.setting.learning_rate
    begins = int(rate**-2)
    total = seen.plan.facts.total_steps(seen.best.setting.batch_size)
    if begins < total:
        yield (
            f"Keras lets {seen.best.setting.optimizer} train at no more than 1/sqrt(update), which falls below {rate_text(rate)} "
            f"after {begins} of {total} updates: where the schedule lies above that, it was not followed."
        )


def _general_loses(seen: Seen) -> Iterator[str]:
    groups = {
        name: [
            each.final_value
            for each in sorted(group, key=lambda record: record.number)
            if each.has_value
        ]
        for name, group in ended_by_optimizer(seen.records).items()
    }
    for general, special in INCLUDES:
        one, other = groups.get(general, []), groups.get(special, [])
        fair = min(len(one), len(other))
        if fair < FAIR:
            continue
        mine, theirs = seen.direction.best(one[:fair]), seen.direction.best(other[:fair])
        if seen.direction.better(theirs, mine) and abs(mine - theirs) > seen.tolerance:
            yield (
                f"{general} can do what {special} does, yet its best of {fair} is {mine:.4g} against {theirs:.4g}: "
                f"it was not searched enough to be judged."
            )


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
    _clamped,
    _general_loses,
)
