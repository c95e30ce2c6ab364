"""How a browser gets in where a token is asked for: a form, or the token once in the address.

Either way the token comes back in a cookie that scripts cannot read and other sites
cannot send.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote

from lrsearch.report.html.markup import tag
from lrsearch.report.html.page import page, style_digest, style_within

PATH = "/login"
COOKIE = "lrsearch_token"
LONGEST = 4096  # bytes of a form
Headers = list[tuple[str, str]]


def token_of_form(environ: dict[str, Any]) -> str:
    """The token that the form sends; empty where there is none. Raises TimeoutError."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isascii() or not length.isdigit() or int(length) > LONGEST:
        return ""
    body: bytes = environ["wsgi.input"].read(int(length))
    found = parse_qs(body.decode("utf-8", "replace")).get("token", [""])
    return found[0]


def wants_form(environ: dict[str, Any]) -> bool:
    """Whether a browser asks for a page: programs get a line of text."""
    return "text/html" in environ.get("HTTP_ACCEPT", "")


def login_page(prefix: str, *, wrong: bool) -> str:
    """The form."""
    asks = "That is not the token." if wrong else "This dashboard asks for its token."
    field = tag("input", type="password", name="token", autofocus=True, required=True,
                aria_label="token", autocomplete="current-password")  # fmt: skip
    button = tag("button", "log in", type="submit")
    form = tag("form", field, button, method="post", action=f"{prefix}{PATH}")
    where = "It stands in LRSEARCH_DASHBOARD_TOKEN where the dashboard was started."
    body = tag(
        "main",
        tag("h1", "lrsearch"),
        tag("p", asks),
        form,
        tag("p", where, class_="soft"),
    )
    # the addresses of the style and of the icon ask for the token
    return page(
        "log in", [tag("link", rel="icon", href="data:,"), style_within()], body
    )


def login_policy() -> str:
    """What the form's page may do: have its style and send the form here."""
    return (
        f"default-src 'none'; img-src data:; style-src '{style_digest()}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def cookie_headers(token: str, prefix: str, path: str) -> Headers:
    """Headers that keep the token in a cookie, and lead to `path` without it in the address."""
    place = f"{prefix}/{path.lstrip('/')}"  # never `//host`, which would lead elsewhere
    value = quote(token, safe="")
    cookie = f"{COOKIE}={value}; Path={prefix or '/'}; HttpOnly; SameSite=Strict"
    location = quote(place.encode("latin-1", "replace"), safe="/-._~")
    return [("Location", location), ("Set-Cookie", cookie)]
