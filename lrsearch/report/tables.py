"""Studies, trials, workers and progress: as data for programs, and as aligned text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote

from lrsearch.answer import Contender, Spent, evidence_text, seconds_left, standing
from lrsearch.report.bill import spent_text
from lrsearch.report.words import (
    columns,
    counted,
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
    Kind,
    Origin,
    Setting,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
    WorkerRecord,
)

GONE_SECONDS = 180.0  # three leases without a word: the worker is taken for gone
_LATEST = 12  # epochs of a curve that the page of a trial shows


def study_rows(studies: Sequence[tuple[StudyRecord, Counts]]) -> list[dict[str, Json]]:
    """One dict a study."""
    return [
        {
            "study": study.name,
            "state": study.state.value,
            "objective": study.plan.facts.objective,
            "direction": study.plan.facts.direction.value,
            "budget": study.trials,
            "done": counts.done,
            "running": counts.running,
            "created_at": study.created_at,
            "study_file": study.plan.study_file,
        }
        for study, counts in studies
    ]


def studies_table(rows: Sequence[dict[str, Json]]) -> str:
    if not rows:
        return "no studies yet. Start one: lrsearch start-study FILE"
    head = ["study", "state", "objective", "done", "running", "file"]
    body = [
        [
            row["study"],
            row["state"],
            row["objective"],
            f"{row['done']}/{row['budget'] or '-'}",
            str(row["running"]),
            row["study_file"] or "(notebook)",
        ]
        for row in rows
    ]
    return "\n".join(columns([head, *body]))


def status_data(
    study: StudyRecord,
    counts: Counts,
    records: Sequence[TrialRecord],
    workers: Sequence[WorkerRecord],
    *,
    engines: Mapping[str, Json],
    now: float,
    spent: Spent | None = None,
) -> dict[str, Json]:
    """How far a study is. `ended` says that nothing will happen any more; `engines` are the figures by machine."""
    alive = [each for each in workers if each.state != "gone" and now - each.last_seen < GONE_SECONDS]
    stands = standing(study.plan.facts, records)
    return {
        "study": study.name,
        "state": study.state.value,
        "reason": study.reason,
        "objective": study.plan.facts.objective,
        "direction": study.plan.facts.direction.value,
        "budget": study.trials,
        "trainings": study.trainings,
        "spent": spent.to_json() if spent else None,
        "deadline": study.deadline,
        "seconds_left": max(0.0, study.deadline - now) if study.deadline is not None else None,
        "estimated_seconds_left": seconds_left(study, records, alive, now=now),
        "done": counts.done,
        "running": counts.running,
        "waiting": counts.waiting,
        **{state: getattr(counts, state) for state in ("complete", "diverged", "pruned", "failed")},
        "retests": {"planned": counts.retests, "done": counts.retests_done},
        "workers": worker_rows(alive, now=now),
        "engines": dict(engines),
        "training": [_training(each) for each in records if each.state is TrialState.RUNNING],
        "best": _short(stands.best),
        "yours": _short(stands.yours),
        "exact_resume": study.plan.facts.exact_order,
        "ended": study.state in {StudyState.FINISHED, StudyState.BROKEN} and not counts.running,
    }


def status_text(data: dict[str, Json]) -> str:
    """The same for people."""
    budget = f"{data['done']} of {data['budget']}" if data["budget"] else str(data["done"])
    lines = [
        f"study {data['study']}: {data['state']}" + (f" ({data['reason'].strip().splitlines()[-1]})" if data["reason"] else ""),
        f"trials   {budget} done, {data['running']} running, {data['waiting']} waiting; {_kinds(data)}",
    ]
    if data["retests"]["planned"]:
        lines.append(f"retests  {data['retests']['done']} of {data['retests']['planned']} done")
    if data["trainings"]:
        lines.append(f"limit    {counted(data['trainings'], 'training')}, retests included")
    if data["spent"]:
        lines.append(f"spent    {spent_text(Spent(**data['spent']))}")
    if time := _time_line(data):
        lines.append(time)
    lines += [_result_line(label, data[label]) for label in ("best", "yours") if data[label]]
    lines += [f"running  {each['label']}  {each['setting']}" for each in data["training"]]
    lines += [f"worker   {row['host']}:{row['pid']} {row['slot']} {row['state']}" for row in data["workers"]]
    lines += [f"engine   {machine}: {figures['reason']}" for machine, figures in data["engines"].items()]
    if not data["workers"] and not data["ended"]:
        lines.append(f"no worker. Attach some: lrsearch attach {quote(data['study'])}")
    if not data["exact_resume"]:
        lines.append("an interrupted trial resumes inexactly: the data brings its own order")
    return "\n".join(lines)


def _time_line(data: dict[str, Json]) -> str:
    """The deadline, and the estimate while something is trained."""
    deadline, estimated = data["seconds_left"], data["estimated_seconds_left"]
    parts = [] if deadline is None else [f"{duration_text(deadline)} left"]
    if estimated and data["running"] + len(data["training"]) and estimated != deadline:
        parts.append(f"about {duration_text(estimated)} to go")
    return f"time     {', '.join(parts)}" if parts else ""


def _result_line(label: str, result: dict[str, Json]) -> str:
    value = result["state"] if result["value"] is None else value_text(result["value"])
    return f"{label:<8} {value}  trial {result['trial']} ({result['evidence']})  {result['setting']}"


def _kinds(data: dict[str, Json]) -> str:
    return ", ".join(f"{data[state]} {state}" for state in ("complete", "diverged", "pruned", "failed"))


def _training(record: TrialRecord) -> dict[str, Json]:
    return {"label": record.label, "attempt": record.attempt, "worker": record.worker, "setting": setting_text(record)}


def _short(each: Contender | None) -> dict[str, Json] | None:
    if each is None:
        return None
    return {
        "trial": each.trial,
        "state": each.state.value,
        "value": each.value,
        "evidence": evidence_text(each.retest),
        "setting": _in_words(each.setting),
    }


def setting_text(record: TrialRecord, varying: frozenset[str] = frozenset()) -> str:
    """A trial's setting in one line; `varying` as for `further_text`."""
    return "(not sampled yet)" if record.setting is None else _in_words(record.setting, varying)


def _in_words(setting: Setting, varying: frozenset[str] = frozenset()) -> str:
    words = [f"{setting.optimizer} {rate_text(setting.learning_rate)} {schedule_text(setting)}", further_text(setting, varying)]
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


def trials_table(records: Sequence[TrialRecord]) -> str:
    """A line a trial; retests after the search."""
    if not records:
        return "no trials yet."
    digits = max(4, value_digits(each.value for each in records))
    varying = varying_of(each.setting for each in records if each.setting is not None and each.origin is not Origin.YOURS)
    head = ["trial", "value", "state", "setting", "seconds", "why"]
    body = [
        [
            str(each.number) if each.kind is Kind.SEARCH else f"{each.parent}/{(each.repeat or 0) + 1}",
            value_text(each.value, digits),
            each.state.value,
            ("yours: " if each.origin is Origin.YOURS else "") + setting_text(each, varying),
            f"{each.seconds:.1f}" if each.state.terminal else "",
            each.reason.splitlines()[0][:90] if each.reason else "",
        ]
        for each in records
    ]
    return "\n".join(columns([head, *body], right=(0, 1, 4)))


def trial_data(record: TrialRecord, curve: Sequence[CurvePoint], attempts: Sequence[AttemptRecord]) -> dict[str, Json]:
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
            {"epoch": each.epoch, "step": each.step, "rate": each.rate, "value": each.value, **each.logs} for each in curve
        ],
    }


def trial_text(record: TrialRecord, data: dict[str, Json]) -> str:
    """The same for people: setting, attempts, the curve's end, the error."""
    lines = [
        f"{record.label}: {record.state.value}" + (f" ({record.reason})" if record.reason else ""),
        f"setting  {setting_text(record)}",
        f"origin   {record.origin.value}; seed {record.seed}; engine {record.engine or '-'}; {duration_text(record.seconds)}",
        f"value    {value_text(record.value)}"
        + (f"; best {value_text(record.best_value)} at epoch {record.best_epoch}" if record.best_epoch else ""),
    ]
    if record.setting is not None and record.setting.batch_size is not None:
        lines.append(f"batch    {record.setting.batch_size}")
    if record.setting is not None and any(record.setting.hyper.values()):
        lines.append("hyper    " + ", ".join(f"{name} {value:g}" for name, value in record.setting.hyper.items() if value))
    lines += [f"note     {note}" for note in record.notes]
    lines += [
        f"attempt  {each['attempt']}: {each['status']}" + (f" ({each['reason']})" if each["reason"] else "")
        for each in data["attempt_list"]
    ]
    lines += _curve_lines(data["curve"])
    return "\n".join([*lines, *([record.traceback_text.rstrip()] if record.traceback_text else [])])


def _curve_lines(curve: Sequence[dict[str, Json]]) -> list[str]:
    if not curve:
        return []
    names = [name for name in curve[-1] if name not in {"epoch", "step", "rate", "value"}]
    head = ["epoch", "step", "rate", *names]
    shown = curve[-_LATEST:]
    rows = [
        [str(each["epoch"]), str(each["step"]), rate_text(each["rate"]), *(value_text(each.get(name)) for name in names)]
        for each in shown
    ]
    more = [f"({len(curve) - len(shown)} earlier epochs: --json)"] if len(curve) > len(shown) else []
    return ["", *columns([head, *rows], right=tuple(range(len(head)))), *more]


def worker_rows(workers: Sequence[WorkerRecord], *, now: float) -> list[dict[str, Json]]:
    """One dict a worker."""
    return [
        {
            "worker": each.id,
            "host": each.host,
            "pid": each.pid,
            "slot": each.slot,
            "state": "gone" if each.state != "gone" and now - each.last_seen > GONE_SECONDS else each.state,
            "seen_seconds_ago": round(max(0.0, now - each.last_seen), 1),
            "versions": dict(each.versions),
        }
        for each in workers
    ]


def workers_table(rows: Sequence[dict[str, Json]]) -> str:
    if not rows:
        return "no workers yet."
    head = ["worker", "host", "pid", "slot", "state", "last seen"]
    body = [
        [
            str(row["worker"]),
            row["host"],
            str(row["pid"]),
            row["slot"],
            row["state"],
            f"{duration_text(row['seen_seconds_ago'])} ago",
        ]
        for row in rows
    ]
    return "\n".join(columns([head, *body], right=(0, 2)))
