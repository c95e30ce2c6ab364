"""Draws docs/pictures/autoencoder-rates.png from a search that looks everywhere, instead of where
values are good.

python docs/make_picture.py        # a minute on two cores; needs matplotlib and scikit-learn
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import lrsearch

HERE = Path(__file__).parent
TARGET = HERE / "pictures" / "autoencoder-rates.png"


def draw() -> None:
    """Search in a folder that is thrown away, and write the picture."""
    study_file = HERE.parent / "studies" / "autoencoder.py"
    with TemporaryDirectory() as folder:
        found = lrsearch.search(
            study_file, storage=f"sqlite:///{folder}/studies.db", trials=120, sampler="qmc"
        )
        found.plot_rates().savefig(TARGET, dpi=100)


if __name__ == "__main__":
    draw()
    sys.stdout.write(f"wrote {TARGET}\n")
