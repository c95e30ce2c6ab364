"""A path under which a proxy shows the whole server, such as `/lrsearch`.

optuna-dashboard knows its own place as a text in its program. The texts are replaced
while the program is sent; they were read in optuna-dashboard 0.21.0, and a program
without them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

from lrsearch.dashboard.guard import Application, Environ, Start
from lrsearch.errors import EnvironmentProblem, InvalidValue

# by path: what is replaced there, `%s` being the prefix
TEXTS: Final[Mapping[str, Mapping[bytes, bytes]]] = {
    "/static/bundle.js": {
        b'url_prefix:"/dashboard"': b'url_prefix:"%s/dashboard"',
        b"this.baseURL=(e=>": b'this.baseURL="%s"+(e=>',
        b"`/csv/": b"`%s/csv/",
        b"`/artifacts/": b"`%s/artifacts/",
    },
    "/dashboard": {
        b'src="/static/bundle.js"': b'src="%s/static/bundle.js"',
        # a page that names no icon has the browser ask for one at the host's root
        b"</head>": b'<link rel="icon" href="%s/favicon.ico"></head>',
    },
}
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def check_prefix(prefix: str) -> str:
    """The prefix without a slash at its end. Raises InvalidValue."""
    bare = prefix.rstrip("/")
    if bare and not _PREFIX.fullmatch(bare):
        allowed = "a path such as /lrsearch, of letters, digits and -._~"
        raise InvalidValue("--prefix", got=prefix, allowed=allowed)
    return bare


class PrefixRemover:
    """Removes the prefix from a request's path where the proxy has left it there."""

    def __init__(self, application: Application, prefix: str) -> None:
        self._application, self._prefix = application, prefix

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            environ = {**environ, "PATH_INFO": path[len(self._prefix) :] or "/"}
        return self._application(environ, start)


class PrefixedDashboard:
    """optuna-dashboard under a prefix, which its page and its answers then name."""

    def __init__(self, application: Application, prefix: str) -> None:
        self._application, self._prefix = application, prefix.encode()

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        texts = TEXTS.get(
            "/dashboard" if _is_index(environ) else environ.get("PATH_INFO", "")
        )
        if texts is None:
            return self._application(environ, start)
        told: dict[str, Any] = {}

        def keep(status: str, headers: list[tuple[str, str]], *_more: Any) -> None:
            told.update(status=status, headers=headers)

        # whole and not compressed; wsgi.file_wrapper gives an iterable too
        asked = {**environ, "HTTP_ACCEPT_ENCODING": ""}
        asked.pop("HTTP_RANGE", None)
        asked.pop("HTTP_IF_MODIFIED_SINCE", None)
        body = prefix_texts(_read(self._application(asked, keep)), texts, self._prefix)
        kept = [each for each in told["headers"] if each[0].lower() != "content-length"]
        start(told["status"], [*kept, ("Content-Length", str(len(body)))])
        return [body]


def _read(answer: Iterable[bytes]) -> bytes:
    """All of an answer, which may be an open file."""
    try:
        return b"".join(answer)
    finally:
        if (close := getattr(answer, "close", None)) is not None:
            close()


def check_texts() -> None:
    """Raises EnvironmentProblem where this optuna-dashboard has none of the texts."""
    root = files("optuna_dashboard")
    program = (root / "public" / "bundle.js").read_bytes()
    prefix_texts(program, TEXTS["/static/bundle.js"], b"")
    prefix_texts((root / "index.html").read_bytes(), TEXTS["/dashboard"], b"")


def _is_index(environ: Environ) -> bool:
    path: str = environ.get("PATH_INFO", "")
    return path == "/dashboard" or path.startswith("/dashboard/")


def prefix_texts(body: bytes, texts: Mapping[bytes, bytes], prefix: bytes) -> bytes:
    """Replace each text. Raises EnvironmentProblem where one is not there."""
    for old, new in texts.items():
        if body and old not in body:
            from lrsearch.version import installed

            version = installed("optuna-dashboard")
            text = (
                f"optuna-dashboard {version} cannot be shown under a path of a proxy: "
            )
            raise EnvironmentProblem(
                text + "its program has changed.", fix="Leave out --prefix."
            )
        body = body.replace(old, new % prefix)
    return body
