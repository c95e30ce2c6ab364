"""Our pages and optuna-dashboard behind one guard: what they say, and that nobody changes anything."""

import gzip
import io
import json
import re
from contextlib import closing

import pytest
from ledger_tools import add_worker, claim, finish, plan, train

from lrsearch.dashboard import pages as our_pages
from lrsearch.dashboard import study_views
from lrsearch.dashboard.prefix import TEXTS, check_prefix, prefix_texts
from lrsearch.dashboard.serving import guard_everything, make_application
from lrsearch.dashboard.study_views import StudyViews
from lrsearch.errors import EnvironmentProblem, InvalidValue
from lrsearch.storage import Mirror, open_ledger

TOKEN = "correct horse battery"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def ledger(tmp_path):
    with closing(open_ledger(f"sqlite:///{tmp_path}/d.db", create=True)) as opened:
        yield opened


def toy(ledger, name="toy", trials=3):
    study = ledger.create_study(plan(name=name, trials=trials, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    Mirror(ledger).complete(study.id)
    return study


def everything(ledger, *, token=None, prefix="", allow_notes=False):
    return guard_everything(
        ledger, StudyViews(ledger), allow_notes=allow_notes, token=token, prefix=prefix
    )


def ask(app, path="/", method="GET", *, query="", body=b"", **headers):
    told = {}
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "localhost:8080", "SERVER_NAME": "localhost",
        "SERVER_PORT": "8080", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(), "CONTENT_LENGTH": str(len(body)), **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }  # fmt: skip

    def start(status, given, *_more):
        told["code"], told["headers"] = int(status.split()[0]), dict(given)

    answer = app(environ, start)
    told["body"] = b"".join(answer)
    getattr(answer, "close", lambda: None)()
    return told


def text_of(told):
    assert told["code"] == 200, told
    return told["body"].decode()


def all_routes(ledger):
    """Every path that answers, ours and optuna-dashboard's, with the method that reaches it."""
    ours = [
        ("GET", pattern.pattern.replace(r"(\d{1,9})", "1").replace("\\", ""))
        for pattern, _ in our_pages.ROUTES
    ]
    theirs = []
    for route in make_application(ledger).routes:
        path = re.sub(r"<:re:[^>]*>", "", route.rule)
        path = re.sub(r"<artifact_id[^>]*>", "0a", path).replace(
            "<filename:path>", "bundle.js"
        )
        path = path.replace("<plot_type>", "contour").replace("<history_id>", "0")
        theirs.append((route.method, re.sub(r"<\w+:int>", "1", path)))
    assert not [path for _, path in theirs if "<" in path]
    return ours, theirs


# behind a proxy's path, which the proxy leaves in a request's path or takes out
@pytest.mark.parametrize(
    ("prefix", "root"), [("", ""), ("/lab/lr", "/lab/lr"), ("/lab/lr", "")]
)
def test_without_the_token_every_route_is_refused_and_with_it_every_write_is(
    ledger, prefix, root
):
    toy(ledger)
    app = everything(ledger, token=TOKEN, prefix=prefix)
    ours, theirs = all_routes(ledger)
    assert len(ours) >= 7
    assert len(theirs) >= 25
    writes = [each for each in theirs if each[0] != "GET"]
    assert len(writes) >= 12
    before = sorted(ledger.trials(1), key=lambda each: each.id)
    for method, path in [*ours, *theirs]:
        for asked in (method, "GET", "HEAD", "POST", "DELETE"):
            assert ask(app, f"{root}{path}", asked)["code"] == 401, (asked, path)
    for _, path in [*ours, *theirs]:
        for asked in ("POST", "PUT", "DELETE", "PATCH"):
            token = {"authorization": f"Bearer {TOKEN}"}
            refused = ask(app, f"{root}{path}", asked, body=b"{}", **token)
            assert refused["code"] in {404, 405}, (asked, path)
    assert sorted(ledger.trials(1), key=lambda each: each.id) == before
    assert [each.name for each in ledger.studies()] == ["toy"]


def test_with_notes_allowed_the_notes_alone_can_be_written(ledger):
    toy(ledger)
    app = everything(ledger, allow_notes=True)
    mine = {"origin": "http://localhost:8080", "content_type": "application/json"}
    _, theirs = all_routes(ledger)
    passed = [
        path
        for method, path in theirs
        if method != "GET"
        and ask(app, path, method, body=b"{}", **mine)["code"] not in {404, 405}
    ]
    assert sorted(passed) == ["/api/studies/1/1/note", "/api/studies/1/note"]


def test_the_first_page_lists_studies_with_state_progress_verdict_and_both_ways_on(
    ledger,
):
    study = toy(ledger, name=EVIL)
    text = text_of(ask(everything(ledger)))
    assert "&lt;script&gt;alert(1)" in text
    assert EVIL not in text
    assert "3 of 3 trials done" in text
    assert "adam at a peak learning rate of" in text
    assert "Cost: " in text
    assert f'href="/studies/{study.id}"' in text
    assert f'href="/dashboard/studies/{study.optuna_study_id}"' in text


def test_a_study_s_page_is_its_report_and_the_guard_lets_it_load_its_own_parts_alone(
    ledger,
):
    study = toy(ledger)
    app = everything(ledger)
    told = ask(app, f"/studies/{study.id}")
    text = text_of(told)
    assert 'id="rates"' in text
    assert told["headers"]["Content-Security-Policy"].startswith("default-src 'self'")
    assert not re.search(r"<style|<script>| style=| on\w+=", text)
    for part in re.findall(r'(?:src|href)="(/assets/[^"]+)"', text):
        assert ask(app, part)["code"] == 200
    packed = ask(app, f"/studies/{study.id}", accept_encoding="gzip")
    assert gzip.decompress(packed["body"]).decode() == text
    assert ask(app, f"/studies/{study.id}", "HEAD")["body"] == b""
    assert ask(app, "/studies/99")["code"] == 404
    assert ask(app, "/studies/99/state")["code"] == 404


def test_the_report_can_be_saved_under_any_name_as_a_file_that_needs_nothing(ledger):
    study = toy(ledger, name="étude\n日本")
    told = ask(everything(ledger), f"/studies/{study.id}/report.html")
    assert told["headers"]["Content-Disposition"].isascii()
    assert "default-src" in text_of(told)


def version(app, study):
    return json.loads(text_of(ask(app, f"/studies/{study.id}/state")))["version"]


def test_a_change_is_seen_and_what_did_not_change_is_not_made_again(
    ledger, monkeypatch
):
    monkeypatch.setattr(study_views, "SHARE", 0.0)
    made = []
    read, body = study_views.read_answer, study_views.report_body
    monkeypatch.setattr(
        study_views,
        "read_answer",
        lambda *a, **k: made.append("answer") or read(*a, **k),
    )
    monkeypatch.setattr(
        study_views, "report_body", lambda *a: made.append("report") or body(*a)
    )
    other = toy(ledger, name="other")
    study = ledger.create_study(plan(trials=5, retest_seeds=0))
    worker = add_worker(ledger, study)
    finish(ledger, claim(ledger, study, worker))
    app = everything(ledger)
    first = version(app, study)
    text_of(ask(app, f"/studies/{study.id}"))
    made.clear()
    for _ in range(3):
        assert version(app, study) == first
        text_of(ask(app, f"/studies/{study.id}"))
        text_of(ask(app, f"/studies/{other.id}/state"))
    assert made == ["answer"]  # of the other study, the first time
    finish(ledger, claim(ledger, study, worker), value=0.9)
    made.clear()
    assert version(app, study) != first
    assert "2 of 5 trials done" in text_of(ask(app, f"/studies/{study.id}"))
    assert made == ["answer", "report"]
    ledger.delete_study(study.id)
    assert ask(app, f"/studies/{study.id}")["code"] == 404


def test_a_view_that_took_long_is_kept_for_longer(ledger, monkeypatch):
    study, views = toy(ledger, trials=6), StudyViews(ledger)
    views.line(study.id)
    views._kept[study.id].took = 60.0
    monkeypatch.setattr(
        views._kept[study.id].follower, "glance", lambda: pytest.fail("read again")
    )
    views.line(study.id)


def test_a_browser_logs_in_by_a_form_and_a_wrong_token_is_told_so(ledger):
    toy(ledger)
    app = everything(ledger, token=TOKEN)
    form = ask(app, "/studies/1", accept="text/html")
    assert form["code"] == 401
    assert b'type="password"' in form["body"]
    wrong = ask(app, "/login", "POST", body=b"token=wrong")
    assert wrong["code"] == 401
    assert b"not the token" in wrong["body"]
    assert ask(app, "/login", "POST", body=b"token=" + b"x" * 9000)["code"] == 401
    right = ask(app, "/login", "POST", body=b"token=correct+horse+battery")
    assert (right["code"], right["headers"]["Location"]) == (303, "/")
    cookie = right["headers"]["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert ask(app, cookie=cookie.split(";")[0])["code"] == 200
    assert ask(everything(ledger), "/login", "POST", body=b"token=")["code"] == 405


def test_the_token_in_an_address_leads_back_to_that_page_and_nowhere_else(ledger):
    app = everything(ledger, token=TOKEN)
    query = "token=correct+horse+battery"
    assert ask(app, "/studies/1", query=query)["headers"]["Location"] == "/studies/1"
    assert (
        ask(app, "//evil.example/x", query=query)["headers"]["Location"]
        == "/evil.example/x"
    )
    odd = ask(app, "/a\r\nSet-Cookie: x=1", query=query)["headers"]["Location"]
    assert "\r" not in odd
    assert "\n" not in odd


@pytest.mark.parametrize("kept", [True, False])
def test_behind_a_prefix_every_address_of_both_carries_it_whether_the_proxy_keeps_it_or_not(
    ledger, kept
):
    study = toy(ledger)
    app = everything(ledger, token=TOKEN, prefix="/lab/lr")
    root = "/lab/lr" if kept else ""
    assert ask(app, f"{root}/")["code"] == 401
    welcome = ask(app, f"{root}/", query="token=correct+horse+battery")
    assert welcome["headers"]["Location"] == "/lab/lr/"
    assert "; Path=/lab/lr;" in welcome["headers"]["Set-Cookie"]
    login = {"cookie": welcome["headers"]["Set-Cookie"].split(";")[0]}
    for path in ("/", f"/studies/{study.id}"):
        text = text_of(ask(app, f"{root}{path}", **login))
        links = re.findall(r'(?:href|src|data-state)="([^"#][^"]*)"', text)
        assert links
        assert all(each.startswith("/lab/lr/") for each in links), links
    index = text_of(
        ask(app, f"{root}/dashboard/studies/1", accept_encoding="gzip", **login)
    )
    assert 'src="/lab/lr/static/bundle.js"' in index
    assert '<link rel="icon" href="/lab/lr/favicon.ico">' in index
    assert ask(app, f"{root}/favicon.ico", **login)["code"] == 200
    program = ask(app, f"{root}/static/bundle.js", accept_encoding="gzip", **login)
    assert program["code"] == 200
    assert b'url_prefix:"/lab/lr/dashboard"' in program["body"]
    assert int(program["headers"]["Content-Length"]) == len(program["body"])
    assert json.loads(text_of(ask(app, f"{root}/api/studies", **login)))[
        "study_summaries"
    ]
    assert ask(app, f"{root}/api/studies/1", "DELETE", **login)["code"] == 405


def test_an_optuna_dashboard_without_the_texts_is_refused_behind_a_prefix():
    with pytest.raises(EnvironmentProblem, match="--prefix"):
        prefix_texts(b"another program", TEXTS["/static/bundle.js"], b"/lab")


@pytest.mark.parametrize("prefix", ["lab", "/a b", "/a//b", '/"x', "/%41", "//a"])
def test_a_prefix_that_is_no_plain_path_is_refused(prefix):
    with pytest.raises(InvalidValue, match="--prefix"):
        check_prefix(prefix)


def test_a_slash_at_a_prefix_s_end_does_not_matter():
    assert check_prefix("/lab/") == "/lab"
    assert check_prefix("/") == check_prefix("") == ""


def test_a_study_too_large_for_a_glance_s_time_is_read_with_patience_first(
    ledger, monkeypatch
):
    study, told = toy(ledger), []
    views = StudyViews(ledger)
    follower = views._of(study.id).follower
    read, glance = follower.read, follower.glance
    monkeypatch.setattr(follower, "read", lambda: told.append("read") or read())
    monkeypatch.setattr(follower, "glance", lambda: told.append("glance") or glance())
    monkeypatch.setattr(study_views, "SHARE", 0.0)
    views.line(study.id)
    views.line(study.id)
    assert told == ["read", "glance", "glance"]
