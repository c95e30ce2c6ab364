"""Replays samplers and stopping rules on tables of real trainings.

    python benchmarks/replay.py [--policies tpe,random,tpe+asha] [--tables NAME,...]
        [--repeats 30] [--first-seed 0] [--keep 1] [--budgets 5,8,10,12,15,20,30,40]
        [--strangers FOLDER] [--json FILE]

The tables are those of benchmarks/tables (made by benchmarks/landscape.py) and, where
their files are in --strangers, DeepOBS' and a sample of HPOLib's. For each budget, in
full runs with references counted: the mean regret of the pick, (its loss - best) /
(median - best), by a truth without the luck of seeds, and the standard error of its
difference from the first policy on the same repeats. Each budget's search begins with
the references that the product tries in a search of so many trials. The pick is the
best, by its retests, of the three settings that the product would retest (with
`SAMPLER/values`: of the three best values); what retests cost is the same for all and
not counted. Then the full runs until the pick is among the best 5, 2 and 1 %, the share of
diverged trials, and what the first 40 and 100 trials cost, as a share of the same
trials' cost without a stopping rule.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from replaying.division import yours_of
from replaying.search import Policy, Search, Step
from replaying.strangers import (
    DEEPOBS_SPACE,
    HPOLIB_SPACE,
    deepobs_tables,
    hpolib_tables,
)
from replaying.table import Table
from replaying.truth import Truth, denoised

from lrsearch import SearchSpace
from lrsearch.launch.creating import choose_references
from lrsearch.values import Setting, TrialState

TABLES = Path(__file__).parent / "tables"
BUDGETS = (5, 8, 10, 12, 15, 20, 30, 40)
SHARES = (0.05, 0.02, 0.01)
SPENT_AT = (40, 100)  # trials
_ROUNDING = 1e-9  # of sums of shares of a run


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """Tables that are reported together."""

    name: str
    space: SearchSpace
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """One policy on one table. regrets: (repeats, budgets); reached: (repeats, shares),
    full runs, inf where never; diverged: (repeats,), the share of trials; trials:
    (repeats,) that were begun; spent: (repeats, trials of SPENT_AT), shares of the cost
    without a stopping rule, NaN where fewer trials were begun.
    """

    regrets: np.ndarray
    reached: np.ndarray
    diverged: np.ndarray
    trials: np.ndarray
    spent: np.ndarray


def replay(
    table: Table,
    space: SearchSpace,
    policy: Policy,
    *,
    seeds: Sequence[int],
    budgets: Sequence[float],
    keep: float = 1.0,
) -> Result:
    """Search the table once with each of `seeds`; `budgets` ascend, `keep` is Search's.

    All but the regrets is of the search with the largest budget.
    """
    truth, rows = denoised(table), []
    for seed in seeds:
        regrets: list[float] = []
        for first, group in groupby(budgets, partial(references_of, table, space)):
            alike = list(group)
            search = Search(
                table=table, space=space, policy=policy, seed=seed, keep=keep
            )
            steps = search.run(budget=max(alike), first=first)
            regrets += regrets_of(steps, truth, alike)
        rows.append((regrets, reached_by(steps, truth), steps))
    diverged = [
        [each.state is TrialState.DIVERGED for each in steps] for _, _, steps in rows
    ]
    return Result(
        regrets=np.array([each for each, _, _ in rows]),
        reached=np.array([each for _, each, _ in rows]),
        diverged=np.array([np.mean(each) for each in diverged]),
        trials=np.array([len(each) for each in diverged]),
        spent=np.array([_spent(steps) for _, _, steps in rows]),
    )


def references_of(
    table: Table, space: SearchSpace, trials: float
) -> tuple[Setting, ...]:
    """What a search of so many trials tries first; the user's own compile is not replayed."""
    return tuple(choose_references(space.references(), round(trials), yours_of(table)))


def regrets_of(
    steps: Sequence[Step], truth: Truth, budgets: Sequence[float]
) -> list[float]:
    """Of the pick when each budget was spent; a search without a pick has the median's, 1."""
    found = []
    for budget in budgets:
        picks = [each.pick for each in steps if each.paid <= budget + _ROUNDING]
        pick = picks[-1] if picks else None
        found.append(1.0 if pick is None else truth.regret(pick))
    return found


def reached_by(steps: Sequence[Step], truth: Truth) -> list[float]:
    """Full runs until the pick was among the best, for each share."""
    found = []
    for share in SHARES:
        good = truth.among_best(share)
        paid = (
            each.paid for each in steps if each.pick is not None and good[each.pick]
        )
        found.append(next(paid, np.inf))
    return found


def _spent(steps: Sequence[Step]) -> list[float]:
    ends = [steps[count - 1] if count <= len(steps) else None for count in SPENT_AT]
    return [np.nan if end is None else end.paid / end.unstopped for end in ends]


def families(names: Sequence[str], strangers: Path | None) -> Iterator[Family]:
    """The tables that are there; with `names`, only those."""
    for path in sorted(TABLES.glob("*.npz")):
        if not names or path.stem in names:
            yield Family(
                name=path.stem, space=SearchSpace(), tables=(Table.load(path),)
            )
    for name, space, load in (
        ("deepobs", DEEPOBS_SPACE, deepobs_tables),
        ("hpolib", HPOLIB_SPACE, hpolib_tables),
    ):
        if strangers is not None and (not names or name in names):
            yield Family(name=name, space=space, tables=tuple(load(strangers)))


def compare(
    family: Family,
    policies: Sequence[Policy],
    *,
    seeds: Sequence[int],
    budgets: Sequence[float],
    keep: float,
) -> list[Result]:
    """Each policy's results over all tables of the family, joined."""
    jobs = [(table, policy) for policy in policies for table in family.tables]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        calls = [
            pool.submit(
                replay,
                table,
                family.space,
                policy,
                seeds=seeds,
                budgets=budgets,
                keep=keep,
            )
            for table, policy in jobs
        ]
        done = [each.result() for each in calls]
    size = len(family.tables)
    return [_joined(done[start : start + size]) for start in range(0, len(done), size)]


def _joined(results: Sequence[Result]) -> Result:
    """Means over the tables, repeat by repeat; a median would hide the table that was lost."""
    return Result(
        regrets=np.mean([each.regrets for each in results], axis=0),
        reached=np.concatenate([each.reached for each in results]),
        diverged=np.mean([each.diverged for each in results], axis=0),
        trials=np.mean([each.trials for each in results], axis=0),
        spent=np.mean([each.spent for each in results], axis=0),
    )


def table_text(
    family: Family,
    policies: Sequence[Policy],
    results: Sequence[Result],
    budgets: Sequence[float],
) -> str:
    """The family's results as Markdown."""
    shares = [f"to {share:.0%}" for share in SHARES]
    spent = [f"spent at {count}" for count in SPENT_AT]
    head = [
        "policy",
        *(f"{budget:g}" for budget in budgets),
        *shares,
        "diverged",
        "trials",
        *spent,
    ]
    lines = [f"### {family.name}", "", _row(head), _row(["---"] * len(head))]
    for policy, result in zip(policies, results, strict=True):
        means = result.regrets.mean(axis=0)
        apart = result.regrets - results[0].regrets
        errors = apart.std(axis=0, ddof=1) / np.sqrt(len(apart))
        cells = [
            f"{mean:.3f}" + (f" ±{error:.3f}" if policy is not policies[0] else "")
            for mean, error in zip(means, errors, strict=True)
        ]
        reached = [f"{np.median(each):.0f}" for each in result.reached.T]
        rest = [f"{result.diverged.mean():.0%}", f"{result.trials.mean():.0f}"]
        mean = result.spent.mean(axis=0)
        share = ["-" if np.isnan(each) else f"{each:.2f}" for each in mean]
        lines.append(_row([policy.name, *cells, *reached, *rest, *share]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _policies(text: str) -> list[Policy]:
    return [
        Policy(
            sampler=sampler.strip(),
            pruner=pruner.strip() or "none",
            by_values=_by_values(values),
        )
        for whole, _, values in (each.partition("/") for each in text.split(","))
        for sampler, _, pruner in (whole.partition("+"),)
    ]


def _by_values(word: str) -> bool:
    if word not in {"", "values"}:
        raise SystemExit(f"a policy may end with /values, got /{word}")
    return bool(word)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--policies", type=_policies, default=_policies("random,tpe,tpe+asha")
    )
    parser.add_argument("--tables", default="", help="names, comma between; all")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="others judge what these chose"
    )
    parser.add_argument(
        "--keep", type=float, default=1.0, help="share of a table that a repeat sees"
    )
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument(
        "--strangers", type=Path, help="folder of deepobs.json.gz, hpolib_rates.npz"
    )
    parser.add_argument("--json", type=Path, help="write every regret here, too")
    given = parser.parse_args()
    budgets = sorted(float(each) for each in given.budgets.split(","))
    seeds = range(given.first_seed, given.first_seed + given.repeats)
    names, kept = [each for each in given.tables.split(",") if each], {}
    for family in families(names, given.strangers):
        results = compare(
            family, given.policies, seeds=seeds, budgets=budgets, keep=given.keep
        )
        print(
            table_text(family, given.policies, results, budgets), end="\n\n", flush=True
        )
        kept[family.name] = {
            policy.name: result.regrets.tolist()
            for policy, result in zip(given.policies, results, strict=True)
        }
    if given.json:
        given.json.write_text(json.dumps({"budgets": budgets, "regrets": kept}))


if __name__ == "__main__":
    main()
