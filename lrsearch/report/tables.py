"""Studies, trials and workers: as data for programs, and as aligned text for people."""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.report.layout import Column, paragraph, table
from lrsearch.report.words import (
    duration_text,
    further_text,
    rate_text,
    schedule_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.storage import AttemptRecord, Counts
from lrsearch.values import (
    CurvePoint,
    Json,
    Setting,
    StudyRecord,
    TrialRecord,
    WorkerRecord,
)

_LATEST = 12  # epochs of a curve that the page of a trial shows
HANG = " " * 9  # below a line's label


def study_rows(studies: Sequence[tuple[StudyRecord, Counts]]) -> list[dict[str, Json]]:
    """One dict a study."""
    return [
        {
            "study": study.name,
            "state": study.state.value,
            "objective": study.facts.objective,
            "direction": study.direction.value,
            "budget": study.trials,
            "done": counts.done,
            "running": counts.running,
            "created_at": study.created_at,
            "study_file": study.plan.study_file,
        }
        for study, counts in studies
    ]


def studies_table(rows: Sequence[dict[str, Json]], *, width: int | None = None) -> str:
    if not rows:
        return "no studies yet. Start one: lrsearch start-study FILE"
    columns = [
        Column(head="study", cells=[row["study"] for row in rows], least=12),
        Column(head="state", cells=[row["state"] for row in rows]),
        Column(head="objective", cells=[row["objective"] for row in rows], rank=1, least=8),
        Column(head="done", cells=[f"{row['done']}/{row['budget'] or '-'}" for row in rows]),
        Column(head="running", cells=[str(row["running"]) for row in rows], rank=2),
        Column(
            head="file", cells=[row["study_file"] or "(notebook)" for row in rows], rank=3, least=12
        ),
    ]
    return "\n".join(table(columns, width))


def setting_text(record: TrialRecord, varying: frozenset[str] = frozenset()) -> str:
    """A trial's setting in one line; `varying` as for `further_text`."""
    return "(not sampled yet)" if record.setting is None else words_of(record.setting, varying)


def words_of(setting: Setting, varying: frozenset[str] = frozenset()) -> str:
    words = [
        f"{setting.optimizer} {rate_text(setting.learning_rate)} {schedule_text(setting)}",
        further_text(setting, varying),
    ]
    return "; ".join(each for each in words if each)


def trial_row(record: TrialRecord) -> dict[str, Json]:
    """One dict a trial."""
    return {
        "trial": record.number,
        "kind": record.kind.value,
        "origin": record.origin.value,
        "state": record.state.value,
        "parent": record.parent,
        "repeat": record.repeat,
        "value": record.value,
        "best_value": record.best_value,
        "best_epoch": record.best_epoch,
        "setting": record.setting.to_json() if record.setting else None,
        "seed": record.seed,
        "epochs": record.epochs,
        "steps": record.steps,
        "seconds": record.seconds,
        "attempts": record.attempt,
        "lost": record.lost,
        "engine": record.engine,
        "reason": record.reason,
    }


def trials_table(records: Sequence[TrialRecord], *, width: int | None = None) -> str:
    """A line a trial; retests after the search."""
    if not records:
        return "no trials yet."
    digits = max(4, value_digits(each.value for each in records))
    columns = [
        Column(head="trial", cells=[each.short_label for each in records], right=True),
        Column(
            head="value", cells=[value_text(each.value, digits) for each in records], right=True
        ),
        Column(head="state", cells=[each.state.value for each in records]),
        *_setting_columns(records, wide=width is None),
        Column(
            head="seconds",
            cells=[f"{each.seconds:.1f}" if each.ended else "" for each in records],
            right=True,
            rank=6,
        ),
        Column(
            head="why",
            cells=[each.reason.splitlines()[0][:90] if each.reason else "" for each in records],
            rank=4,
            least=16,
        ),
    ]
    return "\n".join(table(columns, width))


def _setting_columns(records: Sequence[TrialRecord], *, wide: bool) -> list[Column]:
    """The setting: one text where there is room for all, else its parts by their weight."""
    varying = varying_of(
        each.setting for each in records if each.setting is not None and not each.is_yours
    )
    mark = ["yours: " if each.is_yours else "" for each in records]
    if wide:
        cells = [
            name + setting_text(each, varying) for name, each in zip(mark, records, strict=True)
        ]
        return [Column(head="setting", cells=cells)]
    settings = [each.setting for each in records]
    return [
        Column(
            head="optimizer",
            cells=[
                name + (each.optimizer if each else "-")
                for name, each in zip(mark, settings, strict=True)
            ],
            rank=1,
            least=9,
        ),
        Column(
            head="rate",
            cells=[rate_text(each.learning_rate) if each else "-" for each in settings],
            rank=2,
        ),
        Column(
            head="schedule",
            cells=[schedule_text(each) if each else "-" for each in settings],
            rank=3,
            least=8,
        ),
        Column(
            head="also",
            cells=[further_text(each, varying) if each else "" for each in settings],
            rank=5,
            least=12,
        ),
    ]


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
        f"setting  {setting_text(record)}",
        f"origin   {record.origin.value}; seed {record.seed}; engine {record.engine or '-'}; {duration_text(record.seconds)}",
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


def worker_rows(workers: Sequence[WorkerRecord], *, now: float) -> list[dict[str, Json]]:
    """One dict a worker."""
    return [
        {
            "worker": each.id,
            "host": each.host,
            "pid": each.pid,
            "slot": each.slot,
            "state": each.state if each.is_there(now) else "gone",
            "seen_seconds_ago": round(max(0.0, now - each.last_seen), 1),
            "versions": dict(each.versions),
        }
        for each in workers
    ]


def workers_table(rows: Sequence[dict[str, Json]], *, width: int | None = None) -> str:
    if not rows:
        return "no workers yet."
    columns = [
        Column(head="worker", cells=[str(row["worker"]) for row in rows], right=True),
        Column(head="host", cells=[row["host"] for row in rows], rank=2, least=8),
        Column(head="pid", cells=[str(row["pid"]) for row in rows], right=True, rank=3),
        Column(head="slot", cells=[row["slot"] for row in rows]),
        Column(head="state", cells=[row["state"] for row in rows]),
        Column(
            head="last seen",
            cells=[f"{duration_text(row['seen_seconds_ago'])} ago" for row in rows],
            rank=1,
        ),
    ]
    return "\n".join(table(columns, width))
