"""The verdict on studies whose truth is known: settings, seeds and rows made by hand."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from lrsearch.answer import (
    Decision,
    build_leaderboard,
    give_verdict,
    read_margin,
    summarise,
    verdict_text,
)
from lrsearch.answer.alike import noise_of
from lrsearch.answer.gains import Gain
from lrsearch.answer.measured import measure
from lrsearch.answer.settling import needed
from lrsearch.errors import InvalidValue
from lrsearch.report.answer_page import answer_text
from lrsearch.values import Direction, Kind, RowScores

DOWN = Direction.MINIMIZE
SEEDS = 3


class World:
    """Twelve settings and yours; costs at rows are a shared part, the setting's own, a training's.

    Yours costs 1 on average, the best setting `gain` less, the others `others` more.
    """

    def __init__(
        self, trial, *, gain=0.0, others=0.3, own=0.0, seeds=0.02, test_gain=None
    ):
        self.trial, self.random = trial, np.random.default_rng(5)
        self.rows = {"validation": 90} | (
            {"test": 120} if test_gain is not None else {}
        )
        self.costs = {0: 1.0, 1: 1.0 - gain} | dict.fromkeys(range(2, 13), 1.0 + others)
        self.test_shift = 0.0 if test_gain is None else gain - test_gain
        self.shared = {name: self.centred(n) for name, n in self.rows.items()}
        self.own = {
            n: {name: own * self.centred(count) for name, count in self.rows.items()}
            for n in self.costs
        }
        self.seeds, self.scores = seeds, {}

    def centred(self, count):
        drawn = self.random.normal(size=count)
        return drawn - drawn.mean()

    def train(self, number, **more):
        """A training of the setting: its record, with its row scores kept."""
        luck, parent = self.seeds * self.random.normal(), more.get("parent", number)
        place = 100 * parent + more.get("repeat", 50) + 1
        record = self.trial(number, "adam", 1e-3 * (1 + parent), 0.0, id=place, **more)
        values = {}
        for split in self.rows:
            shift = self.test_shift if split == "test" and parent == 1 else 0.0
            scores = self.costs[parent] + luck + shift + self.shared[split]
            values[split] = (scores + self.own[parent][split]).astype("float32")
        self.scores[place] = {
            split: RowScores(split=split, values=each, digest=split, rows=len(each))
            for split, each in values.items()
        }
        logs = {"loss": float(luck)}
        if "test" in values and more.get("parent") is not None:
            logs["test_accuracy"] = float(values["test"].mean())
        return replace(record, value=float(values["validation"].mean()), logs=logs)

    def records(self, seeds=SEEDS):
        search = [self.train(number) for number in self.costs]
        retests = [
            self.train(
                900 + 10 * parent + n, kind=Kind.RETEST, parent=parent, repeat=n, seed=n
            )
            for parent in (0, 1, 2, 3)
            for n in range(seeds)
        ]
        return search + retests


@pytest.fixture
def world(trial):
    return lambda **more: World(trial, **more)


@pytest.fixture
def judged(study):
    """The answer to a world's records, with or without its rows."""

    def judge(made, *, rows=True, **more):
        records = made.records(more.pop("seeds", SEEDS))
        scores = made.scores if rows else None
        return summarise(study(DOWN), records, scores=scores, **more)

    return judge


def test_a_gain_far_above_the_noise_of_seeds_and_rows_is_better(world, judged):
    answer = judged(world(gain=0.3, own=0.3))
    assert answer.verdict.decision is Decision.BETTER
    assert answer.verdict.counted == ["seeds", "rows", "choice"]
    assert answer.verdict.gain.value == pytest.approx(0.3, abs=0.1)
    assert answer_text(answer).startswith("Better than yours: trial 1 gains 0.")
    assert "Take it: lrsearch export digits." in answer_text(answer)
    assert 0 not in answer.not_separable


def test_a_gain_that_the_seeds_show_and_the_rows_do_not_is_undecided(world, judged):
    made = {"gain": 0.12, "own": 0.5}
    assert judged(world(**made), rows=False).verdict.decision is Decision.BETTER
    answer = judged(world(**made))
    assert answer.verdict.decision is Decision.UNDECIDED
    assert 0 in answer.not_separable
    step = answer.next
    assert step.action == "rows"
    assert step.rows > 200
    assert "A validation split of 90 rows cannot settle it" in step.text


def test_without_rows_the_verdict_says_that_it_counts_seeds_alone(world, judged):
    answer = judged(world(gain=0.3), rows=False)
    assert answer.verdict.counted == ["seeds", "choice"]
    assert "Counted: seeds alone (3 and 3)" in verdict_text(answer.verdict)
    assert answer.to_json()["verdict"]["validation"]["rows"] is None


def test_a_gain_on_rows_of_which_a_few_carry_the_loss_is_undecided_and_more_rows_are_named(
    world, judged
):
    made = world(gain=0.1)
    assert judged(made).verdict.decision is Decision.BETTER
    made = world(gain=0.1)
    made.shared["validation"] = 20.0 * (np.arange(90) == 7) - 20 / 90
    made.own[1]["validation"] = 0.2 * (np.arange(90) == 7) - 0.2 / 90
    answer = judged(made)
    assert answer.verdict.decision is Decision.UNDECIDED
    assert "A few rows carry nearly all of the loss" in verdict_text(answer.verdict)
    assert answer.verdict.gain.to_json()["heavy_tailed"] is True
    assert answer.next.action == "rows"
    assert answer.next.rows >= 450, "five times 90, where one row carries it"


def test_where_a_few_rows_carry_a_settings_own_loss_its_interval_is_wider_and_the_page_says_so(
    world, judged
):
    def made(heavy):
        found = world(gain=0.3, own=0.05)
        if heavy:
            found.own[1]["validation"] = 60.0 * (np.arange(90) == 7) - 60 / 90
        return judged(found)

    usual, heavy = made(heavy=False), made(heavy=True)
    assert not any(each.heavy_tailed for each in usual.verdict.expected.values())
    assert [t for t, each in heavy.verdict.expected.items() if each.heavy_tailed] == [1]
    assert "carry the loss of trial 1: what one more" in verdict_text(heavy.verdict)
    assert "carry the loss" not in verdict_text(usual.verdict)
    low, high = heavy.verdict.expected[1].interval
    assert high - low > 4 * np.diff(usual.verdict.expected[1].interval)[0]
    assert heavy.to_json()["expected"]["heavy_tailed"] is True


def test_a_gain_that_all_rows_show_is_better_although_a_few_carry_the_loss(
    world, judged
):
    made = world(gain=0.3, own=0.1, seeds=0.002)
    made.shared["validation"] = 20.0 * (np.arange(90) == 7) - 20 / 90
    assert judged(made).verdict.decision is Decision.BETTER


def test_what_a_few_rows_carry_is_never_better_however_far_ahead_it_looks(
    world, judged
):
    made = world(gain=0.5, seeds=0.002)
    made.shared["validation"] = 20.0 * (np.arange(90) == 7) - 20 / 90
    made.own[1]["validation"] = 0.02 * (np.arange(90) == 7) - 0.02 / 90
    verdict = judged(made).verdict
    assert verdict.gain.interval[0] > 0
    assert verdict.decision is Decision.UNDECIDED
    assert "nothing is called better" in verdict_text(verdict)


def test_that_a_sample_of_a_long_splits_rows_is_known_is_said(world, judged):
    made = world(gain=0.3, own=0.1)
    records = made.records()
    assert "90 validation rows, the choice" in verdict_text(judged(made).verdict)
    made.records = lambda seeds: records
    made.scores = {
        number: {"validation": replace(each["validation"], rows=9000)}
        for number, each in made.scores.items()
    }
    answer = judged(made)
    text = "9000 validation rows (by a fixed sample of 90), the choice"
    assert text in verdict_text(answer.verdict)
    validation = answer.to_json()["verdict"]["validation"]
    assert (validation["rows"], validation["rows_kept"]) == (9000, 90)


def test_why_there_are_no_rows_is_said(world, study):
    records = world(gain=0.3).records()
    records[1] = replace(
        records[1], notes=("no row scores: val_auc is no mean over rows",)
    )
    answer = summarise(study(DOWN), records)
    assert "(val_auc is no mean over rows)" in verdict_text(answer.verdict)
    assert (
        answer.to_json()["verdict"]["rows_not_counted"]
        == "val_auc is no mean over rows"
    )


def test_a_gain_that_can_only_be_smaller_than_the_margin_is_as_good(world, judged):
    answer = judged(world(gain=0.0, seeds=0.001), margin=read_margin("2%"))
    assert answer.verdict.decision is Decision.AS_GOOD
    assert answer.next.text == "Keep yours."
    assert "0.02 (2 % of yours) counts as equal" in verdict_text(answer.verdict)


def test_a_sure_loss_is_told_as_one(world, judged):
    answer = judged(world(gain=-0.3, seeds=0.001))
    assert answer.verdict.decision is Decision.AS_GOOD
    assert re.match(
        r"Yours is better: trial 3 loses 0\.\d+ \(0\.\d+ to 0\.\d+\) on new data\.",
        verdict_text(answer.verdict),
    )


def test_a_sure_gain_below_the_margin_is_as_good_and_not_better(world, judged):
    made = {"gain": 0.02, "seeds": 0.001}
    assert judged(world(**made)).verdict.decision is Decision.BETTER
    answer = judged(world(**made), margin=read_margin("0.05"))
    assert answer.verdict.decision is Decision.AS_GOOD
    assert answer.verdict.gain.interval[0] > 0


def test_more_seeds_are_named_where_they_would_settle_it(world, judged):
    answer = judged(world(gain=0.03, seeds=0.03))
    assert answer.verdict.decision is Decision.UNDECIDED
    assert (answer.next.action, answer.next.rows) == ("retest", None)
    settled = judged(world(gain=0.03, seeds=0.03), seeds=answer.next.seeds)
    assert settled.verdict.decision is not Decision.UNDECIDED


def test_a_test_split_that_says_the_opposite_is_the_first_sentence_and_takes_the_verdict_back(
    world, judged
):
    answer = judged(world(gain=0.3, own=0.1, test_gain=-0.2))
    assert answer.verdict.validation.decide(answer.verdict.margin) is Decision.BETTER
    assert answer.verdict.contradicted
    assert answer.verdict.decision is not Decision.BETTER
    first, *_ = answer_text(answer).split(". ")
    assert first.startswith(
        "The test split contradicts the validation: there trial 1 is 0."
    )
    assert "12 trainings looked at it" in answer_text(answer)
    assert answer.to_json()["verdict"]["test_looks"] == 12


def test_a_real_study_of_few_rows_whose_test_split_said_the_opposite_says_so_first(
    study, trial, retests
):
    """Retests of a regression with 90 validation and 92 test rows, as they were measured."""
    validation = {0: [0.451, 0.471, 0.464], 1: [0.4145, 0.4177, 0.4203]}
    test = {0: [0.450, 0.456, 0.468], 1: [0.466, 0.482, 0.475]}
    records = [
        trial(0, value=0.462),
        trial(1, "adam", 2e-3, 0.416),
        trial(2, "adam", 1e-3, 0.47),
    ]
    for number, values in validation.items():
        logs = ({"loss": value, "test_accuracy": value} for value in test[number])
        again = zip(retests(number, values), logs, strict=True)
        records += [replace(each, logs=known) for each, known in again]
    answer = summarise(study(DOWN), records)
    assert answer.best.trial == 1, "the validation chose"
    assert answer.verdict.validation.decide(answer.verdict.margin) is Decision.BETTER
    assert answer.verdict.decision is not Decision.BETTER
    assert answer_text(answer).startswith(
        "The test split contradicts the validation: there trial 1 is 0.0163 worse than yours, and "
        "on the validation it was 0.0445 better."
    )
    assert answer.next.action != "take"


def test_a_gain_that_the_test_split_does_not_show_at_all_contradicts_too(world, judged):
    answer = judged(world(gain=0.1, own=0.3, seeds=0.001, test_gain=-0.002))
    assert abs(answer.verdict.test.measured) < answer.verdict.margin
    assert answer_text(answer).startswith("The test split contradicts the validation: ")
    small = judged(world(gain=0.005, seeds=0.001, test_gain=-0.002))
    assert not small.verdict.contradicted, (
        "below the margin there is nothing to contradict"
    )


def test_the_test_split_decides_and_chooses_nothing(world, judged):
    answer = judged(world(gain=0.3, own=0.1, test_gain=0.3))
    assert answer.verdict.decision is Decision.BETTER
    assert answer.to_json()["verdict"]["decided_by"] == "test"
    assert answer.verdict.gain.rows == 120
    yours_leads = judged(world(gain=-0.2, others=0.4, test_gain=0.5))
    assert yours_leads.best.is_yours, "the validation chose"
    assert yours_leads.verdict.decision is Decision.UNDECIDED
    assert yours_leads.verdict.contradicted


def test_rows_of_another_digest_are_not_paired(world, study):
    made = world(gain=0.12, own=0.5)
    records = made.records()
    for record in records:
        if record.parent == 1:
            old = made.scores[record.id]["validation"]
            made.scores[record.id]["validation"] = replace(old, digest="another order")
    verdict = summarise(study(DOWN), records, scores=made.scores).verdict
    assert verdict.counted == ["seeds", "choice"]


def test_settings_may_have_different_numbers_of_seeds(world, study):
    made = world(gain=0.3, own=0.1)
    records = [
        each
        for each in made.records(6)
        if each.parent in (None, 1, 0) or (each.repeat or 0) < 2
    ]
    verdict = summarise(study(DOWN), records, scores=made.scores).verdict
    assert verdict.decision is Decision.BETTER
    assert "seeds (6 and 6)" in verdict_text(verdict)


def test_the_same_study_upside_down_has_the_same_verdict(world, study):
    made = world(gain=0.3, own=0.3)
    records = made.records()
    down = summarise(study(DOWN), records, scores=made.scores).verdict
    turned = [replace(each, value=-each.value) for each in records]
    scores = {
        trial: {
            name: replace(each, values=-each.values) for name, each in splits.items()
        }
        for trial, splits in made.scores.items()
    }
    up = summarise(study(Direction.MAXIMIZE), turned, scores=scores).verdict
    assert up.gain.interval == pytest.approx(down.gain.interval)
    assert up.expected[1].value == pytest.approx(-down.expected[1].value)
    assert up.expected[1].interval == pytest.approx(
        tuple(-x for x in down.expected[1].interval[::-1])
    )


def test_before_the_retests_nothing_is_decided_and_the_next_step_is_to_wait_or_to_retest(
    world, study
):
    search = [each for each in world(gain=0.3).records() if each.is_search]
    answer = summarise(study(DOWN), search)
    assert answer.verdict.decision is Decision.UNDECIDED
    assert answer.next.action == "wait"
    waited = replace(study(DOWN), trials=len(search))
    assert (
        summarise(waited, search).next.text
        == "lrsearch retest digits --seeds 3 tells more."
    )


def test_where_yours_has_no_value_there_is_no_verdict(study, trial):
    answer = summarise(study(DOWN), [trial(0), trial(1, value=0.5)])
    assert answer.verdict.decision is None
    assert verdict_text(answer.verdict) == "No verdict: yours diverged."
    assert answer.to_json()["verdict"]["verdict"] is None


def test_what_is_expected_stands_beside_every_flattered_value(world, judged):
    answer = judged(world(gain=0.0, others=0.0, own=0.5))
    best, expected = answer.best, answer.verdict.expected
    assert expected[best.trial].value > best.value, (
        "lower is better: the best was flattered"
    )
    assert expected[0].value == pytest.approx(answer.yours.value, abs=0.02), (
        "yours was not chosen"
    )
    low, high = expected[best.trial].interval
    assert low < expected[best.trial].value < high
    [row] = [each for each in answer.by_optimizer if each.best is not None]
    assert row.expected > row.best
    assert "expect " in answer_text(answer)


def test_what_is_expected_of_a_bounded_objective_stays_within_its_bounds(
    study, trial, retests
):
    search = [trial(n, "adam", 1e-3 * (n + 1), 0.99 + n / 1000) for n in range(10)]
    found = {0: [0.97, 0.99, 0.999], 9: [0.999, 0.99, 1.0], 8: [0.985, 0.999, 0.998]}
    records = [
        *search,
        *(each for n, values in found.items() for each in retests(n, values)),
    ]
    free = study()
    facts = replace(free.facts, bounds=(0.0, 1.0))
    bounded = replace(free, plan=replace(free.plan, facts=facts))
    loose, held = (summarise(each, records) for each in (free, bounded))
    assert max(each.interval[1] for each in loose.verdict.expected.values()) > 1
    for each in held.verdict.expected.values():
        assert each.interval[0] <= each.value <= each.interval[1] <= 1.0
    assert held.to_json()["retest"]["interval"][1] <= 1.0
    assert held.verdict.gain == loose.verdict.gain


def test_a_single_training_is_expected_within_the_bounds_and_a_value_beyond_them_drops_them(
    study, trial, retests
):
    search = [trial(n, "adam", 1e-3 * (n + 1), 0.01 * (n + 1)) for n in range(10)]
    found = {0: [0.01, 0.5, 0.9], 9: [0.02, 0.001, 0.4], 8: [0.03, 0.5, 0.001]}
    records = [
        *search,
        *(each for n, values in found.items() for each in retests(n, values)),
    ]
    free = study(DOWN)
    facts = replace(free.facts, bounds=(0.0, None))
    bounded = replace(free, plan=replace(free.plan, facts=facts))
    held = summarise(bounded, records).verdict
    assert min(each.interval[0] for each in held.expected.values()) == 0.0
    assert min(held.singles.values()) >= 0.0
    strange = summarise(bounded, [*records, trial(99, value=-0.1)]).verdict
    assert min(each.interval[0] for each in strange.expected.values()) < 0.0


def test_a_runner_up_is_expected_to_do_no_better_than_the_best(study, trial, retests):
    search = [trial(n, "adam", 1e-3 * (n + 1), 0.6 + n / 100) for n in range(12)]
    close = {0: [0.4, 0.8], 1: [0.31, 0.34], 2: [0.33, 0.43], 3: [0.38, 0.4]}
    records = [
        *search,
        *(each for n, found in close.items() for each in retests(n, found)),
    ]
    answer = summarise(study(DOWN), records)
    expected = [
        answer.verdict.expected[each.trial].value for each in answer.retested[:3]
    ]
    assert expected == sorted(expected)
    low, high = answer.verdict.expected[answer.retested[2].trial].interval
    assert low < expected[2] < high


def test_the_json_has_a_stable_schema(world, judged, study):
    keys = {
        "verdict",
        "text",
        "trial",
        "yours",
        "gain",
        "interval",
        "margin",
        "decided_by",
        "counted",
        "rows_not_counted",
        "chosen_among",
        "validation",
        "test",
        "test_looks",
        "contradicted",
    }
    for answer in (judged(world(gain=0.3, test_gain=0.1)), summarise(study(DOWN), [])):
        data = answer.to_json()
        json.loads(json.dumps(data, allow_nan=False))
        assert set(data["verdict"]) == keys
        assert set(data["next"]) == {"action", "text", "seeds", "rows"}
        assert {"band", "not_separable", "expected"} <= set(data)


def test_settings_are_told_apart_by_the_variances_that_the_verdict_has(world, study):
    made = world(gain=0.3)
    records = made.records()
    # what a seed does row by row: to trial 3 ten times as much as to others
    for each in records:
        kept = made.scores[each.id]["validation"]
        size = 1.0 if each.parent == 3 else 0.1
        noisy = (kept.values + size * made.centred(len(kept.values))).astype("float32")
        made.scores[each.id] = {"validation": replace(kept, values=noisy)}
    board = build_leaderboard(study(DOWN).facts, records)
    measured = measure(board, records, DOWN, made.scores)
    group = board.retested
    found = noise_of(group, board, DOWN, measured).noise
    plain = noise_of(group, board, DOWN, None).noise
    order = [*(measured.trials[each] for each in measured.finalists), 0]
    for place, each in enumerate(group):
        same = measured.repeats.noise.variance(order.index(each.trial))
        assert found.variance(place) == pytest.approx(same)
        assert found.variance(place) != pytest.approx(plain.variance(place))


def test_values_that_never_vary_are_told_apart(study, trial, retests):
    records = [
        trial(0, value=0.8),
        trial(1, value=0.9),
        *retests(0, [0.8] * 3),
        *retests(1, [0.9] * 3),
    ]
    leaderboard = build_leaderboard(study().facts, records)
    assert (
        give_verdict(leaderboard, records, Direction.MAXIMIZE).decision
        is Decision.BETTER
    )


@pytest.mark.parametrize(
    ("text", "size"), [("1%", 0.005), ("0.002", 0.002), ("0", 0.0)]
)
def test_a_margin_is_a_part_of_yours_or_a_difference(text, size):
    assert read_margin(text).of(-0.5) == pytest.approx(size)


@pytest.mark.parametrize("text", ["", "much", "-1%", "nan", "inf"])
def test_a_margin_that_is_none_is_refused(text):
    with pytest.raises(InvalidValue, match="--margin"):
        read_margin(text)


def gain_of(value, *, seeds, rows_variance, rows):
    return Gain(
        measured=value,
        value=value,
        interval=(value - 1, value + 1),
        rows=rows,
        seeds_variance=seeds,
        rows_variance=rows_variance,
    )


def test_seeds_and_rows_that_are_needed_bring_the_standard_error_to_a_part_of_the_gain():
    # the error that is allowed is 2.8 / 2.8 = 1: a variance of 1 in all
    assert needed(gain_of(2.8, seeds=9.0, rows_variance=0.1, rows=90), 0.0, have=3) == (
        10,
        None,
    )
    # 0.5 for the seeds, 0.5 for the rows: four times as many of these
    assert needed(gain_of(2.8, seeds=9.0, rows_variance=2.0, rows=90), 0.0, have=3) == (
        18,
        360,
    )
    assert needed(
        gain_of(2.8, seeds=900.0, rows_variance=0.0, rows=None), 0.0, have=3
    ) == (
        None,
        None,
    )
    assert needed(gain_of(0.0, seeds=9.0, rows_variance=0.0, rows=90), 0.0, have=3) == (
        None,
        None,
    )


def test_an_expected_loss_is_told_as_a_loss_and_not_as_a_negative_gain(world, judged):
    text = verdict_text(judged(world(gain=-0.01, seeds=0.02)).verdict)
    assert re.search(
        r"trial 1 loses 0\.\d+ \(from a loss of 0\.\d+ to a gain of 0\.\d+\) on", text
    )
    assert "gains -" not in text
