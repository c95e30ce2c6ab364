"""The dashboard's filter: who may read, what nobody may write, and what a browser is told."""

import io
from urllib.parse import quote

import pytest

from lrsearch.dashboard import Guard
from lrsearch.dashboard.serving import check_reach
from lrsearch.errors import InvalidValue

TOKEN = "correct horse battery"


def application(environ, start):
    start(
        "200 OK", [("Content-Type", "text/html"), ("Access-Control-Allow-Origin", "*")]
    )
    return [
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"page"
    ]


def ask(
    guard,
    method="GET",
    path="/api/studies",
    *,
    host="127.0.0.1:8080",
    query="",
    body=b"",
    length=None,
    **headers,
):
    told = {}
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": host, "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": length or str(len(body)), **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }  # fmt: skip

    def start(status, given, *_more):
        told["code"], told["headers"] = int(status.split()[0]), dict(given)

    told["body"] = b"".join(guard(environ, start))
    return told


@pytest.fixture
def open_guard():
    return Guard(application)


@pytest.fixture
def locked():
    return Guard(application, token=TOKEN)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:80", "[::1]:8080", "LOCALHOST:1"]
)
def test_this_machine_reads(open_guard, host):
    assert ask(open_guard, host=host)["code"] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:8080", "", "localhost.evil", "[::2]:80"],
)
def test_a_foreign_host_header_is_refused(open_guard, host):
    assert ask(open_guard, host=host)["code"] == 403


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"]
)
@pytest.mark.parametrize(
    "path",
    [
        "/api/studies",
        "/api/studies/1",
        "/api/trials/1/tell",
        "/incompatible-rdb-schema",
        "/api/studies/1/note",
    ],
)
def test_nothing_is_written(open_guard, method, path):
    assert ask(open_guard, method, path)["code"] in {404, 405}


def test_the_schema_page_is_not_there_even_to_read(open_guard):
    assert ask(open_guard, path="/incompatible-rdb-schema")["code"] == 404


def test_a_body_that_comes_with_a_get_is_thrown_away(open_guard):
    assert ask(open_guard, body=b"x" * 1000)["body"] == b"page"


def test_answers_carry_headers_that_keep_other_sites_out(open_guard):
    headers = ask(open_guard)["headers"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_notes_can_be_saved_where_allowed_and_from_the_page_itself_only():
    guard = Guard(application, allow_notes=True)
    mine = {"host": "localhost:8080", "origin": "http://localhost:8080"}
    assert ask(guard, "PUT", "/api/studies/1/note", body=b"{}", **mine)["code"] == 200
    assert ask(guard, "PUT", "/api/studies/1/3/note", body=b"{}", **mine)["code"] == 200
    assert (
        ask(
            guard,
            "PUT",
            "/api/studies/1/note",
            host="localhost:8080",
            origin="http://evil.example",
        )["code"]
        == 403
    )
    assert (
        ask(guard, "PUT", "/api/studies/1/note", host="localhost:8080")["code"] == 403
    )
    assert (
        ask(guard, "PUT", "/api/studies/1/note", body=b"x" * 70_000, **mine)["code"]
        == 413
    )
    assert (
        ask(
            guard,
            "PUT",
            "/api/studies/1/note",
            body=b"x" * 70_000,
            transfer_encoding="chunked",
            **mine,
        )["code"]
        == 411
    )
    assert ask(guard, "DELETE", "/api/studies/1", **mine)["code"] == 405
    assert ask(guard, "POST", "/api/trials/1/tell", **mine)["code"] == 405


def test_with_a_token_nobody_reads_without_it(locked):
    refused = ask(locked, host="gpu-box:8080")
    assert refused["code"] == 401
    assert b"page" not in refused["body"]
    assert ask(locked, host="gpu-box", authorization="Bearer wrong")["code"] == 401
    assert (
        ask(locked, host="gpu-box", cookie="lrsearch_token=\udcff; ;;")["code"] == 401
    )


def test_the_token_comes_as_a_header_or_once_in_the_address_and_then_in_a_cookie(
    locked,
):
    assert ask(locked, host="gpu-box", authorization=f"Bearer {TOKEN}")["code"] == 200
    welcome = ask(
        locked, path="/dashboard", host="gpu-box", query="token=correct+horse+battery"
    )
    assert (welcome["code"], welcome["headers"]["Location"]) == (303, "/dashboard")
    cookie = welcome["headers"]["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert ask(locked, host="gpu-box", cookie=cookie.split(";")[0])["code"] == 200


@pytest.mark.parametrize(
    "cookies",
    [
        'prefs={"a":1}; %s',
        "name=John Smith; %s",
        "a[b]=1;%s; c",
        "%s; lrsearch_token=stale",
        "lrsearch_token=stale; %s",
        "lrsearch_token=%%ff; =; %s",
    ],
)
def test_the_cookie_is_found_among_those_of_other_programs_on_this_host(
    locked, cookies
):
    welcome = ask(
        locked, path="/dashboard", host="gpu-box", query="token=correct+horse+battery"
    )
    mine = welcome["headers"]["Set-Cookie"].split(";")[0]
    assert ask(locked, host="gpu-box", cookie=cookies % mine)["code"] == 200
    assert (
        ask(locked, host="gpu-box", cookie=cookies % "lrsearch_token=wrong")["code"]
        == 401
    )
    assert ask(locked, host="gpu-box", cookie=cookies % f"other{mine}")["code"] == 401


def test_a_token_of_any_characters_comes_back_in_its_cookie():
    odd = 'semi;colon "quote" =%41 é λ 0123'
    guard = Guard(application, token=odd)
    welcome = ask(guard, path="/dashboard", host="gpu-box", query=f"token={quote(odd)}")
    assert welcome["headers"]["Set-Cookie"].isascii()
    assert (
        ask(
            guard, host="gpu-box", cookie=welcome["headers"]["Set-Cookie"].split(";")[0]
        )["code"]
        == 200
    )


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_of_a_header_is_read_in_any_case(locked, scheme):
    assert ask(locked, host="gpu-box", authorization=f"{scheme} {TOKEN}")["code"] == 200
    assert ask(locked, host="gpu-box", authorization=f"{scheme}{TOKEN}")["code"] == 401
    assert ask(locked, host="gpu-box", authorization=f"Basic {TOKEN}")["code"] == 401


def test_a_length_that_is_no_number_of_bytes_is_refused():
    guard = Guard(application, allow_notes=True)
    mine = {"host": "localhost:8080", "origin": "http://localhost:8080"}
    for length in ("²", "-1", "1e3", "9" * 30):
        assert (
            ask(guard, "PUT", "/api/studies/1/note", length=length, **mine)["code"]
            == 413
        )


def test_other_machines_are_served_only_with_a_token_that_cannot_be_guessed():
    check_reach("127.0.0.1", None)
    check_reach("0.0.0.0", TOKEN)
    with pytest.raises(InvalidValue, match="LRSEARCH_DASHBOARD_TOKEN"):
        check_reach("0.0.0.0", None)
    with pytest.raises(InvalidValue, match="16"):
        check_reach("0.0.0.0", "short")
