"""Numbers and settings in words, the same in every table, note and plot."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lrsearch.answer.words import rate_text
from lrsearch.values import Direction, Json, Setting, TrialRecord

if TYPE_CHECKING:
    from lrsearch.answer import OptimizerRow

_LEAST_PART = 0.0005  # a smaller part of the run or the peak would round to 0 %
_SHAPES = {
    "warmup_stable_decay": "level, then down",
    "cosine_restarts": "cosine restarts",
    "one_cycle": "one cycle",
}


def join_clauses(*clauses: str, between: str = "; ") -> str:
    """Join the clauses that are not empty, in one line."""
    return between.join(filter(None, clauses))


def aim_text(objective: str, direction: Direction) -> str:
    """`val_loss (lower is better)`."""
    better = "higher" if direction is Direction.MAXIMIZE else "lower"
    return f"{objective} ({better} is better)"


def range_text(rates: tuple[float, float]) -> str:
    """`1.0e-3 to 4.1e-3`; one rate where both read alike."""
    low, high = map(rate_text, rates)
    return low if low == high else f"{low} to {high}"


def _percent(fraction: float) -> str:
    """`5 %`, `0.5 %`."""
    return f"{100 * fraction:.2g} %"


def shape_name(schedule: str) -> str:
    """A schedule's shape as people read it: `level, then down` for `warmup_stable_decay`."""
    return _SHAPES.get(schedule, schedule.replace("_", " "))


def shape_text(setting: Setting) -> str:
    """A schedule's shape alone: `linear`."""
    return shape_name(setting.schedule)


def schedule_text(setting: Setting) -> str:
    """`linear, 5 % warm-up, to 3 %`."""
    return ", ".join([shape_text(setting), *knob_texts(setting)])


def setting_text(setting: Setting, varying: frozenset[str] = frozenset()) -> str:
    """A setting in one line, in the words of every table; `varying` as for `further_text`."""
    return f"{setting.optimizer} {rate_text(setting.learning_rate)} {run_text(setting, varying)}"


def run_text(setting: Setting, varying: frozenset[str] = frozenset()) -> str:
    """The schedule, and what else was searched: `linear, to 3 %; batch 64`."""
    return join_clauses(schedule_text(setting), further_text(setting, varying))


def trial_setting_text(
    record: TrialRecord, varying: frozenset[str] = frozenset()
) -> str:
    """A trial's setting in one line; before it is sampled, that it is not."""
    return (
        "(not sampled yet)"
        if record.setting is None
        else setting_text(record.setting, varying)
    )


def knob_texts(setting: Setting) -> list[str]:
    """What a schedule's shape is set to: `5 % warm-up`, `to 3 %`."""
    knobs = dict(setting.shape)
    ends = {"{} warm-up": knobs.pop("warmup", 0.0), "to {}": knobs.pop("final", 0.0)}
    return [
        *(
            text.format(_percent(part))
            for text, part in ends.items()
            if part >= _LEAST_PART
        ),
        *(f"{name.replace('_', ' ')} {value:.3g}" for name, value in knobs.items()),
    ]


def varying_of(records: Iterable[TrialRecord]) -> frozenset[str]:
    """What differs between settings, such as `batch_size` or the hyperparameter `adamw.beta_2`.

    Yours does not count. Optimizer, rate, schedule and extra do not either: they are
    always shown.
    """
    seen: dict[str, set[float | None]] = {}
    for each in (record.setting for record in records if not record.is_yours):
        if each is None:
            continue
        seen.setdefault("batch_size", set()).add(each.batch_size)
        for name, value in each.hyper.items():
            seen.setdefault(f"{each.optimizer}.{name}", set()).add(value)
    return frozenset(name for name, values in seen.items() if len(values) > 1)


def further_text(setting: Setting, varying: frozenset[str] = frozenset()) -> str:
    """What else was searched: `dropout 0.23, batch 64, weight decay 0.01`.

    Batch size and hyperparameters are named where they are `varying`.
    """
    shown = dict(setting.extra)
    shown |= {"batch": setting.batch_size} if "batch_size" in varying else {}
    shown |= {
        name.replace("_", " "): value
        for name, value in setting.hyper.items()
        if f"{setting.optimizer}.{name}" in varying
    }
    return ", ".join(f"{name} {_word(value)}" for name, value in shown.items())


def _word(value: Json) -> str:
    """A searched value in a line; text that would break the line or be invisible, as its repr."""
    if isinstance(value, float):
        return f"{value:.3g}"
    text = str(value)
    return text if text.strip() and text.isprintable() else repr(value)


OPTIMIZER_HEADS = (
    "optimizer", "best", "expected", "at rate", "median", "trials", "diverged", "crawls up to",
    "as good at", "diverges from",
)  # fmt: skip


def optimizer_cells(row: OptimizerRow, digits: int) -> tuple[str, ...]:
    """An optimizer's results below OPTIMIZER_HEADS; a dash where a rate is not known."""

    def rate(value: float | None) -> str:
        return "-" if value is None else rate_text(value)

    return (
        row.optimizer,
        value_text(row.best, digits),
        value_text(row.expected, digits),
        rate(row.best_rate),
        value_text(row.median, digits),
        str(row.trials),
        str(row.diverged),
        rate(row.crawls_to),
        range_text(row.good_rates) if row.good_rates else "-",
        rate(row.diverges_from),
    )


def value_digits(values: Iterable[float | None], *, least: int = 3) -> int:
    """Digits after the point for a column of values.

    They show three figures of the smallest value, and `least` digits of values below
    ten. Where all are larger, a digit fewer for each place before the point: `45.21`,
    `128.4`.
    """
    sizes = [
        abs(each)
        for each in values
        if each is not None and math.isfinite(each) and each
    ]
    if not sizes:
        return least
    order = math.floor(math.log10(min(sizes)))
    return min(9, max(2 - order, min(least, least - order), 0))


def value_text(value: float | None, digits: int | None = None) -> str:
    """A value of the objective, or a dash; three figures where `digits` would show only zeros."""
    if value is None or not math.isfinite(value):
        return "-"
    if digits is None:
        digits = min(4, value_digits([value], least=4))
    shown = f"{value:.{digits}f}" if abs(value) < 1e4 else f"{value:.4g}"  # noqa: PLR2004
    return shown if not value or abs(value) >= 10.0 ** (1 - digits) else f"{value:.3g}"


def mean_text(mean: float, spread: float | None) -> str:
    """`0.102 \u00b1 0.009`: two figures of the spread, which is a standard deviation."""
    if not spread or not math.isfinite(spread):
        return value_text(mean, value_digits([mean]))
    digits = min(9, max(0, 1 - math.floor(math.log10(spread))))
    return f"{mean:.{digits}f} \u00b1 {spread:.{digits}f}"


def duration_text(seconds: float, minute: str = "min") -> str:
    """`1.2 s`, `12 s`, `4 min`, `1 h 20 min`; `minute` is the word for minutes alone."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    minutes = round(seconds / 60)
    if minutes < 90:  # noqa: PLR2004
        return f"{minutes} {minute}"
    return f"{minutes // 60} h {minutes % 60} min"
