"""Client-side time-outs for answers that never come, and for work that must not delay others.

A server's own time-outs do not work while the server or the network does not respond: a
frozen process, a relay that accepts and forwards nothing. TCP's time-outs do not work
either while a relay acknowledges. Knows no tables.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

ANSWER_SECONDS = 35.0  # the server itself ends a statement after 30
# psycopg sends it into its generator after a tenth of a second without data
_NOTHING_YET = 0


def limit_answers(connection: Any, _record: Any) -> None:
    """Let every wait of a psycopg connection end after ANSWER_SECONDS; a pool's "connect" event.

    psycopg 3.2 and 3.3 await each statement in `Connection.wait`, whose generator is
    resumed ten times a second even when nothing came.
    """
    wait = connection.wait

    def limited(
        generator: Generator[Any, Any, T], *arguments: Any, **options: Any
    ) -> T:
        end = time.monotonic() + ANSWER_SECONDS
        answer: T = wait(_until(generator, end, connection), *arguments, **options)
        return answer

    connection.wait = limited


def _until(
    generator: Generator[Any, Any, T], end: float, connection: Any
) -> Generator[Any, Any, T]:
    """Run `generator`; raises OperationalError where nothing came by `end`, monotonic.

    The connection is closed then.
    """
    import psycopg

    try:
        wanted = next(generator)
        while True:
            ready = yield wanted
            if ready == _NOTHING_YET and time.monotonic() > end:
                # a late answer would be taken for the next statement's
                connection.pgconn.finish()
                raise psycopg.OperationalError(f"no answer within {ANSWER_SECONDS:g} s")
            wanted = generator.send(ready)
    except StopIteration as stop:
        answer: T = stop.value
        return answer


def call_detached(work: Callable[[], T]) -> Future[T]:
    """Do `work` on a thread of its own, so that the caller may go on without the result.

    The thread is a daemon: an executor's thread would keep the process from ending.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - `result` raises it again
            future.set_exception(error)

    threading.Thread(target=run, name="lrsearch-detached-call", daemon=True).start()
    return future
