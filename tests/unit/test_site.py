"""The documentation site is built strictly, and its pages load nothing from elsewhere."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from documents import ROOT, build_site

# what a browser loads by itself; a link waits for a click
LOADS = {
    "img",
    "script",
    "iframe",
    "source",
    "video",
    "audio",
    "embed",
    "object",
    "link",
}


class Loads(HTMLParser):
    """The addresses that a page loads, and its scripts and styles in text."""

    def __init__(self):
        super().__init__()
        self.addresses, self.texts, self._within = [], [], None

    def handle_starttag(self, tag, attrs):
        self._within = tag
        given = dict(attrs)
        if tag in LOADS and given.get("rel") not in {"canonical", "next", "prev"}:
            self.addresses += [
                given[name] for name in ("src", "href", "data") if given.get(name)
            ]
            self.addresses += (given.get("srcset") or "").split(", ")

    def handle_data(self, data):
        if self._within in {"script", "style"}:
            self.texts.append(data)

    def handle_endtag(self, _tag):
        self._within = None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build_site(folder)
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
            assert not re.search(
                r"(?:url\(|@import|src=)\s*['\"]?(?:https?:)?//", text
            ), page
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), style


def test_no_link_is_left_as_it_was_written(site):
    """As where a line begins with the #7 of a link's words, which makes a heading of it."""
    for page in site.glob("*.html"):
        text = re.sub(
            r"<(code|script).*?</\1>",
            "",
            page.read_text(encoding="utf-8"),
            flags=re.DOTALL,
        )
        assert "](" not in text, page


def test_no_page_draws_what_the_theme_would_fetch_from_elsewhere(site):
    """The theme's script loads Mermaid from a CDN where a page has a diagram of it."""
    for page in site.rglob("*.html"):
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), page


def test_links_of_the_files_outside_the_documents_lead_to_their_pages(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="guide.html"' in home
    assert 'href="contributing.html"' in home
    assert "../CONTRIBUTING" not in (site / "architecture.html").read_text(
        encoding="utf-8"
    )


def test_a_report_of_the_gallery_is_small_says_the_pages_verdict_and_names_no_machine(
    site,
):
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    verdicts = re.findall(r"^<!-- verdict of (\w+) -->\n> (.+)$", page, re.MULTILINE)
    assert sorted(name for name, _ in verdicts) == sorted(
        each.stem for each in (site / "gallery").glob("*.html")
    )
    for name, verdict in verdicts:
        file = site / "gallery" / f"{name}.html"
        report = file.read_text(encoding="utf-8")
        assert verdict in report
        assert f"Study file: studies/{name}.py" in report
        assert file.stat().st_size < 300_000
        assert f"studies/{name}.py --trials" in page
        for kind in ("style", "script"):
            [text] = re.findall(f"<{kind}>(.*?)</{kind}>", report, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src &#x27;sha256-{digest}&#x27;" in report, (
                "its policy lets it in"
            )
