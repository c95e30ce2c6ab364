"""The bill and what was spent, in one line each: before a study, under way and in its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping

from lrsearch.answer import Bill, EarlyStops, Spent
from lrsearch.answer.words import count_text
from lrsearch.report.words import duration_text, join_clauses
from lrsearch.values import Json


def bill_text(bill: Bill, now: float) -> str:
    """`40 trials + 12 retests = 52 trainings, about 12 minutes on 2 workers, done at 14:05`.

    `now` is seconds since 1970. Where the pruner may stop trials, `, or sooner where
    trials are stopped early` follows: the time is that of whole trainings.
    """
    at_once = f", {bill.at_once} at once" if bill.at_once > bill.workers else ""
    on = f"on {count_text(bill.workers, 'worker')}{at_once}"
    seconds = bill.seconds if bill.limit_seconds is None else bill.limit_seconds
    end = "" if seconds is None else f"{on}, done at {clock_text(now + seconds, now)}"
    if bill.limit_seconds is not None:
        left = f"the {duration(bill.limit_seconds)} that are left {end}"
        if bill.trials is None:
            return f"as many trials as fit into {left}, retests included"
        if not bill.trainings:
            return f"nothing more fits into {left}"
        more = ", or more where trials are stopped early" if bill.stops else ""
        return f"about {_sum(bill)} fit{'s' * (bill.trainings == 1)} into {left}{more}"
    done = f", {bill.done} done" if bill.done else ""
    if bill.seconds is None:
        why = "a step timed ahead would cost a training's start"
        return (
            f"{_sum(bill)}{done}, {on}; the first epochs show how long they take: {why}"
        )
    sooner = ", or sooner where trials are stopped early" if bill.stops else ""
    return f"{_sum(bill)}{done}, about {duration(bill.seconds)} {end}{sooner}"


def _sum(bill: Bill) -> str:
    if bill.trials is None:
        return "as many trials as the time allows"
    more = "more " if bill.limit_seconds is not None else ""
    parts = (
        [count_text(bill.trials, f"{more}trial")]
        if bill.trials or not bill.retests
        else []
    )
    parts += [count_text(bill.retests, "retest")] if bill.retests else []
    whole = (
        f" = {count_text(bill.trials + bill.retests, 'training')}"
        if len(parts) > 1
        else ""
    )
    return " + ".join(parts) + whole


def plan_text(plan: Mapping[str, Json]) -> str:
    """The lines below the bill of a plan, from the plan's JSON."""
    sizes = [
        f"{plan[f'{noun}s']:,} {noun}{'s' * (plan[f'{noun}s'] != 1)}"
        for noun in ("epoch", "update")
        if plan[f"{noun}s"] is not None
    ]
    seconds = plan["seconds_a_training"]
    known = "how long a training takes is not known"
    length = known if seconds is None else f"{duration(seconds)} a training"
    left = f"left of study {plan['study']}: " if plan["stored"] else ""
    lines = [left + join_clauses(", ".join(sizes), length), _parts(plan)]
    return join_clauses(*lines, plan["placed"], plan["engine"], between="\n")


def _parts(plan: Mapping[str, Json]) -> str:
    """The parts of a plan's time; empty where the time is not known."""
    whole, training = plan["seconds"], plan["seconds_of_training"]
    if plan["limited_by_time"] or training is None or not whole:
        return ""
    around = max(0.0, whole - training)
    return (
        f"the time is the whole command's: {duration(training)} of training, retests included, "
        f"and {duration(around)} before and after it (TensorFlow's start, the data, timed steps)"
    )


def spent_text(spent: Spent) -> str:
    """`52 trainings, 1,040 epochs, 0.21 device hours; interruptions repeated 3 epochs and 12 s`."""
    trainings = count_text(spent.trainings, "training")
    epochs = f"{spent.epochs:,} epoch{'s' * (spent.epochs != 1)}"
    text = f"{trainings}, {epochs}, {spent.device_seconds / 3600:.2g} device hours"
    if not spent.repeated_epochs and spent.repeated_seconds < 1.0:
        return text
    again = f"{count_text(spent.repeated_epochs, 'epoch')} and {duration(spent.repeated_seconds)}"
    return f"{text}; interruptions repeated {again}"


def early_stops_text(stops: EarlyStops | None) -> str:
    """`31 of 60 trials, which saved 44 % of the training; ...`; empty where nobody was stopped."""
    if stops is None or not stops.stopped + stops.controls:
        return ""
    saved = (
        f", which saved {stops.saved_share:.0%} of the training"
        if stops.stopped
        else ""
    )
    text = f"{stops.stopped} of {count_text(stops.trials, 'trial')}{saved}"
    return f"{text}; {_controls_text(stops)}" if stops.pruner == "auto" else text


def _controls_text(stops: EarlyStops) -> str:
    if not stops.controls:
        return "none that the rule would stop ran on as a control, so its mistakes are not known"
    good, one = stops.controls_among_best, stops.controls == 1
    would = f"{count_text(stops.controls, 'control')} ran on though the rule would have stopped"
    if one:
        return f"{would} it, and it {'ended' if good else 'did not end'} among the best fifth"
    return f"{would} them, and {good or 'none'} of them ended among the best fifth"


def clock_text(at: float, now: float) -> str:
    """A moment by the local clock: `14:05`, or `02:10 on 27 Nov` on another day than `now`."""
    then = time.localtime(at)
    clock = time.strftime("%H:%M", then)
    same = then[:3] == time.localtime(now)[:3]
    return clock if same else f"{clock} on {then.tm_mday} {_MONTHS[then.tm_mon - 1]}"


_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def duration(seconds: float) -> str:
    """A length of time for people: `8 s`, `4 minutes`, `2 h 10 min`."""
    return duration_text(seconds, minute="minutes")
