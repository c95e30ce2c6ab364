"""Draws the pictures of README and guide from real studies, in one go.

python docs/make_pictures.py       # some minutes on two cores; needs matplotlib, scikit-learn, Chromium

The picture of rates is of a search that looks everywhere, instead of where values are good; report
and dashboard are of an ordinary search, as a browser shows them.
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
from lrsearch.dashboard.shelf import Shelf
from lrsearch.storage import open_ledger, resolve_url

HERE = Path(__file__).parent
TARGET = HERE / "pictures"
STUDIES = HERE.parent / "studies"
sys.path.insert(0, str(HERE.parent / "tests" / "support"))


def draw() -> list[Path]:
    """Search in a folder that is thrown away, and write the pictures; returns their paths."""
    with TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/studies.db"
        wide = lrsearch.search(
            STUDIES / "autoencoder.py", storage=storage, trials=120, sampler="qmc"
        )
        wide.plot_rates().savefig(TARGET / "autoencoder-rates.png", dpi=100)
        lrsearch.search(STUDIES / "digits.py", storage=storage, trials=40)
        return [TARGET / "autoencoder-rates.png", *_photograph(storage)]


def _photograph(storage: str) -> list[Path]:
    from browser import Browser

    pages = {"dashboard.png": ("/", 560), "report.png": ("/studies/1", 1180)}
    with _served(storage) as address, Browser() as browser:
        for name, (page, height) in pages.items():
            browser.size(900, height)
            browser.open(f"{address}{page}")
            browser.picture(TARGET / name, whole=False)
        if browser.problems:
            raise SystemExit(f"the pages complain: {browser.problems}")
    return [TARGET / name for name in pages]


@contextmanager
def _served(storage: str) -> Iterator[str]:
    """The dashboard's pages, while the context lasts."""
    with closing(open_ledger(resolve_url(storage, {}))) as ledger:
        pages = guard_everything(ledger, Shelf(ledger), allow_notes=False, token=None, prefix="")
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
