"""How far a study is: as data for programs, and as a page for people, once or watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote

from lrsearch.answer import (
    Contender,
    Spent,
    build_leaderboard,
    evidence_text,
    seconds_left,
    trainings_left,
)
from lrsearch.answer.words import count_text
from lrsearch.report.bill import spent_text
from lrsearch.report.layout import HANG, Column, bar, clauses, paragraph, table
from lrsearch.report.words import (
    duration_text,
    setting_text,
    trial_setting_text,
    value_text,
)
from lrsearch.report.workers import worker_rows
from lrsearch.storage import Counts
from lrsearch.values import (
    Json,
    StudyRecord,
    StudyState,
    TrialRecord,
    Trials,
    TrialState,
    WorkerRecord,
)

_SHOWN = 12  # running trials, and workers, on a watched page: it must fit on the screen
_BAR, _WIDE = 40, 80  # characters: the longest bar, and a page of unknown width
_ENDED = ("complete", "diverged", "pruned", "failed")


def status_data(
    study: StudyRecord,
    counts: Counts,
    records: Trials,
    workers: Sequence[WorkerRecord],
    *,
    engines: Mapping[str, Json],
    now: float,
    spent: Spent | None = None,
) -> dict[str, Json]:
    """How far a study is; `engines` are figures by machine.

    `ended` in the result means that nothing more will happen.
    """
    alive = [each for each in workers if each.is_there(now)]
    leaderboard = build_leaderboard(study.facts, records)
    return {
        "study": study.name,
        "state": study.state.value,
        "reason": study.reason,
        "objective": study.facts.objective,
        "direction": study.direction.value,
        "budget": study.trials,
        "trainings": study.trainings,
        "spent": spent.to_json() if spent else None,
        "deadline": study.deadline,
        "seconds_left": max(0.0, study.deadline - now)
        if study.deadline is not None
        else None,
        "estimated_seconds_left": seconds_left(study, records, alive, now=now),
        "done": counts.done,
        "running": counts.running,
        "waiting": counts.waiting,
        **{state: getattr(counts, state) for state in _ENDED},
        "trainings_left": trainings_left(study, records),
        "retests": {"planned": counts.retests, "done": counts.retests_done},
        "workers": worker_rows(alive, now=now),
        "engines": dict(engines),
        "training": [
            _training(each) for each in records if each.state is TrialState.RUNNING
        ],
        "best": _short(leaderboard.best),
        "yours": _short(leaderboard.yours),
        "exact_resume": study.facts.exact_order,
        "ended": study.state in {StudyState.FINISHED, StudyState.BROKEN}
        and not counts.running,
    }


def status_text(
    data: dict[str, Json], *, width: int | None = None, watched: bool = False
) -> str:
    """What `status_data` says, for people, in `width` columns where a width is given.

    A `watched` page begins with a bar and the time left.
    """
    reason = f" ({data['reason'].strip().splitlines()[-1]})" if data["reason"] else ""
    lines = [
        paragraph(f"study {data['study']}: {data['state']}{reason}", width, hang=HANG)
    ]
    if watched:
        lines.append(_bar_line(data, width))
    lines += _count_lines(data, width)
    if (time := _time_line(data)) and not watched:
        lines.append(time)
    lines += _result_lines(data, width)
    lines += _running_lines(data["training"], width, shown=_SHOWN if watched else None)
    lines += _alive_lines(data["workers"], width, shown=_SHOWN if watched else None)
    lines += [
        paragraph(f"engine   {machine}: {known['reason']}", width, hang=HANG)
        for machine, known in data["engines"].items()
    ]
    if not data["workers"] and not data["ended"]:
        lines.append(f"no worker. Attach some: lrsearch attach {quote(data['study'])}")
    if not data["exact_resume"]:
        lines.append(
            "an interrupted trial resumes inexactly: the data brings its own order"
        )
    return "\n".join(lines)


def _bar_line(data: dict[str, Json], width: int | None) -> str:
    """A bar of all trainings, retests included, then the time left."""
    done, left = data["done"] + data["retests"]["done"], data["trainings_left"]
    estimated = data["estimated_seconds_left"]
    if data["ended"] or not data["workers"]:
        time = "ended" if data["ended"] else "no worker"
    elif estimated is None:
        time = "time left unknown yet"
    else:
        time = f"about {duration_text(estimated)} left"
    if left is None:  # time alone limits the study
        return clauses([time, f"{count_text(done, 'training')} done"], width)
    beside = clauses([f"{done}/{done + left}", time], None, between="  ")
    return f"{bar(done, done + left, min(_BAR, (width or _WIDE) - len(beside) - 2))}  {beside}"


def _count_lines(data: dict[str, Json], width: int | None) -> list[str]:
    budget = (
        f"{data['done']} of {data['budget']}" if data["budget"] else str(data["done"])
    )
    stand = (
        f"trials   {budget} done, {data['running']} running, {data['waiting']} waiting"
    )
    lines = [clauses([stand, _kinds(data, every=width is None)], width, between="; ")]
    if data["retests"]["planned"]:
        lines.append(
            f"retests  {data['retests']['done']} of {data['retests']['planned']} done"
        )
    if data["trainings"]:
        lines.append(
            f"limit    {count_text(data['trainings'], 'training')}, retests included"
        )
    if data["spent"]:
        lines.append(
            paragraph(
                f"spent    {spent_text(Spent(**data['spent']))}", width, hang=HANG
            )
        )
    return lines


def _time_line(data: dict[str, Json]) -> str:
    """The deadline, and the estimate while something is trained."""
    deadline, estimated = data["seconds_left"], data["estimated_seconds_left"]
    parts = [] if deadline is None else [f"{duration_text(deadline)} left"]
    if estimated and data["running"] + len(data["training"]) and estimated != deadline:
        parts.append(f"about {duration_text(estimated)} to go")
    return f"time     {', '.join(parts)}" if parts else ""


def _result_lines(data: dict[str, Json], width: int | None) -> list[str]:
    """The best and yours: value, trial, evidence, setting."""
    results = {label: data[label] for label in ("best", "yours") if data[label]}
    rows = results.values()
    values = [
        each["state"] if each["value"] is None else value_text(each["value"])
        for each in rows
    ]
    columns = [
        Column("", [label.ljust(len(HANG) - 2) for label in results]),
        Column("", values),
        Column("", [f"trial {each['trial']} ({each['evidence']})" for each in rows]),
        Column("", [each["setting"] for each in rows], rank=1, least=12),
    ]
    return table(columns, width) if results else []


def _running_lines(
    training: Sequence[dict[str, Json]], width: int | None, *, shown: int | None
) -> list[str]:
    rows = training[:shown]
    attempts = [
        f"attempt {each['attempt']}" if each["attempt"] > 1 else "" for each in rows
    ]
    columns = [
        Column("", ["running"] * len(rows)),
        Column("", [each["label"] for each in rows]),
        Column("", attempts, rank=1),
        Column("", [each["setting"] for each in rows], rank=2, least=12),
    ]
    return _lines(columns, width, "running", len(training) - len(rows))


def _alive_lines(
    workers: Sequence[dict[str, Json]], width: int | None, *, shown: int | None
) -> list[str]:
    rows = workers[:shown]
    columns = [
        Column("", ["worker "] * len(rows)),
        Column("", [f"{row['host']}:{row['pid']}" for row in rows], rank=1, least=12),
        Column("", [row["slot"] for row in rows]),
        Column("", [row["state"] for row in rows]),
    ]
    return _lines(columns, width, "worker", len(workers) - len(rows))


def _lines(
    columns: Sequence[Column], width: int | None, label: str, more: int
) -> list[str]:
    """The table, and how many rows it leaves out."""
    lines = table([each for each in columns if not each.empty], width)
    return [*lines, f"{label:<{len(HANG)}}and {more} more"] if more else lines


def _kinds(data: dict[str, Json], *, every: bool) -> str:
    """How the trials ended; with `every`, states without a trial too."""
    return ", ".join(
        f"{data[state]} {state}" for state in _ENDED if every or data[state]
    )


def _training(record: TrialRecord) -> dict[str, Json]:
    return {
        "label": record.label,
        "attempt": record.attempt,
        "worker": record.worker,
        "setting": trial_setting_text(record),
    }


def _short(each: Contender | None) -> dict[str, Json] | None:
    if each is None:
        return None
    return {
        "trial": each.trial,
        "state": each.state.value,
        "value": each.value,
        "evidence": evidence_text(each.retest),
        "setting": setting_text(each.setting),
    }
