"""Every engine trains the fold that a training names, whatever it trained before."""

import pytest
from engine_world import TRAINING_ENGINES, World, data, definition, spec

from lrsearch.engine import create_engine, open_study

pytestmark = pytest.mark.tensorflow

# of 37 rows: 13, 12 and 12, so that the first has fewer batches of 8 than the others
FOLDS = 3


def folded():
    (x, y), _, test = data()
    return (x, y), None, test


def alone(fold):
    """The outcome of the fold by `fit`, in a study that has its rows alone."""
    divided = open_study(definition(load_data=folded, folds=FOLDS)).data(None, fold)
    splits = tuple(each.given for each in divided.splits.values())
    engine = create_engine("fit", open_study(definition(load_data=lambda: splits)))
    [outcome] = World(spec(test_split=True)).run(engine)
    return outcome


@pytest.fixture(scope="module")
def expected():
    return [alone(fold) for fold in range(FOLDS)]


@pytest.mark.parametrize("name", TRAINING_ENGINES)
def test_every_engine_trains_the_fold_of_the_training(name, expected):
    engine = create_engine(name, open_study(definition(load_data=folded, folds=FOLDS)))
    # `fit` keeps nothing from trial to trial
    order = (1, 0, 2) if name == "fit" else (1, 0, 2, 0, 1)
    outcomes = World(
        *(
            spec(place, fold=fold, test_split=True)
            for place, fold in enumerate(order, 1)
        )
    ).run(engine)
    found = {each.trial_id: each for each in outcomes}
    for place, fold in enumerate(order, 1):
        assert found[place].logs == pytest.approx(
            expected[fold].logs, rel=2e-4, abs=1e-6
        )
        assert found[place].steps == expected[fold].steps
        kept = {each.split: each.digest for each in found[place].row_scores}
        assert kept == {each.split: each.digest for each in expected[fold].row_scores}
    if name == "graph":
        [program] = engine._programs.values()
        assert program.traced == 2, "the training and the validation, once each"
