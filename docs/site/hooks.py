"""Pages of the site that lie outside docs/: mkdocs calls these functions (see mkdocs.yml).

A link that works in a checkout, such as `docs/guide.md` in the README, is turned into
the site's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# a file below the root, and its page
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "lrsearch/cli/skill.md": "skill.md",
}
# Pages without others beside them, and pages with two listings side by side, take the
# whole width.
ALONE = {"index.md", "reference.md", "gallery.md"}
SIDE_BY_SIDE = 'class="grid"'
INLINE_CODE = re.compile(r"<code>[^<\n]*</code>")
OPTION = re.compile(r"(?<![\w-])--?[\w-]*")
LINK = re.compile(r"(\]\()(?:\.\./|docs/)?([^):#]+)([^)]*\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere."""
    for file, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / file)))
    return files


def on_page_markdown(
    markdown: str,
    page: Page,
    config: MkDocsConfig,  # noqa: ARG001
    files: Files,  # noqa: ARG001
) -> str:
    """The page with links of the site, and without bars that it has no use for."""
    if page.file.src_uri in ALONE:
        page.meta["hide"] = ["navigation"]
    if SIDE_BY_SIDE in markdown:
        page.meta["hide"] = ["navigation", "toc"]
    return LINK.sub(
        lambda each: each[1] + PAGES.get(each[2], each[2]) + each[3], markdown
    )


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """The page without line breaks within an option, which browsers make behind a hyphen."""
    whole = r'<span class="whole">\g<0></span>'
    return INLINE_CODE.sub(lambda code: OPTION.sub(whole, code[0]), html)
