"""A WSGI filter before all pages: optuna-dashboard's API has no login and can delete studies.

By default only GET and HEAD pass. With `allow_notes` a page of this very server may
also save notes; nothing else can be written, since results belong to the ledger.
Without a token only this machine's own host names are served (a foreign Host header is
DNS rebinding); with a token, every request must send it. Two requests that make
optuna-dashboard 0.21 fail are handled here: an `after` that is no number, and a header
value that HTTP cannot carry.
"""

from __future__ import annotations

import hmac
import io
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote, unquote, urlsplit

from lrsearch.dashboard import login

Environ: TypeAlias = dict[str, Any]
Start: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environ, Start], Iterable[bytes]]

COOKIE = login.COOKIE
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
LONGEST_BODY = 64 * 1024  # bytes: a long note
_NOTE = re.compile(r"/api/studies/\d+(/\d+)?/note")
# This path migrates the database on a POST from any page.
_FORBIDDEN = re.compile(r"/incompatible-rdb-schema")
_DETAIL = re.compile(r"/api/studies/\d+")
_WHOLE = re.compile(r"[0-9]{1,9}")
_HEADERS = [
    ("Cache-Control", "no-store"),  # shared browsers and proxies must not keep results
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
_POLICY = "default-src 'self'; frame-ancestors 'none'"


class Guard:
    """See the module. `token` None: only for a server that this machine alone can reach.

    `prefix` is the path under which a proxy shows the server.
    """

    def __init__(
        self,
        application: Application,
        *,
        allow_notes: bool = False,
        token: str | None = None,
        prefix: str = "",
    ) -> None:
        self._application = application
        self._allow_notes = allow_notes
        self._token = token
        self._prefix = prefix

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        if self._token is not None and _is_login(environ):
            return self._log_in(environ, start)
        refusal = self._refuse(environ)
        if refusal is not None:
            form = refusal[0].startswith("401") and login.wants_form(environ)
            return self._ask_token(start) if form else _respond(start, *refusal)
        if (
            self._token is not None
            and (token := _query_token(environ))
            and self._matches(token)
        ):
            return self._accept_token(start, token, environ.get("PATH_INFO", ""))
        reads = environ["REQUEST_METHOD"] in {"GET", "HEAD"}
        length = 0 if reads else int(environ.get("CONTENT_LENGTH") or 0)
        try:
            body = environ["wsgi.input"].read(length) if length else b""
        except TimeoutError:
            return _respond(
                start, "408 Request Timeout", "the note did not arrive in time"
            )
        passed = {
            **environ,
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
        }
        # without one, its static files are errors
        passed.setdefault("HTTP_ACCEPT_ENCODING", "")
        return self._application(passed, _add_headers(start))

    def _log_in(self, environ: Environ, start: Start) -> Iterable[bytes]:
        try:
            token = login.token_of_form(environ)
        except TimeoutError:
            return _respond(
                start, "408 Request Timeout", "the token did not arrive in time"
            )
        if self._matches(token):
            return self._accept_token(start, token, "/")
        return self._ask_token(start, wrong=True)

    def _ask_token(self, start: Start, *, wrong: bool = False) -> Iterable[bytes]:
        text = login.login_page(self._prefix, wrong=wrong)
        policy = login.login_policy()
        return _respond(
            start, "401 Unauthorized", text, kind="text/html", policy=policy
        )

    def _accept_token(self, start: Start, token: str, path: str) -> Iterable[bytes]:
        start(
            "303 See Other",
            [*login.cookie_headers(token, self._prefix, path), *_HEADERS],
        )
        return [b""]

    def _refuse(self, environ: Environ) -> tuple[str, str] | None:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if (
            self._token is None
            and parse_host(environ.get("HTTP_HOST", "")) not in LOOPBACK
        ):
            return "403 Forbidden", "this dashboard serves this machine alone"
        if self._token is not None and not self._has_token(environ):
            return (
                "401 Unauthorized",
                "open the dashboard with ?token=... once, or send it as a bearer token",
            )
        if _FORBIDDEN.match(path):
            return "404 Not Found", "not here"
        if method not in {"GET", "HEAD"}:
            return self._refuse_write(environ, method, path)
        # Bottle separates at both
        query = environ.get("QUERY_STRING", "").replace(";", "&")
        after = parse_qs(query, keep_blank_values=True).get("after", ())
        if _DETAIL.fullmatch(path) and not all(
            _WHOLE.fullmatch(each) for each in after
        ):
            return "400 Bad Request", "after must be a whole number of trials, from 0"
        return None

    def _refuse_write(
        self, environ: Environ, method: str, path: str
    ) -> tuple[str, str] | None:
        if not (self._allow_notes and method == "PUT" and _NOTE.fullmatch(path)):
            return (
                "405 Method Not Allowed",
                "this dashboard is read-only; results are changed by lrsearch's own commands",
            )
        origin = environ.get("HTTP_ORIGIN", "")
        if urlsplit(origin).netloc != environ.get("HTTP_HOST", ""):
            return (
                "403 Forbidden",
                "a note can be saved from the dashboard's own page only",
            )
        if environ.get("HTTP_TRANSFER_ENCODING"):
            return (
                "411 Length Required",
                "a note must come with its length: a body in chunks has none",
            )
        length = environ.get("CONTENT_LENGTH") or "0"
        if not _WHOLE.fullmatch(length) or int(length) > LONGEST_BODY:
            return "413 Content Too Large", f"a note may have {LONGEST_BODY} bytes"
        return None

    def _has_token(self, environ: Environ) -> bool:
        tokens = (
            _bearer_token(environ),
            *_cookie_tokens(environ),
            _query_token(environ),
        )
        return any(map(self._matches, tokens))

    def _matches(self, token: str) -> bool:
        known = (self._token or "").encode()
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), known)


def parse_host(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.rpartition(":")[0] if name.count(":") == 1 else name


def _bearer_token(environ: Environ) -> str:
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _cookie_tokens(environ: Environ) -> list[str]:
    """Every cookie of our name.

    All ports of a host share their cookies, and other servers' may be malformed: a
    strict parser would fail at them.
    """
    pairs = (
        each.strip().partition("=")
        for each in environ.get("HTTP_COOKIE", "").split(";")
    )
    return [
        unquote(value.strip(), errors="replace")
        for name, _, value in pairs
        if name.strip() == COOKIE
    ]


def _query_token(environ: Environ) -> str:
    tokens: list[str] = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])
    return tokens[0]


def _is_login(environ: Environ) -> bool:
    return (
        environ["REQUEST_METHOD"] == "POST" and environ.get("PATH_INFO") == login.PATH
    )


def _respond(
    start: Start,
    status: str,
    text: str,
    *,
    kind: str = "text/plain",
    policy: str = _POLICY,
) -> Iterable[bytes]:
    body = f"{text}\n".encode()
    headers = [
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *_HEADERS,
    ]
    if status.startswith("401"):
        headers.append(("WWW-Authenticate", "Bearer"))
    start(status, [*headers, ("Content-Security-Policy", policy)])
    return [body]


def _add_headers(start: Start) -> Start:
    """Wrap `start` to add our headers and drop those that let other sites read."""

    def start_guarded(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        named = {name.lower(): value for name, value in headers}
        ours = {"content-security-policy", *(name.lower() for name, _ in _HEADERS)}
        kept = [
            (name, _encode_header(name, value))
            for name, value in headers
            if not name.lower().startswith("access-control-")
            and name.lower() not in ours
        ]
        policy = named.get("content-security-policy")
        policy = f"{policy}; frame-ancestors 'none'" if policy else _POLICY
        return start(
            status, [*kept, *_HEADERS, ("Content-Security-Policy", policy)], *more
        )

    return start_guarded


def _encode_header(name: str, value: str) -> str:
    """Encode a header's value for HTTP; a file's name outside ASCII is written by RFC 6266."""
    if value.isascii() and value.isprintable():
        return value
    # WSGI has the bytes as Latin-1; the text itself is UTF-8.
    text = value.encode("latin-1", "replace").decode("utf-8", "replace")
    if name.lower() != "content-disposition":
        return quote(text, safe=" ;,=/")
    file = text.partition("filename=")[2].strip('"')
    plain = re.sub(r"[^ -~]|[\"\\]", "_", file)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file, safe='')}"
