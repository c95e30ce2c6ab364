"""The worker's loop: claim -> sample -> train -> tell, until nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrsearch.storage import Done, PlanRetests, Wait
from lrsearch.worker.desk import Desk

if TYPE_CHECKING:
    from lrsearch.engine.contract import Engine


def work(desk: Desk, engine: Engine, *, until: str = "done") -> str:
    """Train a study's trials until its budget is spent or the worker is told to stop; returns why
    it ended.

    `until` "idle" ends it also where others still train and nothing is left for this worker now.

    The desk claims and samples when the engine asks for an attempt, and records what the engine
    yields. An exception that leaves the engine ends the loop: where this worker was told to stop,
    an exit puts back what is held; any other (the engine's own fault) leaves the lease to lapse, so
    that the attempt counts as lost and cannot be tried for ever.
    """
    try:
        while True:
            for outcome in engine.train(desk.source, desk.watch, desk.save):
                desk.tell(outcome)
            match desk.answer:
                case Done(reason):
                    return reason
                case PlanRetests(room, exactly):
                    desk.plan_retests(room, exactly)
                case Wait(seconds):
                    if until == "idle":
                        return "nothing to train now"
                    desk.heart.rest(seconds)
    except (KeyboardInterrupt, SystemExit):
        if desk.told_to_stop():
            desk.abandon("interrupted")
        raise
