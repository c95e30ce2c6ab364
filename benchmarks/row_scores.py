"""What row scores cost: their share of the trials' time, and their bytes per 100 rows.

    python benchmarks/row_scores.py [STUDY_FILE] [--engine auto] [--trials 200]
    [--objective val_loss]

An engine trains in this process, on random settings of the study's own space. Seconds
are of measuring rows (one more evaluation, taken apart) and of compressing them; the
first measurement traces, and is shown apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from memory import ROOT, specs_of

from lrsearch.definition import StudyDefinition, load_study_file
from lrsearch.values import RowScores, Verdict


@dataclass(kw_only=True)
class Cost:
    """seconds: of each trial's rows, in their order. sizes: bytes per 100 rows."""

    seconds: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)


def main() -> None:
    given = arguments()
    definition = load_study_file(given.study_file)
    if given.objective:
        definition = replace(definition, objective=given.objective, direction=None)
    cost, begun = Cost(), time.perf_counter()
    count_seconds(cost)
    for scores in trained(definition, given.engine, given.trials):
        compress_all(scores, cost)
    whole = time.perf_counter() - begun
    print(table(definition, given.engine, cost, whole))


def count_seconds(cost: Cost) -> None:
    """Add the time of each trial's rows to the cost."""
    from lrsearch.engine.row_keeping import RowKeeper

    conclude = RowKeeper.conclude

    def timed(self: RowKeeper, *arguments: Any, **more: Any) -> None:
        begun = time.perf_counter()
        conclude(self, *arguments, **more)
        cost.seconds.append(time.perf_counter() - begun)

    RowKeeper.conclude = timed  # type: ignore[method-assign]


def compress_all(scores: tuple[RowScores, ...], cost: Cost) -> None:
    from lrsearch.storage.row_scores import compress

    for each in scores:
        begun = time.perf_counter()
        size = len(compress(each.values))
        cost.seconds[-1] += time.perf_counter() - begun
        cost.sizes.append(100 * size / len(each.values))


def trained(
    definition: StudyDefinition, engine: str, trials: int
) -> Iterator[tuple[RowScores, ...]]:
    """Row scores of each complete trial. Raises RuntimeError where a trial has none."""
    from lrsearch.engine import create_engine, load_study

    made = create_engine(engine, load_study(definition))
    specs = specs_of(definition, trials)
    ends = made.train(
        lambda: next(specs, None), lambda _: Verdict.KEEP, lambda _progress, _take: None
    )
    for outcome in ends:
        if outcome.status == "failed":
            raise RuntimeError(f"trial {outcome.trial_id} failed: {outcome.reason}")
        if outcome.status == "complete" and not outcome.row_scores:
            raise RuntimeError(
                f"trial {outcome.trial_id} has no row scores: {outcome.notes}"
            )
        yield outcome.row_scores


def table(definition: StudyDefinition, engine: str, cost: Cost, whole: float) -> str:
    first, rest = cost.seconds[0], cost.seconds[1:]
    share = sum(rest) / (whole - first)
    return (
        "| objective | engine | trials | whole | rows, the first trial | a further trial "
        "| of the time | bytes per 100 rows, mean | most |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        f"| {definition.objective} | `{engine}` | {len(cost.seconds)} | {whole:.1f} s "
        f"| {first:.2f} s | {1000 * sum(rest) / len(rest):.1f} ms | {100 * share:.1f} % "
        f"| {sum(cost.sizes) / len(cost.sizes):.0f} | {max(cost.sizes):.0f} |"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "study_file", nargs="?", default=str(ROOT / "studies" / "digits.py")
    )
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--objective", default="", help="in place of the study's own")
    return parser.parse_args()


if __name__ == "__main__":
    main()
