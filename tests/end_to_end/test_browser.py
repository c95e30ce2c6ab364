"""The whole way of somebody who looks, in a real Chromium: log in, watch a study, look closer, change nothing."""

import os
import signal
import subprocess
import sys
from contextlib import closing

import browser
import pytest
from ledger_tools import add_worker, claim, finish, plan

from lrsearch.report.html.gathering import gather
from lrsearch.report.html.page import report_file
from lrsearch.storage import open_ledger

COMPLETE = "[...document.querySelectorAll('#trials tbody tr')].filter(each => each.cells[2].textContent === 'complete').length"
TOKEN = "correct horse battery staple"
EVIL = '<img src=x onerror="document.title=`hacked`">'


@pytest.fixture
def chromium():
    why = browser.missing()
    if why:
        if os.environ.get("LRSEARCH_TEST_NO_SKIP"):
            pytest.fail(f"{why}, and LRSEARCH_TEST_NO_SKIP is set")
        pytest.skip(why)
    with browser.Browser() as page:
        yield page


@pytest.fixture
def ledger(tmp_path):
    with closing(
        open_ledger(f"sqlite:///{tmp_path}/lrsearch.db", create=True)
    ) as opened:
        yield opened


@pytest.fixture
def address(ledger, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "lrsearch", "dashboard", "--port", "0"], cwd=tmp_path,
        env={**os.environ, "LRSEARCH_DASHBOARD_TOKEN": TOKEN}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process.stdout.readline().split()[0].rstrip("/")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)


def test_log_in_watch_a_trial_arrive_look_closer_and_be_refused_a_deletion(
    chromium, ledger, address
):
    study = ledger.create_study(plan(name=EVIL, trials=6, retest_seeds=0))
    worker = add_worker(ledger, study)
    finish(ledger, claim(ledger, study, worker), value=0.5)
    page = chromium

    page.open(f"{address}/studies/{study.id}")
    assert page.js(
        "document.querySelector('main').innerText.includes('asks for its token')"
    )
    assert (
        page.js("getComputedStyle(document.querySelector('main')).maxWidth") == "880px"
    )
    page.js(
        f"document.querySelector('input').value = {TOKEN!r}; document.querySelector('form').submit()"
    )
    page.wait("document.querySelector('ul.studies a')")
    assert all("401" in each for each in page.problems)
    page.problems.clear()
    assert page.js("document.querySelector('ul.studies a').textContent") == EVIL
    assert (
        page.js("document.querySelector('.state').textContent")
        == "training on 1 worker"
    )

    page.js("document.querySelector('ul.studies a').click()")
    page.wait("document.querySelector('#trials tbody tr')")
    assert page.js(COMPLETE) == 1
    page.js("window.stays = true; document.querySelector('[data-sort]').click()")
    finish(ledger, claim(ledger, study, worker), value=0.75)
    page.wait(f"{COMPLETE} === 2")
    assert "0.750" in page.js("document.querySelector('.verdict').textContent")
    assert page.js("window.stays"), "the page renewed itself in place"
    assert page.js("document.querySelector('[aria-sort]').textContent") == "trial"
    assert page.js("document.title").startswith(EVIL)
    assert (
        page.js("getComputedStyle(document.querySelector('svg.wide')).display")
        == "block"
    )

    page.js("document.querySelector('nav a[href*=\"/dashboard/\"]').click()")
    page.wait(
        f"document.body.innerText.includes({EVIL!r}) && document.querySelector('.MuiBox-root')"
    )
    assert page.problems == []
    refused = page.js(
        f"fetch('/api/studies/{study.optuna_study_id}', {{method: 'DELETE'}}).then(each => each.status)"
    )
    assert refused == 405
    assert [each.name for each in ledger.studies()] == [EVIL]
    assert ledger.counts(study.id).done == 2


def read_by_keyboard(page):
    """The figure of rates is one stop of the Tab key, and arrow keys read every mark in it."""
    focused = "document.activeElement"
    page.js(f"{focused}.blur()")
    for _ in range(20):
        page.press("Tab")
        if page.js(f"{focused}.className === 'marks'"):
            break
    line = f"{focused}.nextElementSibling.textContent"
    page.press("ArrowRight")
    assert page.js(line).startswith(
        "best, trial 1: 0.7000 (1 training); sgd 1.0e-1 constant"
    )
    page.press("Home")
    read = [page.js(line)]
    for _ in range(30):
        page.press("ArrowRight")
        read.append(page.js(line))
    for said in (
        "trial 0: 0.5000; adam",
        "trial 1: 0.7000; sgd",
        "trial 2: 0.6000; adam",
    ):
        assert any(each.startswith(said) for each in read), (said, read)
    assert page.js("document.querySelectorAll('.at').length") == 1
    page.press("End", "ArrowRight")
    assert page.js(line) == read[-1], "the last mark is the last"
    page.press("Tab")
    assert page.js(f"'only' in {focused}.dataset"), "one stop, however many marks"
    page.js("document.querySelector('[data-sort]').focus()")
    page.press("Enter")
    sorted_by = "document.querySelector('[aria-sort]')"
    assert (
        page.js(f"{sorted_by}.textContent + {sorted_by}.ariaSort") == "trialascending"
    )


def test_the_report_file_works_alone_at_both_widths_in_print_and_in_the_dark(
    chromium, ledger, tmp_path
):
    study = ledger.create_study(plan(name=EVIL, trials=3, retest_seeds=0))
    worker = add_worker(ledger, study)
    for value in (0.5, 0.7, 0.6):
        finish(ledger, claim(ledger, study, worker), value=value)
    file = tmp_path / "report.html"
    file.write_text(
        report_file(gather(ledger, ledger.study(EVIL), ledger.trials(study.id))),
        encoding="utf-8",
    )
    page = chromium
    for width, shown in ((400, "narrow"), (1280, "wide")):
        page.size(width, 900)
        page.open(f"file://{file}")
        assert page.js("document.documentElement.scrollWidth") <= width
        assert (
            page.js(f"getComputedStyle(document.querySelector('svg.{shown}')).display")
            == "block"
        )
    page.media(scheme="dark")
    dark = page.js("getComputedStyle(document.body).backgroundColor")
    page.media("print", scheme="dark")
    assert (
        page.js("getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
        != dark
    )
    page.media()
    page.js("document.querySelectorAll('[data-sort]')[1].click()")
    page.js("document.querySelectorAll('[data-sort]')[1].click()")
    values = page.js(
        "[...document.querySelectorAll('#trials tbody tr')].map(each => each.cells[1].textContent)"
    )
    assert values == sorted(values, reverse=True)
    page.js("document.querySelector('[data-only]').click()")
    assert page.js("document.querySelectorAll('.dim').length") > 0
    mark = "document.querySelector('svg.wide .point')"
    page.js(
        f"{mark}.dispatchEvent(new PointerEvent('pointermove', {{bubbles: true, clientX: 50, clientY: 50}}))"
    )
    assert "trial" in page.js("document.querySelector('#tip').textContent")
    page.js("document.querySelector('[data-only]').click()")
    read_by_keyboard(page)
    assert page.js("document.title").startswith(EVIL)
    assert page.problems == []
