"""Draws docs/pictures/search.png: what the search sees, from a table of real trainings.

    python docs/make_search_picture.py

Left, the trainings of benchmarks/tables/autoencoder.npz against their real peak rates;
right, the same on the search's axis, with the thirty trials of one search by the
sampler `auto`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from replaying.search import Policy, Search  # noqa: E402 - after the path
from replaying.table import Table  # noqa: E402

from lrsearch import SearchSpace  # noqa: E402

# Okabe and Ito's palette, which colour-blind people can tell apart
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
TRIALS = 30
LABELLED = 12  # numbers of later ones lie over each other


def main() -> None:
    table, space = Table.load(ROOT / "benchmarks/tables/autoencoder.npz"), SearchSpace()
    search = Search(table=table, space=space, policy=Policy(sampler="auto"), seed=0)
    steps = search.run(budget=TRIALS, first=space.references())
    rates = np.array([each.learning_rate for each in table.settings])
    axis = rates / np.array([space.unit_rate(each) for each in table.settings])
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for name, colour in zip(space.optimizers, COLOURS, strict=True):
        mine = [each.optimizer == name for each in table.settings]
        left.scatter(rates[mine], table.values[mine], s=7, color=colour, label=name)
        right.scatter(
            axis[mine], table.values[mine], s=7, color=colour, alpha=0.2, linewidths=0
        )
        picked = [each.place for each in steps if mine[each.place]]
        right.scatter(
            axis[picked], table.values[picked], s=45, color=colour, edgecolors="black"
        )
    for number, step in enumerate(steps[:LABELLED]):
        place = axis[step.place], table.values[step.place]
        right.annotate(
            str(number + 1), place, (4, 4), textcoords="offset points", fontsize=7
        )
    left.set(
        title="1,000 trainings", xlabel="peak learning rate", ylabel="validation loss"
    )
    right.set(
        title=f"The same on the search's axis, and {TRIALS} trials in their order",
        xlabel="peak rate, relative to its optimizer, schedule, batch and momentum",
    )
    for each in (left, right):
        each.set(xscale="log", yscale="log")
        each.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(ROOT / "docs/pictures/search.png", dpi=110)


if __name__ == "__main__":
    main()
