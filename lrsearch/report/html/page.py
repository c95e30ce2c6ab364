"""The report as a whole page: one file that needs nothing else, or one that a server keeps fresh.

The file may run no script and load nothing but what stands in it: its policy names the
digests of its own style and script, so that markup in a study's texts could do nothing
even if it got through.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from lrsearch.errors import InvalidValue
from lrsearch.report.html.marks import definitions
from lrsearch.report.html.markup import Content, Markup, tag
from lrsearch.report.html.sections import ReportData, sections
from lrsearch.version import VERSION

STYLE, SCRIPT = "report.css", "report.js"


def report_file(data: ReportData) -> str:
    """The report as one offline HTML file."""
    script = asset(SCRIPT)
    policy = (
        f"default-src 'none'; style-src '{style_digest()}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    given = [
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        style_within(),
    ]
    return page(
        data.study.name, given, report_body(data), tag("script", Markup(script))
    )


def report_body(data: ReportData) -> Markup:
    """The part of a live page that is replaced when the study changes."""
    foot = tag("footer", f"lrsearch {VERSION}")
    return tag("main", definitions(), sections(data), foot)


def page(
    title: str, head: Content, body: Content, after: Content = None, **frame: str
) -> str:
    """An HTML document; `frame` are attributes of its body."""
    known = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} - lrsearch"),
    ]
    whole = tag(
        "html", tag("head", known, head), tag("body", body, after, **frame), lang="en"
    )
    return f"<!DOCTYPE html>\n{whole}\n"


def write_page(text: str, path: Path) -> None:
    """Raises InvalidValue where the file cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        allowed = f"a file that can be written ({error.strerror})"
        raise InvalidValue(
            "--output", got=str(path), allowed=allowed, fix="Give another one."
        ) from None


def style_within() -> Markup:
    """The style as a part of the page; a policy lets it in by `style_digest`."""
    return tag("style", Markup(asset(STYLE)))


def style_digest() -> str:
    """What a policy calls the style within a page."""
    return _digest(asset(STYLE))


@cache
def asset(name: str) -> str:
    """The text of a style or script of the report."""
    return (files("lrsearch.report.html") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class ReportPage(str):
    """The HTML of a report, which a notebook shows in a frame of its own."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        # A frame keeps the page's style to itself, and `sandbox` its script to the
        # page.
        return str(
            tag("iframe", srcdoc=self, width="100%", height="800", sandbox="allow-scripts",
                title="lrsearch report")
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<report, {len(self):,} characters; .report(path) writes it as a file>"
