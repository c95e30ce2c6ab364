"""Serves optuna-dashboard over a ledger, keeping its notes up to date."""

from __future__ import annotations

import socket
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from lrsearch.answer import summarise
from lrsearch.dashboard.guard import LOOPBACK, Guard
from lrsearch.errors import EnvironmentProblem, InvalidValue, LrSearchError
from lrsearch.report import write_notes
from lrsearch.storage import Mirror

if TYPE_CHECKING:
    from lrsearch.storage import Ledger

NOTES_EVERY_SECONDS = 30.0
SHORTEST_TOKEN = 16  # characters


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerIPv6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = 30  # seconds: a client that says nothing must not hold a thread for ever

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a line a request would bury everything else."""


def serve(
    ledger: Ledger,
    *,
    host: str,
    port: int,
    allow_notes: bool = False,
    token: str | None = None,
    started: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serve until interrupted; `started` is told the address.

    Raises InvalidValue for a host that other machines reach without a token, EnvironmentProblem where the port is taken.
    """
    check_reach(host, token)
    guard = Guard(application(ledger), allow_notes=allow_notes, token=token)
    kind = _ServerIPv6 if ":" in host else _Server
    try:
        server = make_server(host, port, guard, server_class=kind, handler_class=_Quiet)
    except OSError as error:
        raise EnvironmentProblem(f"cannot serve {host}:{port}: {error.strerror}.", fix="Give another --port, or 0.") from None
    ended = threading.Event()
    keeper = threading.Thread(target=_keep_notes, args=(ledger, ended), name="lrsearch-notes", daemon=True)
    keeper.start()
    shown = f"[{host}]" if ":" in host else host
    started(f"http://{shown}:{server.server_port}/dashboard")
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass
    finally:
        ended.set()
        server.server_close()
        keeper.join(timeout=5.0)


def application(ledger: Ledger) -> Any:
    """optuna-dashboard's own WSGI application over the ledger's database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own deprecations
        from optuna_dashboard import wsgi

        return wsgi(ledger.optuna_storage())


def check_reach(host: str, token: str | None) -> None:
    """Refuse to serve other machines without a token that cannot be guessed."""
    if token is not None and len(token) < SHORTEST_TOKEN:
        got = f"a token of {len(token)} characters"
        raise InvalidValue("LRSEARCH_DASHBOARD_TOKEN", got=got, allowed=f"at least {SHORTEST_TOKEN} characters long")
    if token is None and host not in LOOPBACK:
        fix = "Set LRSEARCH_DASHBOARD_TOKEN (openssl rand -hex 16), and let a proxy add TLS."
        raise InvalidValue("--host", got=host, allowed="this machine's own (127.0.0.1) without a token", fix=fix)


def refresh(ledger: Ledger) -> None:
    """Bring Optuna's rows and the notes of every study up to date."""
    storage = ledger.optuna_storage()
    for study in ledger.studies():
        Mirror(ledger).sync(study.id)
        records = ledger.trials(study.id)
        write_notes(storage, study.name, summarise(study, records), records)


def _keep_notes(ledger: Ledger, ended: threading.Event) -> None:
    while not ended.is_set():
        with suppress(LrSearchError, Exception):  # a page without fresh notes is better than none
            refresh(ledger)
        ended.wait(NOTES_EVERY_SECONDS)
