"""The answer as text: yours and the best on two lines, then the runners-up, the optimizers, and what to beware of."""

from __future__ import annotations

from statistics import fmean, stdev

from lrsearch.answer import Answer, Contender, evidence_text
from lrsearch.report.bill import spent_text
from lrsearch.report.words import (
    columns,
    counted,
    further_text,
    rate_text,
    schedule_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import Origin, TrialState


def answer_text(answer: Answer) -> str:
    """The whole page of `lrsearch best`."""
    spent = f"spent: {spent_text(answer.spent)}" if answer.spent else ""
    notes = (f"note: {each}" for each in answer.warnings)
    parts = [_head(answer), _contenders(answer), _optimizers(answer), spent, *notes]
    return "\n".join(part for part in parts if part).rstrip()


def _head(answer: Answer) -> str:
    ended = ", ".join(f"{number} {state}" for state, number in answer.counts.items() if number)
    better = "higher" if answer.direction == "maximize" else "lower"
    return f"study {answer.study}: {answer.objective} ({better} is better); {ended or 'no trial yet'}\n"


def _contenders(answer: Answer) -> str:
    """`yours` and `best`, then the other retested settings."""
    if answer.best is None:
        return "No trial has run to its end with a value yet."
    same = answer.yours is not None and answer.yours.trial == answer.best.trial
    others = [each for each in answer.runners_up if each.trial != answer.best.trial]
    shown = [("yours", answer.yours, ""), ("best", answer.best, "it is yours" if same else _aside(answer))]
    if same and not any(row.complete or row.pruned for row in answer.by_optimizer):
        del shown[1]  # nothing was searched that it could be the best of
    shown += [(f"#{place}", each, _apart(answer, each)) for place, each in enumerate(others, start=2)]
    digits = value_digits(each.value for _, each, _ in shown if each is not None)
    varying = varying_of(each.setting for each in answer.ranked if each.setting is not None and each.origin is not Origin.YOURS)
    rows = [[label, *_row(each, digits, varying), aside] for label, each, aside in shown if each is not None]
    return "\n".join(f"  {line}" for line in columns(rows)) + "\n"


def _row(each: Contender, digits: int, varying: frozenset[str]) -> list[str]:
    setting = each.setting
    words = "; ".join(filter(None, [schedule_text(setting), further_text(setting, varying)]))
    return [setting.optimizer, rate_text(setting.learning_rate), words, _value(each, digits), _evidence(each, digits)]


def _value(each: Contender, digits: int) -> str:
    if each.retest is not None and each.retest.mean is not None:
        return _mean(each.retest.mean, each.retest.spread, digits)
    none = "no value" if each.state is TrialState.COMPLETE else each.state.value
    return value_text(each.searched, digits) if each.searched is not None else none


def _mean(mean: float, spread: float | None, digits: int) -> str:
    return value_text(mean, digits) + (f" +- {spread:.{digits}f}" if spread is not None else "")


def _evidence(each: Contender, digits: int) -> str:
    """How many trainings the value is of, and what the test split said, where there is one."""
    seen = each.retest.test if each.retest else ()
    spread = stdev(seen) if each.retest and len(seen) > 1 and not each.retest.copies else None
    test = f", test {_mean(fmean(seen), spread, digits)}" if seen else ""
    return f"({evidence_text(each.retest)}{test})"


def _aside(answer: Answer) -> str:
    others = [each for each in answer.not_separable if answer.best is None or each != answer.best.trial]
    if not others:
        return ""
    return f"{counted(len(others), 'other')} not separable from it"


def _apart(answer: Answer, each: Contender) -> str:
    return f"trial {each.trial}" + (", not separable" if each.trial in answer.not_separable else "")


def _optimizers(answer: Answer) -> str:
    """A line an optimizer: best, median, trials, diverged; then its rates from low to high: crawling, good, diverging."""
    if not answer.by_optimizer:
        return ""
    digits = max(4, value_digits(each for row in answer.by_optimizer for each in (row.best, row.median)))
    head = ["optimizer", "best", "at rate", "median", "trials", "diverged", "crawls up to", "as good at", "diverges from"]
    rows = [
        [
            row.optimizer,
            value_text(row.best, digits),
            _edge(row.best_rate),
            value_text(row.median, digits),
            str(row.trials),
            str(row.diverged),
            _edge(row.crawls_to),
            f"{rate_text(row.good_rates[0])} to {rate_text(row.good_rates[1])}" if row.good_rates else "-",
            _edge(row.diverges_from),
        ]
        for row in answer.by_optimizer
    ]
    return "\n".join(f"  {line}" for line in columns([head, *rows], right=(1, 2, 3, 4, 5, 6, 8))) + "\n"


def _edge(rate: float | None) -> str:
    return rate_text(rate) if rate is not None else "-"
