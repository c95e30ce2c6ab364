"""Row scores are stored small, and come back bit for bit."""

from types import SimpleNamespace

import numpy as np
import pytest

from lrsearch.storage import row_scores
from lrsearch.storage.row_scores import StoredScores, compress, decompress

RNG = np.random.default_rng(0)


def losses(rows):
    """Cross-entropies of a classifier that is mostly right."""
    return RNG.gamma(0.3, 0.5, rows).astype(np.float32)


def hits(share):
    def made(rows):
        return (RNG.random(rows) < share).astype(np.float32)

    return made


KINDS = {
    "losses": losses,
    "squares": lambda rows: np.square(RNG.normal(size=rows)).astype(np.float32),
    "half right": hits(0.5),
    "nearly all right": hits(0.97),
    "weighted": lambda rows: RNG.choice(np.float32([0.0, 0.7, 1.9]), rows),
    "not finite": lambda rows: np.full(rows, np.nan, np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 7, 360])
def test_row_scores_come_back_bit_for_bit(kind, rows):
    values = KINDS[kind](rows)
    again = decompress(compress(values), rows)
    assert (again.dtype, again.tobytes()) == (np.float32, values.tobytes())


@pytest.mark.parametrize("rows", [100, 360, 4096])
@pytest.mark.parametrize(
    ("kind", "most"), [("losses", 420), ("squares", 420), ("half right", 15)]
)
def test_a_hundred_rows_take_at_most_so_many_bytes(kind, most, rows):
    assert len(compress(KINDS[kind](rows))) <= most * rows / 100


def test_right_answers_that_are_common_take_less_than_a_bit_each():
    assert len(compress(hits(0.97)(4096))) <= 8 * 40.96


def test_only_the_trials_that_are_asked_for_are_unpacked_and_once(monkeypatch):
    packed = compress(losses(20))
    row = {
        "split": "validation",
        "scores": packed,
        "kept": 20,
        "digest": "d",
        "total": 20,
    }
    stored = StoredScores(SimpleNamespace(trial_id=trial, **row) for trial in range(50))
    unpacked = []

    def count(data, kept):
        unpacked.append(kept)
        return decompress(data, kept)

    monkeypatch.setattr(row_scores, "decompress", count)
    assert len(stored) == 50
    assert 7 in stored
    assert 99 not in stored
    assert stored.get(99) is None
    assert stored[7]["validation"] is stored[7]["validation"]
    assert unpacked == [20]
