"""Training that a search pays until its pick is near the best known, beside the other tools.

    python benchmarks/race_to_target.py --peers-python PATH [TASK ...] [--seeds 3] [--limit 36]
        [--budgets 4,8,12,24,36] [--judge 4] [--judge-near 12] [--split validation]
        [--contenders NAME,...] [--stop-after SECONDS] [--file target.jsonl]

TASK is mlp, characters or cnn (benchmarks/racing/tasks.py; all). Every contender
searches with one worker of one thread. A peer searches once on --limit full runs and
says its own best each time it changes: none of them looks at the budget before its end,
so that its best at a moment is what it would have answered had that been its budget.
lrsearch's answer includes retests, which it plans by its budget, so it searches anew on
each of --budgets (`--trainings`). Every distinct pick of a task is trained --judge times
by plain `model.fit`, once for all, on the same fresh seeds; a pick whose own value of a
whole run is far from the best is not, and one that is near is trained --judge-near
times (racing/targets.py). The table has the full runs until a pick is within 10, 5 and
2 % of (median - best) of the best known and all later ones are too, medians over seeds,
and the seconds until within 10 %. Losses are those on the rows that the searches
minimised, or with --split test on rows that none saw.

Each search and each judged pick is a line of --file; the same command goes on where it
stood, and with --stop-after 0 prints the table alone. A search that fails is named, and
tried again by the next call. The peers' environment and LRSEARCH_DATA: as for race.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from contest.processes import RunFailed
from racing.arguments import make_parser, parse, read_records
from racing.contenders import CONTENDERS, Search, losses_of
from racing.target_table import OURS, report
from racing.targets import (
    MEDIANS,
    NEAR,
    Pick,
    Record,
    courses,
    judged,
    name_of,
    standings,
    to_judge,
)
from racing.tasks import SPLITS, TASKS

JUDGED_AT_ONCE = 6  # picks of one process: its start costs as much as training one pick
FAILURES = (RunFailed, OSError, ValueError, LookupError)


class Journal:
    """The file's records; a new one is a line at once."""

    def __init__(self, file: Path) -> None:
        self.file, self.records = file, read_records(file)

    def add(self, record: Record) -> None:
        self.records.append(record)
        with self.file.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def has(self, search: Search) -> bool:
        """A peer's search on more full runs has what it said by these."""
        key = key_of(search)
        same = [
            each["runs"]
            for each in self.records
            if key == {name: each.get(name) for name in key}
        ]
        return search.runs in same or (
            not_ours(search) and max(same, default=0) > search.runs
        )


def key_of(search: Search) -> dict[str, Any]:
    """What a finished search is found by, beside its full runs."""
    names = ("task", "contender", "seed")
    return {"kind": "search", **{name: getattr(search, name) for name in names}}


def not_ours(search: Search) -> bool:
    return not search.contender.startswith(OURS)


def rounds(given: argparse.Namespace) -> Iterator[tuple[str, list[Search]]]:
    """Seed after seed, so that tasks and contenders have as many when time ends."""
    for seed in given.seeds:
        for task in given.tasks or TASKS:
            yield (
                task,
                [
                    Search(
                        task=task,
                        contender=contender,
                        seed=seed,
                        runs=runs,
                        peers_python=given.peers_python,
                        timeout=given.timeout,
                    )
                    for contender in given.contenders
                    for runs in budgets_of(contender, given)
                ],
            )


def budgets_of(contender: str, given: argparse.Namespace) -> list[int]:
    """lrsearch is run on each budget, a peer on the largest alone."""
    ours = contender.startswith(OURS)
    return given.budgets if ours else [0 if contender == "yours" else given.limit]


def run_searches(searches: list[Search], journal: Journal, until: float) -> int:
    """How many failed."""
    failed = 0
    for search in searches:
        if journal.has(search) or time.monotonic() > until:
            continue
        name = f"{search.task}, seed {search.seed}, {search.contender} {search.runs}"
        try:
            found = CONTENDERS[search.contender](search)
        except FAILURES as error:
            failed += 1
            print(f"FAILED: {name}: {type(error).__name__}: {error}", flush=True)
            continue
        of_machine = {"load": os.getloadavg()[0], "at": time.time()}
        journal.add({**key_of(search), "runs": search.runs, **of_machine, **found})
        spent = f"{found['seconds']:.0f} s, {found['cpu']:.0f} of a processor"
        print(f"{name}: {found['epochs']} epochs, {spent}", flush=True)
    return failed


def judge_picks(
    task: str, journal: Journal, given: argparse.Namespace, until: float
) -> int:
    """Train what may be near the best and was not trained yet; how many calls failed."""
    answers = list(chain.from_iterable(courses(journal.records, task).values()))
    picks = to_judge(answers, task)
    failed = judge_on(given.judge, picks, task, journal, given, until)
    losses = judged(journal.records, task, given.split)
    if failed or not losses:
        return failed
    regrets = standings(losses, MEDIANS[task]).regrets
    near = [each for each in picks if regrets.get(name_of(each), 1.0) < NEAR]
    return judge_on(given.judge_near, near, task, journal, given, until)


def judge_on(
    count: int,
    picks: list[Pick],
    task: str,
    journal: Journal,
    given: argparse.Namespace,
    until: float,
) -> int:
    """Train the picks on the first `count` seeds, where they were not; how many calls failed."""
    losses, failed = judged(journal.records, task, given.split), 0
    waiting: dict[tuple[int, ...], list[Pick]] = {}
    for pick in picks:
        known = losses.get(name_of(pick), {})
        seeds = (2_000_000 + place for place in range(count))
        if missing := tuple(each for each in seeds if str(each) not in known):
            waiting.setdefault(missing, []).append(pick)
    for seeds, some in waiting.items():
        for start in range(0, len(some), JUDGED_AT_ONCE):
            if time.monotonic() < until:
                part = some[start : start + JUDGED_AT_ONCE]
                failed += not judge_once(seeds, part, task, journal, given)
    return failed


def judge_once(
    seeds: tuple[int, ...],
    picks: list[Pick],
    task: str,
    journal: Journal,
    given: argparse.Namespace,
) -> bool:
    """Whether the picks were trained on these seeds; a record for each."""
    options = {"peers_python": given.peers_python, "timeout": given.timeout}
    began = time.monotonic()
    try:
        found = losses_of(task, picks, seeds, **options)
    except FAILURES as error:
        print(f"FAILED: the judge of {task}: {type(error).__name__}: {error}")
        return False
    for pick, losses in zip(picks, found, strict=True):
        by_seed = {
            split: dict(zip(map(str, seeds), losses[split], strict=True))
            for split in SPLITS
        }
        journal.add({"kind": "judged", "task": task, "pick": pick, **by_seed})
    print(f"{task}: {len(picks)} picks, {time.monotonic() - began:.0f} s", flush=True)
    return True


def main() -> int:
    given, failed = arguments(), 0
    journal, until = Journal(given.file), time.monotonic() + given.stop_after
    for task, searches in rounds(given):
        failed += run_searches(searches, journal, until)
        failed += judge_picks(task, journal, given, until)
    if time.monotonic() > until:
        print("stopped after --stop-after; the same command goes on")
    print(f"\n{report(chosen(journal.records, given), limits_of(given), given.split)}")
    return int(failed > 0)


def limits_of(given: argparse.Namespace) -> dict[str, int]:
    """The full runs at which each contender is censored."""
    return {each: max(budgets_of(each, given)) for each in given.contenders}


def chosen(records: list[Record], given: argparse.Namespace) -> list[Record]:
    """The judged picks, and the searches of the contenders, budgets and seeds that are asked."""

    def asked(each: Mapping[str, Any]) -> bool:
        if each["contender"] not in given.contenders or each["seed"] not in given.seeds:
            return False
        budgets = budgets_of(each["contender"], given)
        ours = each["contender"].startswith(OURS)
        return each["runs"] in budgets if ours else each["runs"] >= budgets[0]

    tasks = given.tasks or TASKS
    return [
        each
        for each in records
        if each["task"] in tasks and (each["kind"] == "judged" or asked(each))
    ]


def arguments() -> argparse.Namespace:
    shown = "lrsearch,optuna,raytune,kerastuner,yours"
    parser = make_parser(
        __doc__, seeds=3, judge=4, contenders=shown, file="target.jsonl"
    )
    add = parser.add_argument
    add("--limit", type=int, default=36, help="full runs that a peer pays")
    near = "fresh seeds for a pick that is near the best"
    add("--judge-near", type=int, default=12, help=near)
    add("--split", choices=SPLITS, default=SPLITS[0], help="whose loss is compared")
    add("--budgets", default="4,8,12,24,36", help="full runs of each study of lrsearch")
    given = parse(parser)
    given.seeds = range(given.seeds)
    given.budgets = [int(each) for each in given.budgets.split(",")]
    return given


if __name__ == "__main__":
    sys.exit(main())
