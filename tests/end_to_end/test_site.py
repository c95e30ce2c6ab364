"""The documentation site in a real Chromium, opened as files: no server, no network."""

import os

import browser
import pytest
from documents import build_site

PAGES = (
    "index", "guide", "reference", "gallery", "gallery/digits", "from_optuna", "questions", "clusters",
)  # fmt: skip
WIDTHS = (400, 1280)


@pytest.fixture
def page():
    why = browser.missing()
    if why:
        if os.environ.get("LRSEARCH_TEST_NO_SKIP"):
            pytest.fail(f"{why}, and LRSEARCH_TEST_NO_SKIP is set")
        pytest.skip(why)
    with browser.Browser() as opened:
        yield opened


def test_the_site_reads_well_as_files_at_both_widths_in_the_dark_and_its_search_finds(
    page, tmp_path
):
    build_site(tmp_path)
    for width in WIDTHS:
        page.size(width)
        for name in PAGES:
            page.open(f"file://{tmp_path}/{name}.html")
            assert page.js("document.documentElement.scrollWidth") <= width, name
            assert page.js(
                "[...document.images].every(each => each.naturalWidth > 0)"
            ), name
    light = page.js("getComputedStyle(document.body).backgroundColor")
    page.media(scheme="dark")
    page.wait(f"getComputedStyle(document.body).backgroundColor !== {light!r}")

    page.js("document.querySelector('[data-md-toggle=search]').click()")
    page.js(
        "const box = document.querySelector('.md-search__input'); box.focus(); "
        "box.value = 'warm-up'; box.dispatchEvent(new Event('input')); "
        "box.dispatchEvent(new KeyboardEvent('keyup'))"
    )
    page.wait("document.querySelector('.md-search-result__item a')")
    assert any("search_index" in each for each in page.requests)
    assert all(each.startswith(("file:", "data:", "blob:")) for each in page.requests)
    assert page.problems == []
