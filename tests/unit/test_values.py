"""What records say together: which values compare, how many settings are known."""

from lrsearch.values import (
    Kind,
    Origin,
    Setting,
    TrialRecord,
    TrialState,
    comparable_records,
    count_whole_settings,
)


def trial(number, rate=0.1, state=TrialState.COMPLETE, kind=Kind.SEARCH):
    return TrialRecord(
        id=number,
        number=number,
        kind=kind,
        origin=Origin.SAMPLED,
        state=state,
        setting=Setting(
            optimizer="sgd", learning_rate=rate, schedule="constant", batch_size=32
        ),
        seed=0,
    )


def test_with_folds_retests_do_not_compare_with_the_search():
    search, retest = trial(0), trial(1, kind=Kind.RETEST)
    assert list(comparable_records([search, retest], None)) == [search, retest]
    assert list(comparable_records([search, retest], 5)) == [search]


def test_settings_count_once_and_where_their_training_was_whole():
    records = [
        trial(0),
        trial(1),
        trial(2, rate=0.2, state=TrialState.DIVERGED),
        trial(3, rate=0.3, state=TrialState.PRUNED),
        trial(4, rate=0.4, state=TrialState.FAILED),
        trial(5, rate=0.5, kind=Kind.RETEST),
    ]
    assert count_whole_settings(records) == 2
