"""What is shown of an answer in text: the page of `best` and its tables."""

from lrsearch.answer import summarise
from lrsearch.report import answer_text
from lrsearch.values import Direction


def test_the_table_reads_from_crawling_to_diverging(study, records):
    head, adam, sgd = [line.split() for line in answer_text(summarise(study(), records)).splitlines() if "  " in line][-3:]
    assert head[-8:] == ["crawls", "up", "to", "as", "good", "at", "diverges", "from"]
    assert adam[-5:] == ["1.0e-5", "1.0e-3", "to", "3.0e-3", "1.0e-1"]
    assert sgd[-3:] == ["-", "1.0e-1", "-"]


def test_small_values_batch_sizes_and_the_test_split_are_shown(study, trial, retests):
    from dataclasses import replace

    one, two = trial(1, value=3.1e-4), trial(2, value=3.4e-4)
    two = replace(two, setting=replace(two.setting, batch_size=64))
    tested = [replace(each, logs={"test_accuracy": 4e-4}) for each in retests(1, [3.2e-4, 3.4e-4])]
    text = answer_text(summarise(study(Direction.MINIMIZE), [one, two, *tested]))
    assert "0.000330 +- 0.000014" in text
    assert "batch 32" in text
    assert "(2 seeds, test 0.000400 +- 0.000000)" in text
