"""The answer as text: yours and the best, the runners-up, the optimizers, and what to beware of."""

from __future__ import annotations

from statistics import fmean, stdev

from lrsearch.answer import (
    Answer,
    Band,
    Contender,
    Expected,
    evidence_text,
    verdict_text,
)
from lrsearch.answer.words import count_text, rate_text
from lrsearch.report.bill import early_stops_text, spent_text
from lrsearch.report.layout import Column, paragraph, table
from lrsearch.report.words import (
    OPTIMIZER_HEADS,
    aim_text,
    further_text,
    join_clauses,
    knob_texts,
    optimizer_cells,
    range_text,
    run_text,
    shape_name,
    shape_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import Setting, TrialState

NOTHING_YET = "No trial has run to its end with a value yet."


def answer_text(answer: Answer, *, width: int | None = None) -> str:
    """The whole page of `lrsearch best`; in `width` columns where a width is given.

    The verdict comes first.
    """
    aim = aim_text(answer.objective, answer.direction)
    head = f"study {answer.study}: {aim}; {ends_text(answer)}"
    spent = f"spent: {spent_text(answer.spent)}" if answer.spent else ""
    stops = early_stops_text(answer.stops)
    parts = [
        paragraph(f"{verdict_text(answer.verdict)} {answer.next.text}", width) + "\n",
        paragraph(head, width) + "\n",
        _contenders(answer, width),
        paragraph(f"band: {band_text(answer.band)}", width) + "\n"
        if answer.band
        else "",
        _optimizers(answer, width),
        paragraph(spent, width, hang="       "),
        paragraph(stops and f"stopped: {stops}", width, hang="         "),
        *(paragraph(f"note: {each}", width, hang="      ") for each in answer.warnings),
    ]
    return "\n".join(filter(None, parts)).rstrip()


def ends_text(answer: Answer) -> str:
    """How many trials ended how: `12 complete, 1 diverged`."""
    counts = (f"{number} {state}" for state, number in answer.counts.items() if number)
    return ", ".join(counts) or "no trial yet"


def inseparable_text(answer: Answer) -> str:
    """How many other settings may differ from the best by chance alone; empty for none."""
    best = answer.best.trial if answer.best else None
    others = [each for each in answer.not_separable if each != best]
    return f"{count_text(len(others), 'other')} not separable from it" if others else ""


def band_text(band: Band) -> str:
    """The rates that do as well as the best's, which to take, and how far divergence is."""
    shape = shape_name(band.schedule) if band.schedule else ""
    edge = "no rate above diverged"
    if band.diverges_from and band.headroom:
        times = f"{band.headroom:.2g} times as high"
        edge = f"training diverges from {rate_text(band.diverges_from)}, {times}"
    if band.low == band.high:
        where = f"{band.optimizer} ({shape})" if shape else band.optimizer
        return f"no other rate of {where} did as well as {rate_text(band.low)}; {edge}."
    rates, trials = range_text((band.low, band.high)), count_text(band.trials, "trial")
    where = join_clauses(band.optimizer, shape, between=": ")
    return (
        f"rates {rates} do as well ({trials} of {where}); take "
        f"{rate_text(band.recommended)}, on their low side; {edge}."
    )


def expected_text(expected: Expected | None, digits: int) -> str:
    """`expect 0.4741 (0.43 to 0.518)`: of one more training; empty where it is not known."""
    if expected is None:
        return ""
    low, high = expected.interval
    ends = f"{value_text(low, digits)} to {value_text(high, digits)}"
    return f"expect {value_text(expected.value, digits)} ({ends})"


def _contenders(answer: Answer, width: int | None) -> str:
    """`yours` and `best`, then the other retested settings."""
    best, yours = answer.best, answer.yours
    if best is None:
        return NOTHING_YET
    same = yours is not None and yours.trial == best.trial
    rows = [("yours", yours, "")] if yours is not None else []
    # Where nothing was searched, yours is not the best of anything.
    if not same or any(row.complete or row.pruned for row in answer.by_optimizer):
        rows.append(("best", best, "it is yours" if same else inseparable_text(answer)))
    for place, each in enumerate(answer.runners_up, start=2):
        apart = "not separable" if each.trial in answer.not_separable else ""
        rows.append((f"#{place}", each, apart))
    columns = _contender_columns(answer, rows, wide=width is None)
    return "\n".join(table(columns, width, indent="  ")) + "\n"


def _contender_columns(
    answer: Answer, rows: list[tuple[str, Contender, str]], *, wide: bool
) -> list[Column]:
    labels, contenders, asides = zip(*rows, strict=True)
    digits = value_digits(each.value for each in contenders)
    settings = [each.setting for each in contenders]
    tests = [_test(each, digits) for each in contenders]
    known = answer.verdict.expected
    expected = [expected_text(known.get(each.trial), digits) for each in contenders]
    evidence = [
        join_clauses(evidence_text(each.retest), test if wide else "", between=", ")
        for each, test in zip(contenders, tests, strict=True)
    ]
    return [
        Column("", labels),
        Column("", [each.optimizer for each in settings], least=8),
        Column("", [rate_text(each.learning_rate) for each in settings]),
        *_schedule_columns(settings, varying_of(answer.ranked), wide=wide),
        Column("", [_value(each, digits) for each in contenders]),
        Column("", expected, name="what one more training gives", rank=2),
        Column("", [f"trial {each.trial}" for each in contenders], name="trials"),
        Column(
            "",
            [f"({each})" for each in evidence],
            name="what a value rests on",
            rank=2,
            least=9,
        ),
        # A column of its own in a terminal: without room it is left out, and not cut.
        Column("", [""] * len(tests) if wide else tests, name="test values", rank=3),
        Column("", asides, name="what is not separable", rank=4, least=13),
    ]


def _schedule_columns(
    settings: list[Setting], varying: frozenset[str], *, wide: bool
) -> list[Column]:
    """What a run follows: one text where there is room, else the shapes before their numbers."""
    if wide:
        return [Column("", [run_text(each, varying) for each in settings])]
    knobs = [
        join_clauses(", ".join(knob_texts(each)), further_text(each, varying))
        for each in settings
    ]
    return [
        Column(
            "",
            [shape_text(each) for each in settings],
            name="schedules",
            rank=3,
            least=6,
        ),
        Column("", knobs, name="schedules in full", rank=5, least=12),
    ]


def _value(each: Contender, digits: int) -> str:
    if each.retest is not None and each.retest.mean is not None:
        return _mean(each.retest.mean, each.retest.spread, digits)
    none = "no value" if each.state is TrialState.COMPLETE else each.state.value
    return value_text(each.searched, digits) if each.searched is not None else none


def _mean(mean: float, spread: float | None, digits: int) -> str:
    return value_text(mean, digits) + (
        f" +- {spread:.{digits}f}" if spread is not None else ""
    )


def _test(each: Contender, digits: int) -> str:
    """The mean on the test split; empty where there is none."""
    if each.retest is None or not each.retest.test:
        return ""
    values = each.retest.test
    spread = stdev(values) if len(values) > 1 and not each.retest.copies else None
    return f"test {_mean(fmean(values), spread, digits)}"


def _optimizers(answer: Answer, width: int | None) -> str:
    """A line for each optimizer: its results, then its rates: crawling, good, diverging."""
    rows = answer.by_optimizer
    if not rows:
        return ""
    digits = value_digits(
        (each for row in rows for each in (row.best, row.median)), least=4
    )
    cells = zip(*(optimizer_cells(row, digits) for row in rows), strict=True)
    columns = [
        Column(
            head, column, right=head not in _TEXTS, rank=rank, least=_TEXTS.get(head)
        )
        for head, column, rank in zip(OPTIMIZER_HEADS, cells, _RANKS, strict=True)
    ]
    return "\n".join(table(columns, width, indent="  ")) + "\n"


# columns of text, which begin at the left, and to how many characters each may be cut
_TEXTS = {"optimizer": 10, "as good at": None}
_RANKS = (0, 0, 2, 1, 7, 6, 5, 4, 2, 3)  # of the columns of OPTIMIZER_HEADS
