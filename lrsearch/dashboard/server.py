"""A small HTTP server for a WSGI application, with limits on connections and on time.

wsgiref's own server gives every connection a thread, for as long as the client sends a
byte now and then.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from lrsearch.dashboard.guard import Application
from lrsearch.errors import EnvironmentProblem

MOST_CONNECTIONS: Final = 64  # a browser opens six
ARRIVAL_SECONDS: Final = 15.0  # for a whole request, head and body; a note has 64 KiB
# for an answer: the page's program has 6 MB, and lines are slow
DELIVERY_SECONDS: Final = 300.0
_BUSY: Final = (
    b"HTTP/1.0 503 Service Unavailable\r\n"
    b"Retry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *args: Any, **more: Any) -> None:
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*args, **more)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the request, or refuse it where all threads are busy."""
        if self._free.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # the system has no thread left
                self._free.release()
                raise
            return
        with suppress(OSError):
            request.settimeout(0.0)  # a refusal fits into the socket's buffer
            request.sendall(_BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As inherited; frees the thread's place however the request ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that goes away or sends no request is no error here."""


class _ServerIPv6(_Server):
    address_family = socket.AF_INET6


class _RequestReader(io.RawIOBase):
    """A client's request, with one deadline for all of it.

    A client that sends a byte now and then must not occupy a thread.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._until = connection, time.monotonic() + ARRIVAL_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError after the deadline."""
        self._connection.settimeout(max(0.001, self._until - time.monotonic()))
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(DELIVERY_SECONDS)


class _ReplyWriter(io.RawIOBase):
    """The answer to a client, with a time-out.

    A client that does not read in time counts as gone, which wsgiref handles silently.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Raises ConnectionError."""
        try:
            self._connection.sendall(data)
        except TimeoutError:
            raise ConnectionAbortedError from None
        return len(data)


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        """As inherited, but reading under a deadline."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_RequestReader(self.connection))
        self.wfile = _ReplyWriter(self.connection)  # type: ignore[assignment]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing: a line per request would bury everything else."""


def bind_server(host: str, port: int, application: Application) -> WSGIServer:
    """Make a server of `application` that listens already.

    Raises EnvironmentProblem where the port is taken.
    """
    kind = _ServerIPv6 if ":" in host else _Server
    try:
        return make_server(
            host, port, application, server_class=kind, handler_class=_Handler
        )
    except OSError as error:
        text = f"cannot serve {host}:{port}: {error.strerror}."
        raise EnvironmentProblem(text, fix="Give another --port, or 0.") from None
