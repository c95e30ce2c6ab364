"""The documentation site is built strictly, and its pages load nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# what a browser loads by itself; a link waits for a click
LOADS = {"img", "script", "iframe", "source", "video", "audio", "embed", "object", "link"}


class Loads(HTMLParser):
    """The addresses that a page loads, and its scripts and styles in text."""

    def __init__(self):
        super().__init__()
        self.addresses, self.texts, self._within = [], [], None

    def handle_starttag(self, tag, attrs):
        self._within = tag
        given = dict(attrs)
        if tag in LOADS and given.get("rel") not in {"canonical", "next", "prev"}:
            self.addresses += [given[name] for name in ("src", "href", "data") if given.get(name)]
            self.addresses += (given.get("srcset") or "").split(", ")

    def handle_data(self, data):
        if self._within in {"script", "style"}:
            self.texts.append(data)

    def handle_endtag(self, _tag):
        self._within = None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_every_document_is_a_page_of_the_site(site):
    documents = {each.stem for each in (ROOT / "docs").glob("*.md")}
    pages = {each.stem for each in site.glob("*.html")}
    assert pages == documents | {"index", "contributing", "changelog", "skill", "404"}


def test_the_site_loads_nothing_from_elsewhere(site):
    outside = re.compile(r"(?:https?:)?//")
    for page in site.rglob("*.html"):
        found = Loads()
        found.feed(page.read_text(encoding="utf-8"))
        assert not [each for each in found.addresses if outside.match(each)], page
        for text in found.texts:
            assert not re.search(r"(?:url\(|@import|src=)\s*['\"]?(?:https?:)?//", text), page
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), style


def test_no_page_draws_what_the_theme_would_fetch_from_elsewhere(site):
    """The theme's script loads Mermaid from a CDN where a page has a diagram of it."""
    for page in site.rglob("*.html"):
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), page


def test_links_of_the_files_outside_the_documents_lead_to_their_pages(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="guide.html"' in home
    assert 'href="contributing.html"' in home
    assert "../CONTRIBUTING" not in (site / "architecture.html").read_text(encoding="utf-8")
