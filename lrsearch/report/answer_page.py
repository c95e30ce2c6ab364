"""The answer as text: yours and the best on two lines, then the runners-up, the optimizers, and
what to beware of.
"""

from __future__ import annotations

from statistics import fmean, stdev

from lrsearch.answer import Answer, Contender, evidence_text
from lrsearch.report.bill import spent_text
from lrsearch.report.layout import Column, paragraph, table
from lrsearch.report.words import (
    counted,
    further_text,
    knob_texts,
    range_text,
    rate_text,
    schedule_text,
    shape_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import Setting, TrialState


def answer_text(answer: Answer, *, width: int | None = None) -> str:
    """The whole page of `lrsearch best`; in `width` columns where that is given."""
    spent = (
        paragraph(f"spent: {spent_text(answer.spent)}", width, hang="       ")
        if answer.spent
        else ""
    )
    notes = [paragraph(f"note: {each}", width, hang="      ") for each in answer.warnings]
    parts = [
        paragraph(_head(answer), width) + "\n",
        _contenders(answer, width),
        _optimizers(answer, width),
        spent,
        *notes,
    ]
    return "\n".join(part for part in parts if part).rstrip()


def _head(answer: Answer) -> str:
    ended = ", ".join(f"{number} {state}" for state, number in answer.counts.items() if number)
    better = "higher" if answer.direction == "maximize" else "lower"
    return (
        f"study {answer.study}: {answer.objective} ({better} is better); {ended or 'no trial yet'}"
    )


def _contenders(answer: Answer, width: int | None) -> str:
    """`yours` and `best`, then the other retested settings."""
    if answer.best is None:
        return "No trial has run to its end with a value yet."
    same = answer.yours is not None and answer.yours.trial == answer.best.trial
    others = [each for each in answer.runners_up if each.trial != answer.best.trial]
    shown = [
        ("yours", answer.yours, ""),
        ("best", answer.best, "it is yours" if same else _aside(answer)),
    ]
    if same and not any(row.complete or row.pruned for row in answer.by_optimizer):
        del shown[1]  # nothing was searched that it could be the best of
    shown += [
        (f"#{place}", each, _apart(answer, each)) for place, each in enumerate(others, start=2)
    ]
    rows = [(label, each, aside) for label, each, aside in shown if each is not None]
    return (
        "\n".join(table(_contender_columns(answer, rows, wide=width is None), width, indent="  "))
        + "\n"
    )


def _contender_columns(
    answer: Answer, rows: list[tuple[str, Contender, str]], *, wide: bool
) -> list[Column]:
    digits = value_digits(each.value for _, each, _ in rows)
    varying = varying_of(
        each.setting for each in answer.ranked if each.setting is not None and not each.is_yours
    )
    settings = [each.setting for _, each, _ in rows]
    further = [further_text(each, varying) for each in settings]
    return [
        Column(cells=[label for label, _, _ in rows]),
        Column(cells=[each.optimizer for each in settings], least=8),
        Column(cells=[rate_text(each.learning_rate) for each in settings]),
        *_schedule_columns(settings, further, wide=wide),
        Column(cells=[_value(each, digits) for _, each, _ in rows]),
        Column(cells=[f"trial {each.trial}" for _, each, _ in rows], name="trials"),
        Column(
            cells=[_evidence(each, digits, test=wide) for _, each, _ in rows],
            name="what a value rests on",
            rank=2,
            least=9,
        ),
        # a column of its own in a terminal: where it does not fit it is left out, not cut
        Column(
            cells=["" if wide else _test(each, digits) for _, each, _ in rows],
            name="test values",
            rank=3,
        ),
        Column(
            cells=[aside for _, _, aside in rows], name="what is not separable", rank=4, least=13
        ),
    ]


def _schedule_columns(settings: list[Setting], further: list[str], *, wide: bool) -> list[Column]:
    """Schedule and what else was searched: one text where there is room for all, else the shapes
    before their numbers.
    """
    if wide:
        return [
            Column(
                cells=[
                    "; ".join(filter(None, pair))
                    for pair in zip(map(schedule_text, settings), further, strict=True)
                ]
            )
        ]
    knobs = [
        "; ".join(filter(None, [", ".join(knob_texts(each)), more]))
        for each, more in zip(settings, further, strict=True)
    ]
    return [
        Column(cells=[shape_text(each) for each in settings], name="schedules", rank=3, least=6),
        Column(cells=knobs, name="schedules in full", rank=5, least=12),
    ]


def _value(each: Contender, digits: int) -> str:
    if each.retest is not None and each.retest.mean is not None:
        return _mean(each.retest.mean, each.retest.spread, digits)
    none = "no value" if each.state is TrialState.COMPLETE else each.state.value
    return value_text(each.searched, digits) if each.searched is not None else none


def _mean(mean: float, spread: float | None, digits: int) -> str:
    return value_text(mean, digits) + (f" +- {spread:.{digits}f}" if spread is not None else "")


def _evidence(each: Contender, digits: int, *, test: bool) -> str:
    """How many trainings the value is of, and what the test split said, where that is asked for."""
    said = _test(each, digits) if test else ""
    return f"({', '.join(filter(None, [evidence_text(each.retest), said]))})"


def _test(each: Contender, digits: int) -> str:
    """What the test split said; empty where there is none."""
    seen = each.retest.test if each.retest else ()
    spread = stdev(seen) if each.retest and len(seen) > 1 and not each.retest.copies else None
    return f"test {_mean(fmean(seen), spread, digits)}" if seen else ""


def _aside(answer: Answer) -> str:
    others = [
        each for each in answer.not_separable if answer.best is None or each != answer.best.trial
    ]
    if not others:
        return ""
    return f"{counted(len(others), 'other')} not separable from it"


def _apart(answer: Answer, each: Contender) -> str:
    return "not separable" if each.trial in answer.not_separable else ""


def _optimizers(answer: Answer, width: int | None) -> str:
    """A line an optimizer: best, median, trials, diverged; then its rates from low to high:
    crawling, good, diverging.
    """
    rows = answer.by_optimizer
    if not rows:
        return ""
    digits = max(4, value_digits(each for row in rows for each in (row.best, row.median)))
    columns = [
        Column(head="optimizer", cells=[row.optimizer for row in rows], least=10),
        Column(head="best", cells=[value_text(row.best, digits) for row in rows], right=True),
        Column(head="at rate", cells=[_edge(row.best_rate) for row in rows], right=True, rank=1),
        Column(
            head="median",
            cells=[value_text(row.median, digits) for row in rows],
            right=True,
            rank=7,
        ),
        Column(head="trials", cells=[str(row.trials) for row in rows], right=True, rank=6),
        Column(head="diverged", cells=[str(row.diverged) for row in rows], right=True, rank=5),
        Column(
            head="crawls up to", cells=[_edge(row.crawls_to) for row in rows], right=True, rank=4
        ),
        Column(
            head="as good at",
            cells=[range_text(row.good_rates) if row.good_rates else "-" for row in rows],
            rank=2,
        ),
        Column(
            head="diverges from",
            cells=[_edge(row.diverges_from) for row in rows],
            right=True,
            rank=3,
        ),
    ]
    return "\n".join(table(columns, width, indent="  ")) + "\n"


def _edge(rate: float | None) -> str:
    return rate_text(rate) if rate is not None else "-"
