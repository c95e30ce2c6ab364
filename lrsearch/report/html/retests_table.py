"""The retests as a table: what the verdict rests on, by setting and fresh seed, or by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.answer import Answer
from lrsearch.report.html.marks import swatch, symbol
from lrsearch.report.html.markup import Content, Markup, tag
from lrsearch.report.html.tables import table
from lrsearch.report.words import (
    mean_text,
    setting_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import StudyRecord, TrialRecord, Trials, TrialState

_MOST = 12  # columns of single values: a race may have made many more


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestsOf:
    """One setting's retests, by repeat."""

    parent: TrialRecord
    repeats: Mapping[int, TrialRecord]


def retests_table(
    study: StudyRecord, records: Trials, answer: Answer, places: Mapping[str, int]
) -> Content:
    """A line for each retested setting, best first; None where no retest was planned."""
    groups = _by_setting(records, answer)
    if not groups:
        return None
    repeats = sorted({repeat for each in groups for repeat in each.repeats})
    shown = repeats[:_MOST]
    digits = value_digits(one.value for each in groups for one in each.repeats.values())
    varying = varying_of(records)
    lines = [
        tag("tr", _head(each, answer, places, varying), _numbers(study, each, groups, answer),
            [_cell(each.repeats.get(repeat), digits) for repeat in shown])
        for each in groups
    ]  # fmt: skip
    numbers = ["mean", "one more training gives"] + ["beats yours on"] * _folds(study)
    head = ["setting", *numbers, *(_column(study, repeat) for repeat in shown)]
    left = (
        f" The first {_MOST} of {len(repeats)} are shown."
        if len(repeats) > _MOST
        else ""
    )
    explained = tag(
        "p", f"{_FOLDS if _folds(study) else _SEEDS} {_EXPECTED}{left}", class_="soft"
    )
    return [table(head, lines, "The retests, best mean first", "retests"), explained]


_SEEDS = "Every setting is trained again on the same fresh seeds."
_FOLDS = (
    "A fold has the same rows for every setting, so the verdict compares the settings within each "
    "column."
)
_EXPECTED = (
    "What one more training gives is an estimate that the choice does not flatter, with its 95 % "
    "interval."
)


def _folds(study: StudyRecord) -> bool:
    return bool(study.facts.folds)


def _by_setting(records: Trials, answer: Answer) -> list[RetestsOf]:
    """Settings in the answer's order, then those whose retests are all open."""
    parents = {each.number: each for each in records if each.is_search}
    found: dict[int, dict[int, TrialRecord]] = {}
    for each in records:
        if each.is_retest and each.parent in parents:
            found.setdefault(each.parent, {})[each.repeat or 0] = each
    order = [each.trial for each in answer.retested]
    order += sorted(found.keys() - set(order))
    return [
        RetestsOf(parent=parents[each], repeats=found[each])
        for each in order
        if each in found
    ]


def _column(study: StudyRecord, repeat: int) -> str:
    fold = study.facts.fold_of(repeat)
    return f"seed {repeat + 1}" if fold is None else f"fold {fold}"


def _head(
    group: RetestsOf, answer: Answer, places: Mapping[str, int], varying: frozenset[str]
) -> Markup:
    parent, best = group.parent, answer.best
    setting = parent.setting
    assert setting is not None  # a setting that is retested was trained
    is_best = best is not None and best.trial == parent.number
    apart = (
        "not separable from the best" if parent.number in answer.not_separable else ""
    )
    names = ["best"] * is_best + ["yours"] * parent.is_yours
    name = ", ".join([*names, f"trial {parent.number}"])
    return tag(
        "th", swatch(symbol(places[setting.optimizer], 0, 0)), tag("b", name), " ",
        setting_text(setting, varying), tag("small", f" {apart}") if apart else None,
        scope="row", class_="setting",
    )  # fmt: skip


def _numbers(
    study: StudyRecord, group: RetestsOf, groups: Sequence[RetestsOf], answer: Answer
) -> list[Markup]:
    found = next(
        (each for each in answer.retested if each.trial == group.parent.number), None
    )
    retest = found.retest if found else None
    expected = answer.verdict.expected.get(group.parent.number)
    mean = (
        "-"
        if retest is None or retest.mean is None
        else mean_text(retest.mean, retest.spread)
    )
    ahead = "-"
    if expected is not None:
        digits = value_digits([expected.value])
        low, high = (value_text(each, digits) for each in expected.interval)
        ahead = f"{value_text(expected.value, digits)} ({low} to {high})"
    cells = [mean, ahead] + [_wins(study, group, groups)] * _folds(study)
    return [tag("td", each) for each in cells]


def _wins(study: StudyRecord, group: RetestsOf, groups: Sequence[RetestsOf]) -> str:
    """On how many of the folds that both have this setting is better than yours."""
    yours = next((each.repeats for each in groups if each.parent.is_yours), {})
    pairs = [
        (one.final_value, yours[repeat].final_value)
        for repeat, one in group.repeats.items()
        if one.has_value and repeat in yours and yours[repeat].has_value
    ]
    if group.parent.is_yours or not pairs:
        return "-"
    return f"{sum(study.direction.better(*pair) for pair in pairs)} of {len(pairs)}"


def _cell(each: TrialRecord | None, digits: int) -> Markup:
    """A retest's value, or how it ended; a dash where none is planned."""
    if each is None:
        return tag("td", "-")
    if each.has_value:
        return tag("td", value_text(each.value, digits))
    return tag("td", _STATES.get(each.state, each.state.value), class_="none")


_STATES = {TrialState.COMPLETE: "no value"}
