"""Makes tables of real trainings, on which benchmarks/replay.py replays samplers and stopping rules.

    python benchmarks/landscape.py [NAME ...] [--folder FOLDER] [--trials N]

Each study file of benchmarks/landscapes is searched by quasi-random settings with this
project's own engines; then the best fifth is trained on three fresh seeds. A table
keeps each setting, its whole curve, its value and the values of its retests.
LRSEARCH_DATA names the folder with MNIST's files and the text. What is interrupted goes
on where it stood.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from replaying.table import Table, table_of

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "benchmarks/landscapes"
TABLES = ROOT / "benchmarks/tables"
TRIALS = {
    "digits": 1000,
    "autoencoder": 1000,
    "diabetes": 1000,
    "mnist_mlp": 500,
    "mnist_cnn": 400,
    "characters": 500,
}
RETESTED = 1 / 5  # of the settings
SEEDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(TRIALS)}; all"
    )
    parser.add_argument("--folder", type=Path, default=Path("landscapes"))
    parser.add_argument(
        "--trials", type=int, help="of each table, instead of its own number"
    )
    given = parser.parse_args()
    for name in given.names:
        if name not in TRIALS:
            parser.error(f"{name} is no landscape; there are {', '.join(TRIALS)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    TABLES.mkdir(exist_ok=True)
    for name in given.names or TRIALS:
        table = make_table(name, given.folder, trials=given.trials or TRIALS[name])
        table.save(TABLES / f"{name}.npz")
        print(f"{name}: {table.summary()}", flush=True)


def make_table(name: str, folder: Path, *, trials: int) -> Table:
    """Train the landscape's settings, and read them back."""
    url = f"sqlite:///{folder.resolve() / name}.db"
    study = STUDIES / f"{name}.py"
    search = ("--sampler", "qmc", "--retest", "0", "--trials", str(trials))
    _lrsearch(url, "start-study", study, *search)
    _lrsearch(
        url,
        "retest",
        name,
        "--seeds",
        str(SEEDS),
        "--top",
        str(round(trials * RETESTED)),
    )
    return table_of(url, name)


def _lrsearch(url: str, *arguments: object) -> None:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "lrsearch", *map(str, arguments), "--quiet"]
    environment = os.environ | {"PYTHONPATH": path, "LRSEARCH_STORAGE": url}
    subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main()
