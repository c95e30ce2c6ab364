"""What is shown of an answer in text: the page of `best` and its tables."""

from lrsearch.answer import summarise
from lrsearch.report.answer_page import answer_text
from lrsearch.report.rates_picture import rates_figure
from lrsearch.values import Direction


def test_the_table_reads_from_crawling_to_diverging(study, records):
    head, adam, sgd = [
        line.split()
        for line in answer_text(summarise(study(), records)).splitlines()
        if "  " in line
    ][-3:]
    assert head[-8:] == ["crawls", "up", "to", "as", "good", "at", "diverges", "from"]
    assert adam[-5:] == ["1.0e-5", "1.0e-3", "to", "3.0e-3", "1.0e-1"]
    assert sgd[-3:] == ["-", "1.0e-1", "-"]


def test_small_values_batch_sizes_and_the_test_split_are_shown(study, trial, retests):
    from dataclasses import replace

    one, two = trial(1, value=3.1e-4), trial(2, value=3.4e-4)
    two = replace(two, setting=replace(two.setting, batch_size=64))
    tested = [
        replace(each, logs={"test_accuracy": 4e-4})
        for each in retests(1, [3.2e-4, 3.4e-4])
    ]
    text = answer_text(summarise(study(Direction.MINIMIZE), [one, two, *tested]))
    assert "0.000330 +- 0.000014" in text
    assert "batch 32" in text
    assert "(2 seeds, test 0.000400 +- 0.000000)" in text


def test_retests_that_are_one_training_repeated_have_no_spread_and_tell_nothing_apart(
    study, trial, retests
):
    from dataclasses import replace

    def logged(found, loss):
        return [
            replace(each, logs={"loss": loss, "val_accuracy": each.value})
            for each in found
        ]

    one, two = trial(1, value=0.97), trial(2, value=0.96, rate=3e-3)
    records = [
        one,
        two,
        *logged(retests(1, [0.97] * 3), 0.1),
        *logged(retests(2, [0.96] * 3), 0.2),
    ]
    answer = summarise(study(), records)
    assert "(3 seeds, all the same training)" in answer_text(answer)
    assert "+- 0.0" not in answer_text(answer)
    assert answer.not_separable == (2,)
    assert any("the very same training" in each for each in answer.warnings)
    by_luck = [
        one,
        *(
            replace(each, logs={"loss": 0.1 * place})
            for place, each in enumerate(retests(1, [0.97] * 3))
        ),
    ]
    assert "+- 0.0" in answer_text(summarise(study(), by_luck)), (
        "equal accuracies of different trainings are a spread"
    )


def test_trials_that_are_complete_without_a_value_are_told_of_and_ranked_nowhere(
    study, records
):
    from dataclasses import replace

    undefined = [
        replace(each, value=None) if each.number in {0, 3} else each for each in records
    ]
    answer = summarise(study(), undefined)
    text = answer_text(answer)
    assert not {0, 3} & {each.number for each in answer.ranked}
    assert (
        "2 trials ended without a value, since val_accuracy was not finite"
        in text.replace("\n", " ")
    )
    assert "Yours ended without a value" in text
    assert "no value" in text
    assert rates_figure(study(), undefined, answer) is not None
