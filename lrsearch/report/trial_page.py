"""All that is known of one trial: as data for programs, and as a page for people."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.answer.words import rate_text
from lrsearch.report.layout import HANG, Column, paragraph, table
from lrsearch.report.trials import trial_row
from lrsearch.report.words import (
    duration_text,
    join_clauses,
    trial_setting_text,
    value_text,
)
from lrsearch.storage import AttemptRecord
from lrsearch.values import CurvePoint, Json, TrialRecord

_POINT = ("epoch", "step", "rate", "value")  # of a point of a curve, beside its logs
_LATEST = 12  # epochs of a curve that the page shows


def trial_data(
    record: TrialRecord,
    curve: Sequence[CurvePoint],
    attempts: Sequence[AttemptRecord],
    *,
    fold: int | None = None,
) -> dict[str, Json]:
    """All that is known of one trial; `fold`: that it trained on, None without folds."""
    shown = ("attempt", "status", "worker", "reason", "started_at", "ended_at")
    return {
        **trial_row(record, fold),
        "logs": dict(record.logs),
        "notes": list(record.notes),
        "traceback": record.traceback_text,
        "attempt_list": [
            {name: getattr(each, name) for name in shown} for each in attempts
        ],
        "curve": [
            {**{name: getattr(each, name) for name in _POINT}, **each.logs}
            for each in curve
        ],
    }


def trial_text(
    record: TrialRecord, data: dict[str, Json], *, width: int | None = None
) -> str:
    """The page for people: setting, attempts, the curve's end, the error.

    Long lines are broken, never cut: the page leaves nothing out.
    """
    setting = record.setting
    engine = f"{record.engine or '-'}; {duration_text(record.seconds)}"
    best = f"best {value_text(record.best_value)} at epoch {record.best_epoch}"
    lines = [
        f"{record.label}: {_with_reason(record.state.value, record.reason)}",
        f"setting  {trial_setting_text(record)}",
        f"origin   {record.origin.value}; seed {record.seed}; engine {engine}",
        join_clauses(
            f"value    {value_text(record.value)}", best if record.best_epoch else ""
        ),
    ]
    if (rates := record.rates) is not None:
        first = "" if rates.first is None else f"{rates.first:.4g} at first, "
        lines.append(
            f"rates    {first}{rates.peak:.4g} at the peak, {rates.last:.4g} at last"
        )
    if setting is not None and setting.batch_size is not None:
        lines.append(f"batch    {setting.batch_size}")
    if setting is not None and any(setting.hyper.values()):
        hyper = (f"{name} {value:g}" for name, value in setting.hyper.items() if value)
        lines.append(f"hyper    {', '.join(hyper)}")
    lines += [f"note     {note}" for note in record.notes]
    lines += [
        f"attempt  {each['attempt']}: {_with_reason(each['status'], each['reason'])}"
        for each in data["attempt_list"]
    ]
    lines = [paragraph(line, width, hang=HANG) for line in lines]
    lines += _curve_lines(data["curve"], width)
    if record.traceback_text:
        lines.append(record.traceback_text.rstrip())
    return "\n".join(lines)


def _with_reason(state: str, reason: str) -> str:
    return f"{state} ({reason})" if reason else state


def _curve_lines(curve: Sequence[dict[str, Json]], width: int | None) -> list[str]:
    """The last epochs; validation metrics are given room before others."""
    if not curve:
        return []
    names = [name for name in curve[-1] if name not in _POINT]
    shown = curve[-_LATEST:]

    def column(
        head: str, cells: list[str], rank: int = 0, least: int | None = None
    ) -> Column:
        return Column(head, cells, right=True, rank=rank, least=least)

    columns = [
        column("epoch", [str(each["epoch"]) for each in shown]),
        column("step", [str(each["step"]) for each in shown], 2),
        column("rate", [rate_text(each["rate"]) for each in shown]),
    ]
    for name in names:
        rank = 1 if name.startswith("val_") else 3
        columns.append(
            column(name, [value_text(each.get(name)) for each in shown], rank, 8)
        )
    earlier = len(curve) - len(shown)
    more = [f"({earlier} earlier epochs: --json)"] if earlier else []
    return ["", *table(columns, width), *more]
