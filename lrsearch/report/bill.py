"""The bill and what was spent, in one line each: the same before a study, under way and in its
answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from lrsearch.answer import Bill, Spent
from lrsearch.report.words import counted, duration_text
from lrsearch.values import Json


def bill_text(bill: Bill, now: float) -> str:
    """`40 trials + 12 retests = 52 trainings, about 12 minutes on 2 workers, done at 14:05`; `now`
    is seconds since 1970.
    """
    on = f"on {counted(bill.workers, 'worker')}" + (
        f", {bill.at_once} at once" if bill.at_once > bill.workers else ""
    )
    if bill.limit_seconds is not None:
        left = f"the {duration(bill.limit_seconds)} that are left {on}, done at {clock_text(now + bill.limit_seconds, now)}"
        if bill.trials is None:
            return f"as many trials as fit into {left}, retests included"
        one = bill.trainings == 1
        return (
            f"about {_sum(bill)} fit{'s' * one} into {left}"
            if bill.trainings
            else f"nothing more fits into {left}"
        )
    done = f", {bill.done} done" if bill.done else ""
    if bill.seconds is None:
        why = "a step timed ahead would cost a training's start"
        return f"{_sum(bill)}{done}, {on}; the first epochs show how long they take: {why}"
    return f"{_sum(bill)}{done}, about {duration(bill.seconds)} {on}, done at {clock_text(now + bill.seconds, now)}"


def _sum(bill: Bill) -> str:
    if bill.trials is None:
        return "as many trials as the time allows"
    more = "more " if bill.limit_seconds is not None else ""
    parts = [counted(bill.trials, f"{more}trial")] if bill.trials or not bill.retests else []
    parts += [counted(bill.retests, "retest")] if bill.retests else []
    whole = f" = {counted(bill.trials + bill.retests, 'training')}" if len(parts) > 1 else ""
    return " + ".join(parts) + whole


def plan_text(plan: Mapping[str, Json]) -> str:
    """What stands below the bill of a plan, as its JSON has it."""
    whole = {"epoch": plan["epochs"], "update": plan["updates"]}
    sizes = ", ".join(
        f"{number:,} {noun}{'s' * (number != 1)}"
        for noun, number in whole.items()
        if number is not None
    )
    each = plan["seconds_a_training"]
    lasts = (
        "how long a training takes is not known" if each is None else f"{duration(each)} a training"
    )
    left = f"left of study {plan['study']}: " if plan["stored"] else ""
    lines = [left + "; ".join(filter(None, [sizes, lasts])), _parts(plan)]
    return "\n".join(filter(None, [*lines, plan["placed"], plan["engine"]]))


def _parts(plan: Mapping[str, Json]) -> str:
    """What the time of a plan contains, where it is known."""
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
    begun = (
        f"{counted(spent.trainings, 'training')}, {spent.epochs:,} epoch{'s' * (spent.epochs != 1)}"
    )
    hours = f"{spent.device_seconds / 3600:.2g} device hours"
    if not spent.repeated_epochs and spent.repeated_seconds < 1.0:
        return f"{begun}, {hours}"
    again = f"{counted(spent.repeated_epochs, 'epoch')} and {duration(spent.repeated_seconds)}"
    return f"{begun}, {hours}; interruptions repeated {again}"


def clock_text(at: float, now: float) -> str:
    """A moment by the local clock: `14:05`, or `02:10 on 27 Nov` where that is another day than
    `now`.
    """
    then = time.localtime(at)
    clock = time.strftime("%H:%M", then)
    same = then[:3] == time.localtime(now)[:3]
    return clock if same else f"{clock} on {then.tm_mday} {_MONTHS[then.tm_mon - 1]}"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def duration(seconds: float) -> str:
    """A length of time for people: `8 s`, `4 minutes`, `2 h 10 min`."""
    return duration_text(seconds, minute="minutes")
