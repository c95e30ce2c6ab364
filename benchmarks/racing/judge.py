"""Trains a pick again on fresh seeds with plain `model.fit`, and scores it on two splits.

    python judge.py TASK SEED,SEED,... POINTS

POINTS is a JSON list; null is the task's own compile. The last line printed is JSON: for
each point the losses of both SPLITS, a value a seed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from racing.points import Point, optimizer_of
from racing.tasks import SPLITS, TASKS, Task


def judged(task: Task, point: Point | None, seeds: list[int]) -> dict[str, list[float]]:
    """The losses of a whole run on each seed, by split."""
    import keras

    train, *rest = task.data()
    found: dict[str, list[float]] = {name: [] for name in SPLITS}
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model = task.compiled(
            optimizer_of(point, task.steps) if point else task.default
        )
        model.fit(*train, epochs=task.epochs, batch_size=task.batch_size, verbose=0)
        for name, split in zip(SPLITS, rest, strict=True):
            found[name].append(float(model.evaluate(*split, batch_size=500, verbose=0)))
        keras.backend.clear_session()
    return found


def main() -> None:
    name, seeds, text = sys.argv[1:]
    points = [Point(**values) if values else None for values in json.loads(text)]
    chosen = list(map(int, seeds.split(",")))
    losses = [judged(TASKS[name], point, chosen) for point in points]
    print(json.dumps({"losses": losses}))


if __name__ == "__main__":
    main()
