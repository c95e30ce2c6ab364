"""Whether the verdict holds: false calls, power, and what happens on fresh rows and seeds.

    OMP_NUM_THREADS=1 python benchmarks/trust.py [--simulations N] [--only WORD]
        [--keep FILE]

Studies are put together from real trainings (small networks in NumPy on scikit-learn's
bundled data, every held-out row's cost kept) and from the landscape tables. Each is
searched, retested and judged by the code that `lrsearch best` runs. Prints a row of the
table in docs/benchmarks.md for each case: 2,000 simulations take about 20 s, and a
task's trainings up to 30 s once. With `--keep` each row is added to the file, and a
later call leaves out the cases that the file has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from replaying.table import Table
from replaying.truth import denoised
from trusting.bank import Bank, Task, rates, tasks, train_bank
from trusting.folds import fold_plans, simulate
from trusting.retested import settings_of
from trusting.study import Judged, Plan, Simulation

from lrsearch import SearchSpace
from lrsearch.answer import Decision
from lrsearch.values import Direction

TABLES = Path(__file__).parent / "tables"
SETTINGS = 40
SEEDS = 60  # trainings of each setting in a bank
SAME = "all are yours"
TOTALS = (48, 24)  # retests of a race
SAME_SEEDS = 500  # of the one setting that goes by many names
SETTINGS_OF_BANKS = settings_of(rates(SETTINGS))
# where all trials train one setting, yours included, these are their names
NAMES_OF_ONE = settings_of(rates(SETTINGS + 1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=2000, help="of each case")
    parser.add_argument("--only", default="", help="cases whose name holds this word")
    parser.add_argument(
        "--keep", type=Path, help="a file of rows: these cases are left out"
    )
    given = parser.parse_args()
    kept = given.keep.read_text() if given.keep and given.keep.exists() else ""
    print(HEAD)
    for name, case in cases():
        if given.only in name and f"| {name} |" not in kept:
            line = row(name, list(case(given.simulations)))
            print(line, flush=True)
            if given.keep:
                with given.keep.open("a") as file:
                    file.write(line + "\n")


HEAD = (
    "| case | studies | better | of those retested | truly better (of the others) | bias, s.e. | measured, s.e. "
    "| gain held | retrain held |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row(name: str, judged: list[Judged]) -> str:
    """A line of the table; `bias` is in standard errors of the reported value."""
    better = np.array([each.verdict.decision is Decision.BETTER for each in judged])
    retested = np.array([each.retested for each in judged])
    true = np.array([each.gain > 0 for each in judged])
    spread = np.std([each.missed for each in judged])
    bias, naive = (
        np.mean([getattr(each, kind) for each in judged]) / spread
        for kind in ("missed", "naive")
    )
    held = np.mean([_holds(each) for each in judged])
    covered = np.mean([each.covered for each in judged])
    right = f"{true[better].mean():.1%}" if better.any() else "-"
    # where few are truly better, most calls are wrong however seldom one is: the right
    # denominator
    right += f" ({better[~true].mean():.1%})" if not true.all() and true.any() else ""
    final = f"{better[retested].mean():.1%}" if retested.any() else "-"
    return (
        f"| {name} | {len(judged):,} | {better.mean():.1%} | {final} | {right} | {bias:+.2f} | {naive:+.2f} "
        f"| {held:.1%} | {covered:.1%} |"
    )


def _holds(each: Judged) -> bool:
    low, high = each.verdict.gain.interval
    return low <= each.gain <= high


Case = Callable[[int], Iterator[Judged]]
MakeBank = Callable[[], Bank]


def cases() -> Iterator[tuple[str, Case]]:
    """Names and cases; a bank is trained when a case that needs it is run."""
    for task in tasks():
        same, bank, level = _Banks(task).all()
        for rows in (90, 5000):
            where = f"{task.name}, {rows} rows"
            yield f"{where}: {SAME}", _case(same, rows)
            yield f"{where}: 40 settings, equal on average", _case(level, rows)
            for size, seeds in ((3, 3), (2, 6)):
                named = f"gain of {size}, {seeds} seeds"
                more = {"gain": size, "seeds": seeds}
                yield f"{where}: {named}, others are yours", _case(same, rows, **more)
                yield (
                    f"{where}: {named}, others equal on average",
                    _case(level, rows, **more),
                )
            yield f"{where}: settings as they are", _case(bank, rows)
            worst = f"{where}: as they are, yours is the worst"
            yield worst, _case(bank, rows, worst=True)
            for total in TOTALS:
                race = f"{where}: --total {total}"
                yield f"{race}, {SAME}", _case(same, rows, total=total)
                yield f"{race}, equal on average", _case(level, rows, total=total)
                more = {"gain": 2, "total": total}
                yield f"{race}, gain of 2, others are yours", _case(same, rows, **more)
    for name, plan in fold_plans():
        yield name, partial(simulate, plan)
    for path in sorted(TABLES.glob("*.npz")):
        yield f"table {path.stem}, seeds alone", _table_case(path)


class _Banks:
    """The banks of a task: one setting alone, all settings, and these levelled."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def all(self) -> tuple[MakeBank, MakeBank, MakeBank]:
        settings = cache(lambda: train_bank(self.task, rates(SETTINGS), seeds=SEEDS))
        return cache(self._same), settings, lambda: settings().levelled()

    def _same(self) -> Bank:
        middle = rates(SETTINGS)[[SETTINGS // 2]]
        return train_bank(self.task, middle, seeds=SAME_SEEDS, seed=1000)


def _case(
    make: MakeBank,
    rows: int,
    *,
    gain: int = 0,
    seeds: int = 3,
    total: int = 0,
    worst: bool = False,
) -> Case:
    """Studies on a bank; a gain is in combined standard deviations of yours and the first."""

    def run(simulations: int) -> Iterator[Judged]:
        bank, random = make(), np.random.default_rng(rows)
        count = len(bank.scores)
        for _ in range(simulations):
            # yours is one of them, and is not searched again
            names = (
                random.permutation(count) if count > 1 else np.zeros(SETTINGS + 1, int)
            )
            names = [int(each) for each in names]
            if worst:
                names.sort(key=lambda name: name != bank.truth.argmax())
            if count > 1:
                settings = [SETTINGS_OF_BANKS[name] for name in names]
            else:
                settings = [
                    NAMES_OF_ONE[place] for place in random.permutation(len(names))
                ]
            size = (
                gain * bank.combined_deviation(names[0], names[1], rows=rows)
                if gain
                else 0.0
            )
            plan = Plan(
                settings=len(names) - 1, rows=rows, seeds=seeds, gain=size, total=total
            )
            yield Simulation(bank, names, plan, random, settings).judge()

    return run


def _table_case(path: Path) -> Case:
    """Studies of forty random settings of a table: its smoothed truth, and its seeds' noise."""

    def run(simulations: int) -> Iterator[Judged]:
        table, random = Table.load(path), np.random.default_rng(0)
        truth, deviation = denoised(table).losses, _deviation(table)
        good = np.flatnonzero(np.isfinite(table.values))
        for _ in range(simulations):
            names = random.choice(good, SETTINGS + 1, replace=False)
            noise = deviation * random.standard_normal((len(names), 20))
            costs = truth[names, None] + noise - noise.mean(axis=1, keepdims=True)
            bank = Bank(name=table.name, scores=costs[:, :, None].astype("float32"))
            plan, places = Plan(settings=SETTINGS, rows=None), list(range(len(names)))
            chosen = [table.settings[name] for name in names]
            study = Simulation(bank, places, plan, random, chosen, SearchSpace())
            yield study.judge()

    return run


def _deviation(table: Table) -> float:
    """The pooled standard deviation of a setting's retests."""
    costs = -table.retests if table.direction is Direction.MAXIMIZE else table.retests
    whole = costs[np.isfinite(costs).all(axis=1)]
    return float(np.sqrt(whole.var(axis=1, ddof=1).mean()))


if __name__ == "__main__":
    main()
