"""Arrays divided into folds, and a study's data one fold after another."""

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
import tensorflow as tf

from lrsearch import StudyDefinition
from lrsearch.engine.feeding import ArrayFeed, DeviceArrays
from lrsearch.engine.fold_inspection import find_folds
from lrsearch.engine.folds import divide
from lrsearch.engine.loaded import Findings, LoadedStudy
from lrsearch.errors import FingerprintMismatch, InvalidValue

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10.0)


class Splitter:
    """As scikit-learn's: `pairs(rows, y, groups)` gives the folds."""

    def __init__(self, pairs):
        self.pairs = pairs

    def split(self, x, y=None, groups=None):
        return self.pairs(np.arange(len(x)), y, groups)

    def get_n_splits(self, x=None, y=None, groups=None):
        return 2


def halves(rows, _y, _groups):
    return [(rows[:5], rows[5:]), (rows[5:], rows[:5])]


def by_group(_rows, _y, groups):
    return [(np.flatnonzero(groups != one), np.flatnonzero(groups == one)) for one in (0, 1)]


def forward(rows, _y, _groups):
    return [(rows[:2], rows[2:4]), (rows[:8], rows[8:])]


def shuffled(rows, _y, _groups):
    order = np.random.default_rng().permutation(rows)
    return [(order[:9], order[9:]), (order[1:], order[:1])]


def overlapping(rows, _y, _groups):
    return [(rows, rows[:2]), (rows[2:], rows[:2])]


def loaded(load=lambda: ((X, Y), None), **definition):
    return LoadedStudy(
        definition=StudyDefinition(build_model=keras.Sequential, load_data=load, **definition)
    )


def test_every_row_validates_once_and_trains_otherwise():
    study = loaded(folds=3)
    folds = [study.data(None, fold) for fold in range(study.folds)]
    validated = np.concatenate([each.validation.y for each in folds])
    assert sorted(validated) == list(Y)
    for each in folds:
        assert sorted([*each.train.y, *each.validation.y]) == list(Y)
        assert np.array_equal(each.train.x[:, 0], 2 * each.train.y)


def test_folds_are_the_same_for_every_worker():
    one, other = (loaded(folds=3, seed=4).data(None, 2).digests() for _ in range(2))
    assert one == other
    assert one != loaded(folds=3, seed=5).data(None, 2).digests()


def test_a_test_split_is_the_same_for_every_fold():
    study = loaded(lambda: ((X, Y), None, (X, Y)), folds=3)
    assert study.data(None, 0).test is study.data(None, 2).test


def test_groups_reach_the_splitter():
    study = loaded(folds=Splitter(by_group), groups=lambda: np.arange(10) % 2)
    assert list(study.data(None, 1).validation.y) == [1, 3, 5, 7, 9]


def test_time_ordered_folds_begin_with_the_largest():
    study = loaded(folds=Splitter(forward))
    assert [study.data(None, fold).train.examples for fold in (0, 1)] == [8, 2]


def test_one_hot_targets_are_their_classes_for_a_splitter():
    seen = []
    study = loaded(
        lambda: ((X, np.eye(5)[np.arange(10) % 5]), None),
        folds=Splitter(lambda rows, y, _: seen.append(y) or halves(rows, y, None)),
    )
    study.data(None)
    assert list(seen[0]) == [0, 1, 2, 3, 4] * 2


def test_beside_the_first_fold_one_other_is_kept():
    study = loaded(folds=3)
    first = study.data(None, 0)
    for fold in (1, 2):
        study.data(None, fold)
    assert study.data(None, 0) is first
    assert [fold for _, fold in study._data] == [0, 2]


def test_load_data_gets_the_fold_and_the_batch_size():
    calls = []

    def load(batch_size, fold):
        calls.append((batch_size, fold))
        return (X[fold:], Y[fold:]), (X[:2], Y[:2])

    study = loaded(load, folds=2, batch_size=4)
    assert study.data(4, 1).train.examples == 9
    assert calls == [(4, 1)]


def test_a_fold_that_another_worker_draws_anew_is_refused():
    study = loaded(lambda fold: ((X + study.drawn, Y), (X[:3], Y[:3])), folds=2)
    study.drawn = 0
    digests, ratio = find_folds(study, 1)
    assert ratio == pytest.approx(0.3)
    worker = loaded(study.definition.load_data, folds=2)
    worker.findings = Findings(folds=digests)
    worker.data(None, 1)
    study.drawn = 1
    worker._data.clear()
    with pytest.raises(FingerprintMismatch, match="train of fold 1"):
        worker.data(None, 1)


def test_a_graph_reads_the_arrays_that_come_with_the_call():
    feeds = [
        ArrayFeed(
            DeviceArrays(loaded(folds=2).data(None, fold).train),
            batch=2, steps=1, order=lambda _epoch: np.arange(2),
        )
        for fold in (0, 1)
    ]  # fmt: skip
    assert feeds[0].signature == feeds[1].signature
    read = tf.function(lambda source: feeds[0].read(source, 0, lambda batch: batch[1], None))
    for fold, feed in enumerate(feeds):
        feed.begin(0)
        expected = loaded(folds=2).data(None, fold).train.y[:2]
        assert list(read(feed.take(1)[0]).numpy()) == list(expected)
    assert read.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"load": lambda: ((X, Y), (X, Y)), "folds": 3}, "a validation split beside folds"),
        ({"folds": 11}, "at most the 10 rows"),
        ({"folds": Splitter(shuffled)}, "random_state=0"),
        ({"folds": Splitter(overlapping)}, "2 rows that train and validate"),
        ({"folds": Splitter(lambda rows, *_: [(rows, rows[:0])] * 2)}, "rows in both of its parts"),
        (
            {"load": lambda: (tf.data.Dataset.from_tensors((X, Y)), None), "folds": 2},
            "def load_data\\(fold\\)",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_in_one_line(given, said):
    with pytest.raises(InvalidValue, match=said) as error:
        loaded(**given).data(None)
    assert "\n" not in str(error.value)


def test_scikit_learns_splitters_divide():
    selection = pytest.importorskip("sklearn.model_selection")
    study = loaded(
        lambda: ((X, np.arange(10) % 2), None),
        folds=selection.StratifiedKFold(5, shuffle=True, random_state=0),
    )
    assert study.folds == 5
    folds = divide(study.definition, study._folded[None].whole)
    assert all(sorted(each.validation % 2) == [0, 1] for each in folds)
