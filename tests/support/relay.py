"""A TCP relay between workers and a server, which tests close, or turn into a black
hole, and open again.
"""

from __future__ import annotations

import contextlib
import socket
import threading

PIECE = 65536


class Relay:
    """Listens on a free port of this machine and forwards to `port`, both ways.

    `hole()` goes on accepting and acknowledging, and forwards nothing: neither side
    learns anything, no TCP time-out fires. `close()` resets what is open and refuses
    what comes. `open()` ends either; what a hole swallowed is lost with its connection.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._pairs: list[tuple[socket.socket, socket.socket | None]] = []
        self._lock = threading.Lock()
        self._holds = False
        self._listener: socket.socket | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.swallowed = 0  # bytes, and connections that were accepted for nothing
        self.open()

    def open(self) -> None:
        """Forward; connections that a hole swallowed are reset."""
        if self._holds:
            self._reset()  # first: what lost bytes must not go on
            self._holds = False
            self._reset()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=200)
            threading.Thread(
                target=self._accept, args=(self._listener,), daemon=True
            ).start()

    def hole(self) -> None:
        """Accept and acknowledge everything, forward nothing."""
        self._holds = True

    def close(self) -> None:
        """Refuse new connections and reset the old ones."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                # wakes the thread that accepts
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._reset()

    def _reset(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for each in (end for pair in pairs for end in pair if end is not None):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = None
            if not self._holds:
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    client.close()
                    continue
            with self._lock:
                self._pairs.append((client, server))
            if server is not None:
                for ends in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._forward, args=ends, daemon=True
                    ).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(PIECE):
                if not self._holds:
                    other.sendall(data)
            other.shutdown(socket.SHUT_WR)
