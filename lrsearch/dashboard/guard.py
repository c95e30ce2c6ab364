"""A WSGI filter before optuna-dashboard, whose own API asks nobody for a name and can delete studies.

By default GET and HEAD alone pass. With `allow_notes` a page of this very server may also save notes; nothing else can be
written, since results belong to the ledger. Without a token only this machine's own names are served (a foreign Host header
is DNS rebinding); with one, every request must bring it.
"""

from __future__ import annotations

import hmac
import io
import re
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

Environ: TypeAlias = dict[str, Any]
Start: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environ, Start], Iterable[bytes]]

COOKIE = "lrsearch_token"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
LONGEST_BODY = 64 * 1024  # bytes: a long note
_NOTE = re.compile(r"/api/studies/\d+(/\d+)?/note")
_FORBIDDEN = re.compile(r"/incompatible-rdb-schema")  # migrates the database on a POST, from any page
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
_POLICY = "default-src 'self'; frame-ancestors 'none'"


class Guard:
    """See the module. `token` None: only for a server that this machine alone can reach."""

    def __init__(self, application: Application, *, allow_notes: bool = False, token: str | None = None) -> None:
        self._application, self._allow_notes, self._token = application, allow_notes, token

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        refusal = self._refusal(environ)
        if refusal is not None:
            return _answer(start, *refusal)
        if self._token is not None and (given := _query_token(environ)) and self._fits(given):
            return _welcome(start, given)
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            environ = {**environ, "wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0"}
        return self._application(environ, _guarded(start))

    def _refusal(self, environ: Environ) -> tuple[str, str] | None:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if self._token is None and host_of(environ.get("HTTP_HOST", "")) not in LOOPBACK:
            return "403 Forbidden", "this dashboard serves this machine alone"
        if self._token is not None and not self._known(environ):
            return "401 Unauthorized", "open the dashboard with ?token=... once, or send it as a bearer token"
        if _FORBIDDEN.match(path):
            return "404 Not Found", "not here"
        if method in {"GET", "HEAD"}:
            return None
        return self._refused_write(environ, method, path)

    def _refused_write(self, environ: Environ, method: str, path: str) -> tuple[str, str] | None:
        if not (self._allow_notes and method == "PUT" and _NOTE.fullmatch(path)):
            return "405 Method Not Allowed", "this dashboard is read-only; results are changed by lrsearch's own commands"
        origin = environ.get("HTTP_ORIGIN", "")
        if urlsplit(origin).netloc != environ.get("HTTP_HOST", ""):
            return "403 Forbidden", "a note can be saved from the dashboard's own page only"
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdigit() or int(length) > LONGEST_BODY:
            return "413 Content Too Large", f"a note may have {LONGEST_BODY} bytes"
        return None

    def _known(self, environ: Environ) -> bool:
        header = environ.get("HTTP_AUTHORIZATION", "")
        given = [header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else "", _cookie_token(environ)]
        return any(self._fits(each) for each in (*given, _query_token(environ)))

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), (self._token or "").encode())


def host_of(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.rpartition(":")[0] if name.count(":") == 1 else name


def _cookie_token(environ: Environ) -> str:
    try:
        found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _query_token(environ: Environ) -> str:
    found: list[str] = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])
    return found[0]


def _welcome(start: Start, token: str) -> Iterable[bytes]:
    """Keep the token in a cookie and take it out of the address."""
    cookie = SimpleCookie({COOKIE: token})
    cookie[COOKIE]["path"], cookie[COOKIE]["httponly"], cookie[COOKIE]["samesite"] = "/", True, "Strict"
    start("303 See Other", [("Location", "/dashboard"), ("Set-Cookie", cookie[COOKIE].OutputString()), *_HEADERS])
    return [b""]


def _answer(start: Start, status: str, text: str) -> Iterable[bytes]:
    body = f"{text}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *_HEADERS]
    if status.startswith("401"):
        headers.append(("WWW-Authenticate", "Bearer"))
    start(status, [*headers, ("Content-Security-Policy", _POLICY)])
    return [body]


def _guarded(start: Start) -> Start:
    """`start` with our headers; what lets other sites read is taken out."""

    def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        named = {name.lower(): value for name, value in headers}
        kept = [
            (name, value)
            for name, value in headers
            if not name.lower().startswith("access-control-") and name.lower() != "content-security-policy"
        ]
        policy = named.get("content-security-policy")
        policy = f"{policy}; frame-ancestors 'none'" if policy else _POLICY
        return start(status, [*kept, *_HEADERS, ("Content-Security-Policy", policy)], *more)

    return started
