"""The answer as text: yours and the best on two lines, then the runners-up, the optimizers, and what to beware of."""

from __future__ import annotations

from lrsearch.answer import Answer, Contender
from lrsearch.report.words import columns, extra_text, rate_text, schedule_text, value_text


def answer_text(answer: Answer) -> str:
    """The whole page of `lrsearch best`."""
    parts = [_head(answer), _contenders(answer), _optimizers(answer), *(f"note: {each}" for each in answer.warnings)]
    return "\n".join(part for part in parts if part)


def _head(answer: Answer) -> str:
    ended = ", ".join(f"{number} {state}" for state, number in answer.counts.items() if number)
    better = "higher" if answer.direction == "maximize" else "lower"
    return f"study {answer.study}: {answer.objective} ({better} is better); {ended or 'no trial yet'}\n"


def _contenders(answer: Answer) -> str:
    """`yours` and `best`, then the other retested settings."""
    if answer.best is None:
        return "No trial has run to its end with a value yet."
    rows = [_row("yours", answer.yours)] if answer.yours is not None else []
    same = answer.yours is not None and answer.yours.trial == answer.best.trial
    rows.append([*_row("best", answer.best)[:-1], "it is yours" if same else _aside(answer)])
    others = [each for each in answer.runners_up if each.trial != answer.best.trial]
    rows += [[*_row(f"#{place}", each)[:-1], _apart(answer, each)] for place, each in enumerate(others, start=2)]
    return "\n".join(f"  {line}" for line in columns(rows)) + "\n"


def _row(label: str, each: Contender) -> list[str]:
    setting = each.setting
    words = schedule_text(setting)
    if setting.extra:
        words += f"; {extra_text(setting)}"
    return [label, setting.optimizer, rate_text(setting.learning_rate), words, _value(each), _seeds(each), ""]


def _value(each: Contender) -> str:
    if each.retest is None:
        return value_text(each.searched, 3) if each.searched is not None else each.state.value
    spread = each.retest.spread
    return value_text(each.retest.mean, 3) + (f" +- {value_text(spread, 3)}" if spread is not None else "")


def _seeds(each: Contender) -> str:
    if each.retest is None:
        return "(1 training)"
    lost = f", {each.retest.lost} lost" if each.retest.lost else ""
    return f"({each.retest.n} seeds{lost})"


def _aside(answer: Answer) -> str:
    others = [each for each in answer.not_separable if answer.best is None or each != answer.best.trial]
    if not others:
        return ""
    return f"{len(others)} other{'s' if len(others) > 1 else ''} not separable from it"


def _apart(answer: Answer, each: Contender) -> str:
    return f"trial {each.trial}" + (", not separable" if each.trial in answer.not_separable else "")


def _optimizers(answer: Answer) -> str:
    """A line an optimizer: best, median, trials, diverged; then its rates from low to high: crawling, good, diverging."""
    if not answer.by_optimizer:
        return ""
    head = ["optimizer", "best", "at rate", "median", "trials", "diverged", "crawls up to", "as good at", "diverges from"]
    rows = [
        [
            row.optimizer,
            value_text(row.best),
            _edge(row.best_rate),
            value_text(row.median),
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
