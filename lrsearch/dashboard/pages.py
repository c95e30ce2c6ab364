"""Our own pages, in front of optuna-dashboard: all studies, and the live report of each.

Every page is read-only. All other requests go on to optuna-dashboard.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from lrsearch.dashboard.guard import Application, Environ, Start
from lrsearch.dashboard.study_views import StudyViews
from lrsearch.errors import StorageUnavailable
from lrsearch.report.html.markup import Content, tag
from lrsearch.report.html.page import SCRIPT, STYLE, asset, page, report_file
from lrsearch.report.html.studies_page import studies_body

EVERY_SECONDS = 3  # a page asks whether anything changed
_HTML, _JSON = "text/html; charset=utf-8", "application/json"
_LEAST = 2000  # bytes that are worth compressing


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a request is answered with."""

    body: str
    kind: str = _HTML
    status: HTTPStatus = HTTPStatus.OK
    file: str = ""  # a name to save it by


class Pages:
    """A WSGI application: our pages, and `behind` them another one.

    `prefix` is the path under which a proxy shows the server.
    """

    def __init__(self, views: StudyViews, behind: Application, *, prefix: str) -> None:
        self._views, self._behind, self._root = views, behind, prefix

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "") or "/"
        for pattern, make in ROUTES:
            if found := pattern.fullmatch(path):
                return _send(environ, start, self._answer(make, found.groups()))
        return self._behind(environ, start)

    def _answer(self, make: Callable[..., Reply], parts: tuple[str, ...]) -> Reply:
        try:
            return make(self, *parts)
        except StorageUnavailable as error:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    def studies(self) -> Reply:
        """All studies."""
        # the version first: a change in between is then seen at the next look
        version = self._views.versions()
        body = studies_body(self._views.lines(), root=self._root)
        return Reply(body=self._live("studies", body, version, f"{self._root}/state"))

    def studies_state(self) -> Reply:
        """Whether anything changed."""
        return _state(self._views.versions())

    def report(self, study: str) -> Reply:
        """A study's report."""
        found, line = self._views.body(int(study)), self._views.line(int(study))
        if found is None or line is None:
            return self._no_study()
        body, version = found
        here = f"{self._root}/studies/{study}"
        details = f"{self._root}/dashboard/studies/{line.study.optuna_study_id}"
        ways = {
            f"{self._root}/": "all studies",
            details: "every detail in optuna-dashboard",
            f"{here}/report.html": "save this page",
        }
        links = tag("nav", [tag("a", text, href=way) for way, text in ways.items()])
        return Reply(
            body=self._live(line.study.name, [links, body], version, f"{here}/state")
        )

    def _no_study(self) -> Reply:
        """A deleted study's page, with the way to the others."""
        style = tag("link", rel="stylesheet", href=f"{self._root}/assets/{STYLE}")
        way = tag("p", tag("a", "all studies", href=f"{self._root}/"))
        body = tag("main", tag("h1", "There is no such study (any more)"), way)
        return Reply(
            body=page("no such study", style, body), status=HTTPStatus.NOT_FOUND
        )

    def report_state(self, study: str) -> Reply:
        """Whether the study changed."""
        version = self._views.version(int(study))
        return (
            _state(version)
            if version
            else _plain(HTTPStatus.NOT_FOUND, "no such study")
        )

    def report_file(self, study: str) -> Reply:
        """The report as a file to keep."""
        line = self._views.line(int(study))
        if line is None:
            return _plain(HTTPStatus.NOT_FOUND, "there is no such study (any more)")
        return Reply(
            body=report_file(self._views.data(line)), file=f"{line.study.name}.html"
        )

    def style(self) -> Reply:
        return Reply(body=asset(STYLE), kind="text/css; charset=utf-8")

    def script(self) -> Reply:
        return Reply(body=asset(SCRIPT), kind="text/javascript; charset=utf-8")

    def _live(self, title: str, body: Content, version: str, state: str) -> str:
        """A page that looks for changes."""
        head = [
            tag("link", rel="stylesheet", href=f"{self._root}/assets/{STYLE}"),
            tag("link", rel="icon", href=f"{self._root}/favicon.ico"),
        ]
        script = tag("script", src=f"{self._root}/assets/{SCRIPT}", defer=True)
        every = str(EVERY_SECONDS)
        frame = {"data_every": every, "data_version": version, "data_state": state}
        return page(title, [head, script], body, **frame)


ROUTES: Final[tuple[tuple[re.Pattern[str], Callable[..., Reply]], ...]] = (
    (re.compile(r"/"), Pages.studies),
    (re.compile(r"/state"), Pages.studies_state),
    (re.compile(r"/studies/(\d{1,9})"), Pages.report),
    (re.compile(r"/studies/(\d{1,9})/state"), Pages.report_state),
    (re.compile(r"/studies/(\d{1,9})/report\.html"), Pages.report_file),
    (re.compile(r"/assets/report\.css"), Pages.style),
    (re.compile(r"/assets/report\.js"), Pages.script),
)


def _state(version: str) -> Reply:
    return Reply(body=json.dumps({"version": version}), kind=_JSON)


def _plain(status: HTTPStatus, text: str) -> Reply:
    return Reply(body=f"{text}\n", kind="text/plain; charset=utf-8", status=status)


def _send(environ: Environ, start: Start, reply: Reply) -> Iterable[bytes]:
    body = reply.body.encode("utf-8", "replace")
    headers: list[tuple[str, Any]] = [("Content-Type", reply.kind)]
    if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "") and len(body) > _LEAST:
        body = gzip.compress(body, 3)
        headers.append(("Content-Encoding", "gzip"))
    if reply.file:
        name = f"attachment; filename*=UTF-8''{quote(reply.file, safe='')}"
        headers.append(("Content-Disposition", name))
    status = f"{reply.status.value} {reply.status.phrase}"
    start(status, [*headers, ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
