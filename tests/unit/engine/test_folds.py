"""Arrays divided into folds, and a study's data one fold after another."""

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
import tensorflow as tf

from lrsearch import StudyDefinition
from lrsearch.definition.folds import folds_to_json
from lrsearch.definition.study import hint_of
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
    return [
        (np.flatnonzero(groups != one), np.flatnonzero(groups == one)) for one in (0, 1)
    ]


def forward(rows, _y, _groups):
    return [(rows[:2], rows[2:4]), (rows[:8], rows[8:])]


def shuffled(rows, _y, _groups):
    order = np.random.default_rng().permutation(rows)
    return [(order[:9], order[9:]), (order[1:], order[:1])]


def overlapping(rows, _y, _groups):
    return [(rows, rows[:2]), (rows[2:], rows[:2])]


def loaded(load=lambda: ((X, Y), None), **definition):
    return LoadedStudy(
        definition=StudyDefinition(
            build_model=keras.Sequential, load_data=load, **definition
        )
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
    study = loaded(
        lambda fold: ((X + study.drawn, Y), (X[fold : fold + 3], Y[:3])), folds=2
    )
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
    read = tf.function(
        lambda source: feeds[0].read(source, 0, lambda batch: batch[1], None)
    )
    for fold, feed in enumerate(feeds):
        feed.begin(0)
        expected = loaded(folds=2).data(None, fold).train.y[:2]
        assert list(read(feed.take(1)[0]).numpy()) == list(expected)
    assert read.experimental_get_tracing_count() == 1


def fixed(*pairs):
    """A splitter that yields these pairs of places, whatever it is asked."""
    return Splitter(lambda *_: pairs)


def rest_of(*places):
    return [each for each in range(10) if each not in places]


GROUPS = np.arange(10) // 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"load": lambda: ((X, Y), (X, Y)), "folds": 3},
            (
                "the validation split of load_data must be None beside folds; got 'a split'. "
                "The folds are what validates: return (data, None) or (data, None, test). "
                "Or divide the data yourself: def load_data(fold)."
            ),
        ),
        (
            {"load": lambda: (tf.data.Dataset.from_tensors((X, Y)), None), "folds": 2},
            (
                "what folds divide must be arrays; got 'a dataset'. "
                "Divide a dataset yourself: def load_data(fold)."
            ),
        ),
        (
            {"folds": 11},
            "folds must be at most the 10 rows; got 11. Every fold needs a row to validate with.",
        ),
        (
            {"folds": Splitter(shuffled)},
            (
                "folds must be one that divides the same every time; got 'one that divides anew at "
                "each call'. Give it a seed: random_state=0."
            ),
        ),
        (
            {"folds": Splitter(overlapping)},
            "the parts of fold 0 must be without a row in common; got '2 rows that train and validate'.",
        ),
        (
            {"folds": fixed((rest_of(1), []), ([0], [1]))},
            "each part of fold 0 must be at least one row; got 'no rows'.",
        ),
        (
            {"folds": fixed((rest_of(1), [1]))},
            "folds must be at least 2; got '1 of the splitter'.",
        ),
        (
            {"folds": fixed((rest_of(1), [1]), ([0, 10], [2]))},
            "each part of fold 1 must be places of the rows, 0 to 9; got 'place 10'.",
        ),
        (
            {"folds": fixed((rest_of(1), [-1]), (rest_of(2), [2]))},
            "each part of fold 0 must be places of the rows, 0 to 9; got 'place -1'.",
        ),
        (
            {"folds": fixed((Y > 3, Y <= 3), (Y < 5, Y >= 5))},
            (
                "each part of fold 0 must be places of rows, from 0; got 'an array of bool, of shape (10,)'. "
                "Of a mask they are np.flatnonzero(mask)."
            ),
        ),
        (
            {"folds": Splitter(halves), "groups": np.arange(9)},
            "groups must be one label for each of the 10 rows; got 'an array of shape (9,)'.",
        ),
        (
            {"folds": Splitter(halves), "groups": lambda: None},
            "groups must be one label for each of the 10 rows; got 'None'.",
        ),
        (
            {"folds": Splitter(halves), "groups": np.arange(10) % 5},
            (
                "groups must be kept together by the splitter; got 'Splitter, which trains and "
                "validates with rows of 0 in fold 0'. "
                "Such are GroupKFold(5), StratifiedGroupKFold(5) and LeaveOneGroupOut()."
            ),
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_in_one_line(given, said):
    with pytest.raises(InvalidValue) as error:
        loaded(**given).data(None)
    assert str(error.value) == said


OTHERWISE = (
    "Divide it otherwise: fewer folds, another splitter, or def load_data(fold)."
)


@pytest.mark.parametrize(
    ("splitter", "y", "groups", "got", "said"),
    [
        ("GroupKFold(5)", Y, None, "", "Give StudyDefinition groups=, a label for each row."),
        (
            "KFold(5)", Y, GROUPS, "The groups parameter is ignored by KFold",
            "Leave groups out, or take a splitter that keeps them together: GroupKFold(5).",
        ),
        ("GroupKFold(6)", Y, GROUPS, "number of groups: 5.",
         "Leave groups out, or take a splitter that keeps them together: GroupKFold(5)."),
        ("StratifiedKFold(5)", [0] * 9 + [1], None, "The least populated class in y has only 1",
         OTHERWISE),
        ("StratifiedKFold(5)", Y + 0.5, None, "Supported target types are", OTHERWISE),
        ("KFold(11)", Y, None, "n_splits=11", OTHERWISE),
        ("TimeSeriesSplit(10)", Y, None, "number of folds=11", OTHERWISE),
    ],
)  # fmt: skip
def test_what_scikit_learn_says_or_warns_of_is_refused_in_one_line(
    splitter, y, groups, got, said
):
    selection = pytest.importorskip("sklearn.model_selection")
    study = loaded(
        lambda: ((X, np.array(y)), None),
        folds=eval(splitter, vars(selection)),
        groups=groups,
    )
    with pytest.raises(InvalidValue) as error:
        study.data(None)
    text = str(error.value)
    assert text.startswith("folds must be one that divides this data (")
    assert got in text
    assert text.endswith(f"; got '{splitter.partition('(')[0]}'. {said}")
    assert "\n" not in text


def dataset(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(2)


WIDE = np.zeros((10, 3))


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (
            lambda fold: ((WIDE if fold else X, Y), (X[fold:], Y[fold:])),
            ("in fold 1 x of the train split must be as in fold 0 (rows of (2,) float32); got "
            "'rows of (3,) float32'. One model trains on all folds."),
        ),
        (
            lambda fold: ((X, Y), (X[fold:], (WIDE if fold else Y)[fold:])),
            ("in fold 1 y of the validation split must be as in fold 0 (rows of () float32); got "
            "'rows of (3,) float32'. One model trains on all folds."),
        ),
        (
            lambda fold: ((X, Y, Y)[: 3 - fold], (X[fold:], Y[fold:])),
            ("in fold 1 sample_weight of the train split must be as in fold 0 (rows of () float32); "
            "got 'not there'. One model trains on all folds."),
        ),
        (
            lambda fold: ((X, Y), (X[fold:], Y[fold:]), *([] if fold else [(X, Y)])),
            ("in fold 1 x of the test split must be as in fold 0 (rows of (2,) float32); got "
            "'not there'. One model trains on all folds."),
        ),
        (
            lambda fold: (dataset(WIDE if fold else X, Y), dataset(X, Y)),
            ("in fold 1 a batch of the train split must be as in fold 0 (rows of (2,) float64, rows "
            "of () float64); got 'rows of (3,) float64, rows of () float64'. "
            "One model trains on all folds."),
        ),
        (
            lambda fold: ((X, Y), (X[fold:fold], Y[fold:fold]) if fold else (X, Y)),
            ("in fold 1 the validation split of load_data must be at least one example, not empty; "
            "got 'an empty array'. See which files and rows load_data finds."),
        ),
        (
            lambda fold: ((X[fold:], Y[fold:]), (X[:3], Y[:3])),
            ("the folds of load_data must be of different validation rows; got 'the same validation rows "
            "in every fold'. Choose the rows by fold, which counts from 0."),
        ),
        (
            lambda fold: ((X[fold % 2 :], Y[fold % 2 :]), (X[: fold % 2 + 1], Y[: fold % 2 + 1])),
            ("the folds of load_data must be of different validation rows; got 'the same rows in folds 0 "
            "and 2'. Choose the rows by fold, which counts from 0."),
        ),
    ],
)  # fmt: skip
def test_folds_that_one_model_cannot_train_or_that_are_none_are_refused_in_one_line(
    load, said
):
    with pytest.raises(InvalidValue) as error:
        find_folds(loaded(load, folds=3), 1)
    assert str(error.value) == said


def test_a_splitter_that_repeats_a_fold_is_refused():
    study = loaded(folds=fixed((rest_of(1), [1]), (rest_of(2), [2]), (rest_of(1), [1])))
    with pytest.raises(InvalidValue, match="the same rows in folds 0 and 2"):
        find_folds(study, 1)


def test_an_error_of_load_data_names_the_fold():
    def load(fold):
        return ((X, Y), (X[[1, 2][fold:]], Y[[1, 2][fold:]])) if fold < 2 else 1 / 0

    with pytest.raises(ZeroDivisionError) as error:
        find_folds(loaded(load, folds=3), 1)
    assert hint_of(error.value) == "load_data was called with fold=2."


@pytest.mark.parametrize(
    "splitter",
    ["StratifiedKFold(5, shuffle=True, random_state=0)", "TimeSeriesSplit(3)", "LeaveOneOut()",
     "RepeatedKFold(n_splits=2, n_repeats=2, random_state=0)", "PredefinedSplit([0, 1] * 5)",
     "ShuffleSplit(4, random_state=0)"],
)  # fmt: skip
def test_what_scikit_learn_divides_is_taken(splitter):
    selection = pytest.importorskip("sklearn.model_selection")
    y = np.arange(10) % 2
    study = loaded(lambda: ((X, y), None), folds=eval(splitter, vars(selection)))
    digests, ratio = find_folds(study, 1)
    assert len(digests) == study.folds - 1
    assert ratio > 0


def test_a_splitter_is_known_again_in_another_process():
    study = loaded(folds=Splitter(halves))
    assert folds_to_json(study.definition.folds) == "Splitter(pairs=function)"


def test_scikit_learns_splitters_divide():
    selection = pytest.importorskip("sklearn.model_selection")
    study = loaded(
        lambda: ((X, np.arange(10) % 2), None),
        folds=selection.StratifiedKFold(5, shuffle=True, random_state=0),
    )
    assert study.folds == 5
    folds = divide(study.definition, study._folded[None].whole)
    assert all(sorted(each.validation % 2) == [0, 1] for each in folds)
