"""Draws the pictures of README and guide from real studies, in one go.

python docs/make_pictures.py       # some minutes on two cores; needs matplotlib, scikit-learn, Chromium

Both are of a search that looks everywhere, instead of where values are good: the figure
of rates, and the top of the study's page in the dashboard.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import lrsearch
from lrsearch.dashboard.server import bind_server
from lrsearch.dashboard.serving import guard_everything
from lrsearch.dashboard.study_views import StudyViews
from lrsearch.storage import open_ledger, resolve_url

HERE = Path(__file__).parent
RATES, REPORT = (
    HERE / "pictures" / name for name in ("autoencoder-rates.png", "report.png")
)
STUDIES = HERE.parent / "studies"
sys.path.insert(0, str(HERE.parent / "tests" / "support"))


def draw() -> list[Path]:
    """Search in a folder that is thrown away, and write the pictures; returns their paths."""
    with TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/studies.db"
        found = lrsearch.search(
            STUDIES / "autoencoder.py",
            storage=storage,
            trials=120,
            sampler="qmc",
            pruner="none",
        )
        found.plot_rates().savefig(RATES, dpi=100)
        _photograph(storage)
    return [RATES, REPORT]


def _photograph(storage: str) -> None:
    """Take the top of the study's page, as a browser shows it."""
    from browser import Browser

    with _served(storage) as address, Browser() as browser:
        browser.size(860, 1090)
        browser.open(f"{address}/studies/1")
        browser.picture(REPORT, whole=False)
        if browser.problems:
            raise SystemExit(f"the page complains: {browser.problems}")


@contextmanager
def _served(storage: str) -> Iterator[str]:
    """The dashboard's pages, while the context lasts."""
    with closing(open_ledger(resolve_url(storage, {}))) as ledger:
        pages = guard_everything(
            ledger, StudyViews(ledger), allow_notes=False, token=None, prefix=""
        )
        with bind_server("127.0.0.1", 0, pages) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()


if __name__ == "__main__":
    for path in draw():
        sys.stdout.write(f"wrote {path}\n")
