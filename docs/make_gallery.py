"""Makes the gallery of the site from three real studies, in one go.

python docs/make_gallery.py       # three minutes on two cores; needs scikit-learn and Chromium

Writes each study's report and a picture of its top into docs/gallery, and its verdict
into docs/gallery.md, below the mark that names the study.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
STUDIES = HERE.parent / "studies"
PAGE, GALLERY = HERE / "gallery.md", HERE / "gallery"
# one for each verdict: better, as good, undecided
NAMES = ("autoencoder", "digits", "diabetes")
TRIALS = 40
sys.path.insert(0, str(HERE.parent / "tests" / "support"))


def make() -> list[Path]:
    """Search in a folder that is thrown away, and write the gallery; returns the paths."""
    GALLERY.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        # reports name the file as it was given
        shutil.copytree(STUDIES, Path(folder) / "studies")
        verdicts = {name: _search(name, folder) for name in NAMES}
    PAGE.write_text(
        with_verdicts(PAGE.read_text(encoding="utf-8"), verdicts), encoding="utf-8"
    )
    _photograph()
    return [PAGE, *sorted(GALLERY.iterdir())]


def _search(name: str, folder: str) -> str:
    """Search a study with the commands that the page shows; returns its verdict."""
    _lrsearch(folder, "start-study", f"studies/{name}.py", "--trials", TRIALS)
    _lrsearch(folder, "report", name, "-o", GALLERY / f"{name}.html")
    answer = json.loads(_lrsearch(folder, "best", name, "--json"))
    text: str = answer["verdict"]["text"]
    return text


def _lrsearch(folder: str, *words: object) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "lrsearch", *map(str, words)]
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def with_verdicts(page: str, verdicts: dict[str, str]) -> str:
    """The page with each study's verdict in the quotation below the study's mark."""
    for name, text in verdicts.items():
        mark = f"<!-- verdict of {name} -->\n"
        page = re.sub(f"{mark}>.*\n", lambda _, new=f"{mark}> {text}\n": new, page)
    return page


def _photograph() -> None:
    """Take the top of each report, as a browser shows it."""
    from browser import Browser

    with Browser() as browser:
        browser.size(860, 720)
        for name in NAMES:
            browser.open(f"file://{GALLERY / name}.html")
            browser.picture(GALLERY / f"{name}.png", whole=False)
        if browser.problems:
            raise SystemExit(f"a report complains: {browser.problems}")


if __name__ == "__main__":
    for path in make():
        sys.stdout.write(f"wrote {path}\n")
