"""Serves our pages and optuna-dashboard until interrupted, to those who may reach them."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from lrsearch.dashboard.guard import LOOPBACK, Application, Guard
from lrsearch.dashboard.note_keeper import keep_notes
from lrsearch.dashboard.pages import Pages
from lrsearch.dashboard.prefix import (
    PrefixedDashboard,
    PrefixRemover,
    check_prefix,
    check_texts,
)
from lrsearch.dashboard.server import bind_server
from lrsearch.dashboard.study_views import StudyViews
from lrsearch.errors import InvalidValue

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

SHORTEST_TOKEN = 16  # characters


def serve(
    ledger: Ledger,
    *,
    host: str,
    port: int,
    allow_notes: bool,
    token: str | None,
    prefix: str,
    started: Callable[[str], None],
) -> None:
    """Serve until interrupted; calls `started` with the address.

    `prefix` is the path under which a proxy shows the server. Raises InvalidValue for a
    host that other machines reach without a token, EnvironmentProblem where the port is
    taken.
    """
    check_reach(host, token)
    views = StudyViews(ledger)
    with (
        _interrupt_on_sigterm(),
        suppress(KeyboardInterrupt),
        warnings.catch_warnings(),
    ):
        # of a parameter with few trials: its page says nothing of it, and a terminal
        # need not
        warnings.filterwarnings("ignore", module=r"optuna\.importance")
        guarded = guard_everything(
            ledger,
            views,
            allow_notes=allow_notes,
            token=token,
            prefix=check_prefix(prefix),
        )
        with bind_server(host, port, guarded) as server, keep_notes(ledger, views):
            shown = f"[{host}]" if ":" in host else host
            started(f"http://{shown}:{server.server_port}{prefix.rstrip('/')}/")
            server.serve_forever(poll_interval=0.2)


def guard_everything(
    ledger: Ledger,
    views: StudyViews,
    *,
    allow_notes: bool,
    token: str | None,
    prefix: str,
) -> Application:
    """Our pages, behind them optuna-dashboard, and one guard before both.

    Raises EnvironmentProblem where optuna-dashboard cannot be shown under the prefix.
    """
    theirs: Application = make_application(ledger)
    if prefix:
        check_texts()
        theirs = PrefixedDashboard(theirs, prefix)
    pages = Pages(views, theirs, prefix=prefix)
    guard = Guard(pages, allow_notes=allow_notes, token=token, prefix=prefix)
    return PrefixRemover(guard, prefix) if prefix else guard


def make_application(ledger: Ledger) -> Any:
    """Make optuna-dashboard's own WSGI application over the ledger's database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own deprecations
        from optuna_dashboard import wsgi

        return wsgi(ledger.optuna_storage())


def check_reach(host: str, token: str | None) -> None:
    """Refuse to serve other machines without a token that cannot be guessed."""
    if token is not None and len(token) < SHORTEST_TOKEN:
        got = f"a token of {len(token)} characters"
        allowed = f"at least {SHORTEST_TOKEN} characters long"
        fix = "Make one with: openssl rand -hex 16"
        raise InvalidValue(
            "LRSEARCH_DASHBOARD_TOKEN", got=got, allowed=allowed, fix=fix
        )
    if token is None and host not in LOOPBACK:
        fix = "Set LRSEARCH_DASHBOARD_TOKEN (openssl rand -hex 16), and let a proxy add TLS."
        allowed = "this machine's own (127.0.0.1) without a token"
        raise InvalidValue("--host", got=host, allowed=allowed, fix=fix)


@contextmanager
def _interrupt_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the context as Ctrl-C does.

    The first process of a container has no handler of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
