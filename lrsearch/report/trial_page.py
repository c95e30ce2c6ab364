"""All that is known of one trial: as data for programs, and as a page for people."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.report.layout import HANG, Column, paragraph, table
from lrsearch.report.trials import trial_row
from lrsearch.report.words import (
    duration_text,
    rate_text,
    trial_setting_text,
    value_text,
)
from lrsearch.storage import AttemptRecord
from lrsearch.values import CurvePoint, Json, TrialRecord

_LATEST = 12  # epochs of a curve that the page shows


def trial_data(
    record: TrialRecord, curve: Sequence[CurvePoint], attempts: Sequence[AttemptRecord]
) -> dict[str, Json]:
    """All that is known of one trial."""
    return {
        **trial_row(record),
        "logs": dict(record.logs),
        "notes": list(record.notes),
        "traceback": record.traceback_text,
        "attempt_list": [
            {
                "attempt": each.attempt,
                "status": each.status,
                "worker": each.worker,
                "reason": each.reason,
                "started_at": each.started_at,
                "ended_at": each.ended_at,
            }
            for each in attempts
        ],
        "curve": [
            {
                "epoch": each.epoch,
                "step": each.step,
                "rate": each.rate,
                "value": each.value,
                **each.logs,
            }
            for each in curve
        ],
    }


def trial_text(record: TrialRecord, data: dict[str, Json], *, width: int | None = None) -> str:
    """The same for people: setting, attempts, the curve's end, the error.

    Its lines are broken, since they say all there is.
    """
    lines = [
        f"{record.label}: {record.state.value}" + (f" ({record.reason})" if record.reason else ""),
        f"setting  {trial_setting_text(record)}",
        (
            f"origin   {record.origin.value}; seed {record.seed}; engine {record.engine or '-'}; "
            f"{duration_text(record.seconds)}"
        ),
        f"value    {value_text(record.value)}"
        + (
            f"; best {value_text(record.best_value)} at epoch {record.best_epoch}"
            if record.best_epoch
            else ""
        ),
    ]
    if record.setting is not None and record.setting.batch_size is not None:
        lines.append(f"batch    {record.setting.batch_size}")
    if record.setting is not None and any(record.setting.hyper.values()):
        lines.append(
            "hyper    "
            + ", ".join(
                f"{name} {value:g}" for name, value in record.setting.hyper.items() if value
            )
        )
    lines += [f"note     {note}" for note in record.notes]
    lines += [
        f"attempt  {each['attempt']}: {each['status']}"
        + (f" ({each['reason']})" if each["reason"] else "")
        for each in data["attempt_list"]
    ]
    lines = [paragraph(line, width, hang=HANG) for line in lines] + _curve_lines(
        data["curve"], width
    )
    return "\n".join([*lines, *([record.traceback_text.rstrip()] if record.traceback_text else [])])


def _curve_lines(curve: Sequence[dict[str, Json]], width: int | None) -> list[str]:
    """The last epochs. Validation metrics have room first."""
    if not curve:
        return []
    names = [name for name in curve[-1] if name not in {"epoch", "step", "rate", "value"}]
    shown = curve[-_LATEST:]
    columns = [
        Column(head="epoch", cells=[str(each["epoch"]) for each in shown], right=True),
        Column(head="step", cells=[str(each["step"]) for each in shown], right=True, rank=2),
        Column(head="rate", cells=[rate_text(each["rate"]) for each in shown], right=True),
    ]
    columns += [
        Column(
            head=name,
            cells=[value_text(each.get(name)) for each in shown],
            right=True,
            rank=1 if name.startswith("val_") else 3,
            least=8,
        )
        for name in names
    ]
    more = (
        [f"({len(curve) - len(shown)} earlier epochs: --json)"] if len(curve) > len(shown) else []
    )
    return ["", *table(columns, width), *more]
