"""Training until a pick is near the best: incumbents, courses, censoring, the table, the file."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import race_to_target
from race_to_target import Journal, budgets_of, judge_picks, rounds
from racing import target_table
from racing.contenders import Search
from racing.incumbents import Incumbents, Reports
from racing.targets import (
    MEDIANS,
    Answer,
    best_known,
    censored_median,
    courses,
    judged,
    name_of,
    noise,
    reached,
    standings,
    to_judge,
)
from racing.tasks import TASKS

NEAR, BETTER, AWFUL = (
    {"optimizer": "adam", "learning_rate": rate, "schedule": "constant"}
    for rate in (1e-3, 2e-3, 1.0)
)


def answer(pick, runs, value=0.3, *, whole=True):
    seconds = {"training_seconds": 2 * runs, "seconds": 2 * runs + 5, "cpu": 3 * runs}
    return Answer(pick=pick, value=value, whole=whole, runs=runs, **seconds)


def test_an_incumbent_is_noted_when_the_pick_or_its_value_changes():
    incumbents = Incumbents()
    paid = {"trained": 2, "seconds": 1.0, "cpu": 1.0}
    for epochs, (pick, value) in enumerate(
        [(NEAR, 0.5), (NEAR, 0.5), (NEAR, 0.4), (BETTER, 0.4)]
    ):
        incumbents.note(pick, value, epochs=epochs, **paid)
    assert [(each["pick"], each["epochs"]) for each in incumbents.found] == [
        (NEAR, 0),
        (NEAR, 2),
        (BETTER, 3),
    ]


def told(epoch, loss, *, at, process=1, cpu=1.0, began=100.0):
    return {
        "epoch": epoch,
        "val_loss": loss,
        "at": at,
        "process": process,
        "cpu": cpu,
        "began": began,
    }


def test_a_report_that_is_handed_in_again_at_a_trials_end_is_no_second_epoch():
    reports = Reports()
    assert reports.take("a", told(1, 0.9, at=101.0))
    assert reports.take("a", told(2, 0.5, at=102.0))
    assert not reports.take("a", told(2, 0.5, at=102.0))
    assert reports.epochs == 2


def test_the_best_report_is_by_each_trials_last_value_and_time_is_since_the_first_training():
    reports = Reports()
    reports.take("a", told(1, 0.2, at=101.0, cpu=1.0))
    reports.take("b", told(1, 0.4, at=103.0, process=2, cpu=5.0, began=102.0))
    assert reports.best["val_loss"] == 0.2
    reports.take("a", told(2, 0.7, at=104.5, cpu=2.0))
    assert reports.best["val_loss"] == 0.4
    assert (reports.seconds(), reports.cpu()) == (4.5, 7.0)


def test_a_setting_has_one_name_whatever_its_idle_values():
    full = {**NEAR, "warmup": 0.0, "final": 0.0, "decay_start": 0.5}
    assert name_of(full) == name_of(NEAR)
    stable = {**full, "schedule": "warmup_stable_decay"}
    assert name_of(stable) != name_of({**stable, "decay_start": 0.6})
    assert name_of(None) == "null"


def test_a_peer_is_a_course_of_its_incumbents_and_lrsearch_one_of_whole_studies():
    ours = {"kind": "search", "task": "cnn", "contender": "lrsearch", "seed": 0}
    spent = {"value": 0.2, "training_seconds": 3.0, "seconds": 9.0, "cpu": 8.0}
    incumbent = {"pick": NEAR, "value": 0.2, "seconds": 2.0, "cpu": 4.0}
    theirs = {**ours, "contender": "optuna", "start_up": 5.0}
    records = [
        {**ours, **spent, "pick": BETTER, "epochs": 32},
        {**ours, **spent, "pick": NEAR, "epochs": 16},
        {**theirs, "incumbents": [{**incumbent, "epochs": 2, "trained": 2}]},
        {**ours, **spent, "pick": NEAR, "epochs": 16, "task": "mlp"},
    ]
    found = courses(records, "cnn")
    assert [(each.pick, each.runs) for each in found["lrsearch", 0]] == [
        (NEAR, 4.0),
        (BETTER, 8.0),
    ]
    (early,) = found["optuna", 0]
    assert (early.runs, early.whole, early.seconds) == (0.5, False, 7.0)


def test_what_is_far_by_a_whole_run_is_not_trained_again():
    values = {"near": 0.3, "far": 0.3 + 0.31 * (MEDIANS["mlp"] - 0.3)}
    answers = [
        answer(NEAR, 1.0, values["near"]),
        answer(AWFUL, 0.2, 0.29, whole=False),
        answer(AWFUL, 0.5, values["far"]),
        answer(BETTER, 0.2, values["far"], whole=False),
        answer(None, 0.0, None),
    ]
    assert to_judge(answers, "mlp") == [NEAR, BETTER, None]


@pytest.mark.parametrize(
    ("near", "first", "kept"),
    [
        ("....", None, None),
        ("..##", 3, 3),
        (".#.#", 2, 4),
        ("##..", 1, None),
        ("####", 1, 1),
    ],
)
def test_reached_is_the_first_near_answer_and_the_one_after_the_last_far_one(
    near, first, kept
):
    answers = [
        answer(NEAR if sign == "#" else AWFUL, place)
        for place, sign in enumerate(near, 1)
    ]
    found = reached(answers, lambda each: each.pick is NEAR)
    assert (found.first and found.first.runs) == first
    assert (found.kept and found.kept.runs) == kept


def test_a_median_of_which_half_is_censored_is_censored():
    assert censored_median([4.0, None, 2.0]) == 4.0
    assert censored_median([4.0, None, None]) is None
    assert censored_median([4.0, None]) is None
    assert censored_median([4.0, 2.0]) == 4.0


def test_what_all_picks_share_on_a_seed_is_no_noise_of_the_judge():
    shared = np.array([0.0, 1.0, -1.0, 5.0])
    assert noise(np.array([[1.0], [2.0], [3.0]]) + shared) == pytest.approx(0.0)
    own = np.random.default_rng(0).normal(0, 0.3, (400, 4))
    assert noise(own + shared) == pytest.approx(0.15, rel=0.1)
    assert np.isnan(noise([[1.0, 2.0]]))


def test_the_best_known_is_not_the_luckiest_of_equal_picks():
    equal = np.random.default_rng(0).normal(1.0, 0.1, (40, 12))
    assert equal.mean(1).min() < 0.95
    assert best_known(equal) == pytest.approx(1.0, abs=0.05)
    better = equal - np.eye(40)[0][:, None]
    assert best_known(better) == pytest.approx(better[0].mean())


def test_a_pick_of_few_seeds_stands_where_all_seeds_would_put_it():
    shared = dict(zip("1234", (0.0, 0.4, 0.1, 0.3), strict=True))
    losses = {
        name: {seed: 1.0 + far + shared[seed] for seed in seeds}
        for name, far, seeds in (
            ("a", 0.0, "1234"),
            ("b", 0.1, "1234"),
            ("c", 0.5, "1"),
        )
    }
    found = standings(losses, median=2.2)
    assert found.best == pytest.approx(1.2)
    assert found.regrets == pytest.approx({"a": 0.0, "b": 0.1, "c": 0.5})
    assert found.noise == pytest.approx(0.0)


def test_near_picks_that_have_no_more_seeds_yet_still_count_for_the_best_known():
    seeds = [str(place) for place in range(12)]
    losses = {
        name: dict.fromkeys(seeds[:count], 1.0 + far)
        for name, far, count in (("a", 0.1, 12), ("b", 0.0, 4), ("c", 2.0, 2))
    }
    found = standings(losses, median=2.0)
    assert found.best == pytest.approx(1.0)
    assert found.regrets == pytest.approx({"a": 0.1, "b": 0.0, "c": 2.0})
    with pytest.raises(ValueError, match="share no seed"):
        standings({"a": {"1": 1.0}, "b": {"2": 1.0}}, median=2.0)


def test_what_an_earlier_version_judged_is_refused_in_words():
    old = {"kind": "judged", "task": "mlp", "pick": NEAR, "losses": {"1": 0.3}}
    with pytest.raises(ValueError, match="an earlier version judged it"):
        judged([old], "mlp", "test")


def search_record(contender, seed, found, task="mlp"):
    key = {"kind": "search", "task": task, "contender": contender, "seed": seed}
    if not contender.startswith("lrsearch"):
        return {**key, "runs": 36, "start_up": 5.0, "incumbents": found}
    return {**key, "runs": found["epochs"] // TASKS[task].epochs, **found}


def incumbent(pick, epochs):
    spent = {"epochs": epochs, "seconds": float(epochs), "cpu": 2.0 * epochs}
    return {"pick": pick, "value": 0.3, "trained": 6, **spent}


def test_the_table_has_medians_counts_first_times_and_the_ratio_to_the_best_peer():
    scale = MEDIANS["mlp"] - 0.3
    losses = {"1": 0.3, "2": 0.3}
    study = {"value": 0.3, "training_seconds": 20.0, "seconds": 30.0, "cpu": 25.0}
    study |= {"pick": BETTER, "epochs": 24}
    records = [
        {"kind": "judged", "task": "mlp", "pick": BETTER, "test": losses},
        {
            "kind": "judged",
            "task": "mlp",
            "pick": NEAR,
            "test": {key: each + 0.03 * scale for key, each in losses.items()},
        },
        search_record("optuna", 0, [incumbent(AWFUL, 6), incumbent(NEAR, 48)]),
        search_record("optuna", 1, [incumbent(NEAR, 6), incumbent(AWFUL, 12)]),
        search_record(
            "optuna",
            2,
            [incumbent(NEAR, 6), incumbent(AWFUL, 12), incumbent(BETTER, 72)],
        ),
        search_record("lrsearch", 0, study),
    ]
    limits = {"lrsearch": 24, "optuna": 36}
    lines = target_table.report(records, limits, "test").splitlines()
    assert lines[0].startswith(
        "### mlp, test loss: best 0.3000 of 2 picks, 2 within 10 %"
    )
    assert lines[0].endswith("; yours is far")
    assert lines[4] == (
        "| lrsearch | 1 | 4 (1 of 1) | 4 (1 of 1) | 4 (1 of 1) "
        "| 0.33, 0.33, < 0.11 | 30 | 20 | 25 |"
    )
    assert lines[5] == (
        "| optuna | 3 | 12 (2 of 3); first 1 | 12 (2 of 3); first 1 "
        "| > 36 (1 of 3) |  | 77 | 72 | 144 |"
    )
    assert lines[7:] == [
        "| above the best after | 1 | 2 | 4 | 8 | 12 | 24 | 36 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| optuna | 3% | far | far | far | 3% | 3% | 3% |",
        "| lrsearch | far | far | 0% | 0% | 0% | 0% |  |",
    ]


def given(tmp_path, **changes):
    known = {
        "tasks": ["cnn", "mlp"],
        "seeds": range(2),
        "contenders": ["lrsearch", "optuna", "yours"],
        "budgets": [4, 8],
        "limit": 36,
        "judge": 2,
        "judge_near": 2,
        "split": "test",
        "peers_python": "python",
        "timeout": 1.0,
        "file": tmp_path / "target.jsonl",
    }
    return Namespace(**(known | changes))


def test_a_seed_of_all_tasks_comes_before_the_next_and_only_lrsearch_has_several_budgets(
    tmp_path,
):
    order = list(rounds(given(tmp_path)))
    assert [(task, searches[0].seed) for task, searches in order] == [
        ("cnn", 0),
        ("mlp", 0),
        ("cnn", 1),
        ("mlp", 1),
    ]
    assert [(each.contender, each.runs) for each in order[0][1]] == [
        ("lrsearch", 4),
        ("lrsearch", 8),
        ("optuna", 36),
        ("yours", 0),
    ]
    assert budgets_of("lrsearch none", given(tmp_path)) == [4, 8]


def test_a_finished_search_is_found_again_in_the_file_and_another_budget_is_not(
    tmp_path,
):
    told = {"task": "cnn", "contender": "lrsearch", "seed": 0, "runs": 4}
    journal = Journal(tmp_path / "target.jsonl")
    journal.add({"kind": "search", **told, "epochs": 16})
    again = Journal(tmp_path / "target.jsonl")
    own = {"peers_python": "python", "timeout": 1.0}
    assert again.has(Search(**told, **own))
    assert not again.has(Search(**(told | {"runs": 8}), **own))
    assert not again.has(Search(**(told | {"runs": 3}), **own))


def test_a_peers_search_on_more_runs_serves_for_fewer_and_its_later_answers_are_left_out(
    tmp_path,
):
    journal = Journal(tmp_path / "target.jsonl")
    journal.add(search_record("optuna", 0, [incumbent(NEAR, 6), incumbent(AWFUL, 60)]))
    journal.add(
        {"kind": "judged", "task": "mlp", "pick": NEAR, "test": {"1": 0.3, "2": 0.3}}
    )
    asked = given(tmp_path, limit=9, contenders=["optuna"])
    searches = [each for _, each in rounds(asked)]
    assert [[journal.has(each) for each in some] for some in searches] == [
        [False],
        [True],
        [False],
        [False],
    ]
    assert not journal.has(next(iter(rounds(given(tmp_path, limit=40))))[1][2])
    for limit, cell in ((9, "1 (1 of 1)"), (10, "> 10 (0 of 1); first 1")):
        asked.limit = limit
        records = race_to_target.chosen(journal.records, asked)
        table = target_table.report(records, race_to_target.limits_of(asked), "test")
        assert table.splitlines()[4].split(" | ")[2] == cell


def test_each_pick_is_judged_once_a_seed_and_a_failed_judge_is_counted(
    tmp_path, monkeypatch
):
    asked = []

    def losses_of(task, picks, seeds, **options):
        asked.extend(
            (name_of(pick), each - 2_000_000) for pick in picks for each in seeds
        )
        if 3 in [each - 2_000_000 for each in seeds]:
            raise OSError("no memory")
        values = [0.1 * place + (picks[0] is AWFUL) for place, _ in enumerate(seeds)]
        return [{"validation": values, "test": values} for _ in picks]

    monkeypatch.setattr(race_to_target, "losses_of", losses_of)
    monkeypatch.setattr(race_to_target, "JUDGED_AT_ONCE", 1)
    journal, options = Journal(tmp_path / "target.jsonl"), given(tmp_path)
    for place, pick in enumerate((NEAR, AWFUL, NEAR)):
        found = {"pick": pick, "value": 0.1, "epochs": 16, "training_seconds": 1.0}
        record = search_record(
            "lrsearch", place, found | {"seconds": 1, "cpu": 1}, "cnn"
        )
        journal.add(record)
    assert judge_picks("cnn", journal, options, float("inf")) == 0
    assert asked == [(name_of(pick), seed) for pick in (NEAR, AWFUL) for seed in (0, 1)]
    losses = judged(Journal(options.file).records, "cnn", "test")
    assert losses[name_of(NEAR)] == {"2000000": 0.0, "2000001": 0.1}
    assert judge_picks("cnn", journal, options, float("inf")) == 0
    options.judge_near = 3
    assert judge_picks("cnn", journal, options, float("inf")) == 0
    assert asked[4:] == [(name_of(NEAR), 2)]
    options.judge_near = 4
    assert judge_picks("cnn", journal, options, float("-inf")) == 0
    assert judge_picks("cnn", journal, options, float("inf")) == 1
    assert asked[5:] == [(name_of(NEAR), 3)]
    assert all(json.loads(each) for each in options.file.read_text().splitlines())
