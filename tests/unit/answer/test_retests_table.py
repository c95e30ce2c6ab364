"""The report's table of retests: what the verdict rests on, by seed or by fold; and its figure of rates."""

import re
from dataclasses import replace

import pytest

from lrsearch.answer import summarise
from lrsearch.report.html.headline import head, headline
from lrsearch.report.html.markup import join
from lrsearch.report.html.rates_figure import optimizer_places, rates_figure
from lrsearch.report.html.retests_table import retests_table
from lrsearch.report.html.tables import trials_table
from lrsearch.report.picture_parts import frame_of_rates
from lrsearch.values import Direction, TrialState

YOURS, BEST = [60.0, 52.0, 71.0, 55.0, 58.0], [41.0, 42.0, 72.0, 44.0, 45.0]


@pytest.fixture
def folded(study):
    """A regression study of five folds, whose objective is an error."""
    made = study(Direction.MINIMIZE)
    facts = replace(made.facts, objective="val_mae", folds=5, fold_ratio=0.25)
    return replace(made, plan=replace(made.plan, facts=facts))


def rows_of(study, records, make=retests_table):
    """The table's lines as lists of texts, its heading first."""
    answer = summarise(study, records)
    text = join([make(study, records, answer, optimizer_places(records, answer))])
    lines = re.findall("<tr[^>]*>(.*?)</tr>", text)
    return [
        [re.sub("<[^>]*>", "", each) for each in re.findall("<t[hd].*?</t[hd]>", line)]
        for line in lines
    ]


def test_every_trial_and_retest_is_listed_with_its_fold_where_there_are_folds(
    folded, study, trial, retests
):
    records = [trial(0, value=59.0), trial(1, value=41.0), *retests(1, BEST)]
    head, *lines = rows_of(folded, records, trials_table)
    assert head[:3] == ["trial", "fold", "value"]
    assert [each[:2] for each in lines[:2]] == [["1", "0"], ["0", "0"]]
    assert [each[1] for each in lines[2:]] == ["0", "1", "2", "3", "4"]
    plain = rows_of(study(Direction.MINIMIZE), records, trials_table)
    assert plain[0][:2] == ["trial", "value"]
    assert {len(each) for each in plain} == {len(head) - 1}


def test_retests_on_folds_stand_in_a_column_per_fold_and_count_where_yours_was_beaten(
    folded, trial, retests
):
    records = [trial(0, value=59.0), trial(1, rate=0.063, value=41.0)]
    table, mine, yours = rows_of(
        folded, [*records, *retests(0, YOURS), *retests(1, BEST)]
    )
    assert table[3:] == [
        "beats yours on",
        "fold 0",
        "fold 1",
        "fold 2",
        "fold 3",
        "fold 4",
    ]
    assert mine[0].startswith("best, trial 1 adam 6.3e-2")
    assert mine[1] == "49 \u00b1 13"
    assert mine[3:] == ["4 of 5", "41.00", "42.00", "72.00", "44.00", "45.00"]
    assert yours[0].startswith("yours, trial 0")
    assert yours[3] == "-"


def test_a_fold_without_a_value_says_why_and_does_not_count_against_yours(
    folded, trial, retests
):
    records = [trial(0, value=59.0), trial(1, rate=0.063, value=41.0)]
    mine = retests(1, [41.0, None, 42.0, 44.0, 45.0])
    mine[3] = replace(mine[3], state=TrialState.RUNNING, value=None)
    mine[4] = replace(mine[4], state=TrialState.WAITING, value=None)
    found = rows_of(folded, [*records, *retests(0, YOURS), *mine])
    line = next(each for each in found if "trial 1" in each[0])
    assert line[3:] == ["2 of 2", "41.00", "diverged", "42.00", "running", "waiting"]


def test_without_folds_a_column_is_a_seed_and_nothing_is_counted_against_yours(
    study, records, retests
):
    everything = [
        *records,
        *retests(0, [0.94, 0.95, 0.96]),
        *retests(3, [0.96, 0.97, 0.98]),
    ]
    table, *lines = rows_of(study(), everything)
    assert table[3:] == ["seed 1", "seed 2", "seed 3"]
    assert [line[3:] for line in lines] == [
        ["0.960", "0.970", "0.980"], ["0.940", "0.950", "0.960"],
    ]  # fmt: skip
    assert rows_of(study(), records) == []


def test_retests_that_have_all_to_come_have_a_line(study, records, retests):
    waiting = [
        replace(each, state=TrialState.WAITING, value=None)
        for each in retests(3, [0.9] * 2)
    ]
    _, line = rows_of(study(), [*records, *waiting])
    assert line[1:] == ["-", "-", "waiting", "waiting"]


def test_a_value_has_two_figures_of_its_spread_and_the_head_says_what_they_are(
    folded, trial, retests
):
    records = [trial(0, value=59.0), trial(1, rate=0.063, value=41.0)]
    everything = [*records, *retests(0, YOURS), *retests(1, BEST)]
    answer = summarise(folded, everything)
    assert (
        "val_mae 49 \u00b1 13 (5 folds), yours 59.2 \u00b1 7.3 (5 folds)"
        in headline(answer)
    )
    text = join(head(folded, everything, answer))
    assert (
        "val_mae: lower is better. After \u00b1: the standard deviation over the folds."
        in text
    )
    assert 'class="verdict open"' in text, "undecided"


@pytest.mark.parametrize("direction", list(Direction))
def test_a_few_trials_that_hardly_trained_do_not_press_the_good_ones_into_one_line(
    study, trial, direction
):
    sign = -1.0 if direction is Direction.MAXIMIZE else 1.0
    values = [40.0, 41.0, 42.0, 43.0, 44.0, 45.0, 46.0, 120.0, 147.0, 150.0]
    records = [trial(each + 1, value=sign * value) for each, value in enumerate(values)]
    made = study(direction)
    low, high = frame_of_rates(made, records, summarise(made, records))
    assert sorted([abs(low), abs(high)]) == [40.0, 40.0 + 3 * 4.5]


def test_the_legend_of_rates_names_what_the_figure_shows_and_nothing_else(
    study, trial, records
):
    def legend(found):
        text = rates_figure(study(), found, summarise(study(), found))
        return re.sub("<[^>]*>", " ", text.rsplit('class="legend"', 1)[1])

    diverged = [trial(each) for each in range(1, 4)]
    assert legend(diverged).split("> ")[-1].split() == ["diverged", "diverges"]
    assert "crawls" in legend(records)
    assert "pruned" not in legend(records)
    assert "retests" not in legend(records)
