"""A worker's memory over many trials: an engine, and this process's resident memory.

    python benchmarks/memory.py [STUDY_FILE] [--engine graph] [--trials 500]
        [--epochs 2] [--json]

Settings are drawn from the study's own space, so every optimizer takes part; --epochs
shortens the trials, since it is models, graphs and optimizers that may stay behind. As
in a worker, what is there before the first trial is set aside from collection.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lrsearch.definition import StudyDefinition, load_study_file  # noqa: E402
from lrsearch.sampling import make_sampler  # noqa: E402
from lrsearch.values import Direction, TrialSpec, Verdict  # noqa: E402


def main() -> None:
    given = arguments()
    definition = load_study_file(given.study_file)
    found: dict[int, float] = {}
    for trials, resident in measured(
        replace(definition, epochs=given.epochs),
        given.engine,
        given.trials,
        given.every,
    ):
        found[trials] = resident
        if not given.json:
            growth = 100 * (resident / found[given.every] - 1)
            print(
                f"{trials:>6} trials {resident:>9.1f} MiB {growth:>+7.2f} % since trial {given.every}",
                flush=True,
            )
    if given.json:
        print(json.dumps(found))


def measured(
    definition: StudyDefinition, engine: str, trials: int, every: int
) -> Iterator[tuple[int, float]]:
    """Trials ended and resident MiB, every so many trials. Raises RuntimeError where a trial fails."""
    from lrsearch.engine import create_engine, load_study

    made = create_engine(engine, load_study(definition))
    specs = specs_of(definition, trials)
    gc.collect()
    gc.freeze()
    ends = made.train(
        lambda: next(specs, None), lambda _: Verdict.KEEP, lambda _progress, _take: None
    )
    for ended, outcome in enumerate(ends, start=1):
        if outcome.status == "failed":
            raise RuntimeError(
                f"trial {outcome.trial_id} failed: {outcome.reason}\n{outcome.traceback_text}"
            )
        if engine not in {outcome.engine, "auto"}:
            raise RuntimeError(
                f"trial {outcome.trial_id} was trained by {outcome.engine}: {outcome.notes}"
            )
        if ended % every == 0:
            yield ended, resident_mib()


def specs_of(definition: StudyDefinition, trials: int) -> Iterator[TrialSpec]:
    """Random settings of the study's space."""
    proposer = make_sampler(
        "random", definition.effective_space(), direction=Direction.MINIMIZE, seed=0
    )
    for number in range(trials):
        yield TrialSpec(
            trial_id=number,
            attempt=1,
            label=f"trial {number}",
            setting=proposer.propose(number),
            seed=number,
        )


def resident_mib() -> float:
    """This process's resident memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return (
        next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "study_file", nargs="?", default=str(ROOT / "studies" / "digits.py")
    )
    parser.add_argument("--engine", default="graph")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument(
        "--every", type=int, default=50, help="trials between two looks"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print only a JSON object: MiB by trials ended",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
