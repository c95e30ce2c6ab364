"""What the sampler takes between two trials: a new record taken in, and a proposal, by
the number of ended trials.

    python benchmarks/sampling.py [--sizes 100,1000,10000] [--sampler auto]

The default space; every tenth trial diverged, as ours do. Medians of 15 proposals.
"""

import argparse
import random
import statistics
import time

from lrsearch.sampling import make_sampler
from lrsearch.space import SearchSpace
from lrsearch.values import Direction, Kind, Origin, TrialRecord, TrialState

SPACE = SearchSpace()
PROPOSALS = 15


def record(number, setting):
    """An ended trial."""
    state = TrialState.DIVERGED if number % 10 == 0 else TrialState.COMPLETE
    value = None if state is TrialState.DIVERGED else random.random()
    kind, origin = Kind.SEARCH, Origin.SAMPLED
    return TrialRecord(
        id=number,
        number=number,
        kind=kind,
        origin=origin,
        state=state,
        setting=setting,
        seed=1,
        value=value,
    )


def spent(size, sampler):
    """Milliseconds of a record and of a proposal, on top of `size` records."""
    source = make_sampler("random", SPACE, direction=Direction.MAXIMIZE, seed=0)
    proposer = make_sampler(sampler, SPACE, direction=Direction.MAXIMIZE, seed=0)
    proposer.observe(record(number, source.propose(number)) for number in range(size))
    proposer.propose(size)
    observed, proposed = [], []
    for number in range(size, size + PROPOSALS):
        began = time.perf_counter()
        proposer.observe([record(number, source.propose(number))])
        middle = time.perf_counter()
        proposer.propose(number + 1)
        observed.append(middle - began)
        proposed.append(time.perf_counter() - middle)
    return 1000 * statistics.median(observed), 1000 * statistics.median(proposed)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--sampler", default="auto")
    given = parser.parse_args()
    for size in map(int, given.sizes.split(",")):
        observed, proposed = spent(size, given.sampler)
        print(
            f"{size:>6} ended trials: a record {observed:.1f} ms, a proposal {proposed:.1f} ms"
        )


if __name__ == "__main__":
    main()
