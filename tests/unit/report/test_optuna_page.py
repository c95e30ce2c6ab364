"""What optuna-dashboard shows of a study beside its own: our figure, the verdict, and used knobs alone."""

import json
import random
from contextlib import closing

import optuna
import pytest
from ledger_tools import add_worker, claim, finish, outcome, plan, setting, train
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

from lrsearch.answer import summarise
from lrsearch.report.optuna_page import FLATTERED, MOST, rates_json, show_in_optuna
from lrsearch.space import SearchSpace
from lrsearch.storage import Mirror, open_ledger
from lrsearch.values import Kind, Origin, Setting, TrialRecord, TrialState


@pytest.fixture
def ledger(tmp_path):
    with closing(open_ledger(f"sqlite:///{tmp_path}/o.db", create=True)) as opened:
        yield opened


def trained(ledger, trials=5):
    study = ledger.create_study(plan(trials=trials, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    Mirror(ledger).complete(study.id)
    return study


def show(ledger, study, **more):
    records = ledger.trials(study.id)
    return show_in_optuna(
        ledger, Mirror(ledger), study, records, summarise(study, records), **more
    )


def theirs(ledger, study):
    return optuna.load_study(study_name=study.name, storage=ledger.optuna_storage())


def figure(ledger, study):
    attrs = ledger.optuna_storage().get_study_system_attrs(study.optuna_study_id)
    return json.loads(get_plotly_graph_objects(attrs)["lrsearch-rates"])


def test_the_page_has_our_figure_the_verdict_and_that_single_values_are_flattered(
    ledger,
):
    study = trained(ledger)
    assert show(ledger, study)
    drawn = figure(ledger, study)
    assert {each["name"] for each in drawn["data"]} >= {"adam", "sgd"}
    assert drawn["layout"]["xaxis"]["type"] == "log"
    attrs = theirs(ledger, study).user_attrs
    assert attrs["beware"] == FLATTERED
    assert "adam at a peak learning rate of" in attrs["verdict"]


def test_it_is_drawn_at_most_once_a_minute_but_at_the_end(ledger, monkeypatch):
    study = ledger.create_study(plan(trials=8, retest_seeds=0))
    worker = add_worker(ledger, study)
    finish(ledger, claim(ledger, study, worker), value=0.5)
    finish(ledger, claim(ledger, study, worker), value=0.6)
    assert show(ledger, study)
    first = figure(ledger, study)
    finish(ledger, claim(ledger, study, worker), value=0.7)
    assert not show(ledger, study)
    assert figure(ledger, study) == first
    now = ledger.now()
    monkeypatch.setattr(ledger, "now", lambda: now + 61)
    assert show(ledger, study)
    second = figure(ledger, study)
    assert second != first
    finish(ledger, claim(ledger, study, worker), value=0.8)
    assert show(ledger, study, last=True)
    assert figure(ledger, study) not in (first, second)


def test_it_is_left_to_the_process_that_holds_the_mirrors_lease(ledger):
    study = trained(ledger)
    seen = []
    assert Mirror(ledger).run_alone(study.id, lambda: seen.append(show(ledger, study)))
    assert seen == [False]
    assert show(ledger, study), "the lease was given back"


def test_a_figure_of_thousands_of_trials_is_about_twenty_kilobytes_and_a_shorter_one_replaces_it(
    ledger,
):
    study = trained(ledger)
    random.seed(0)
    many = [
        TrialRecord(
            id=each, number=each, kind=Kind.SEARCH, origin=Origin.SAMPLED, state=TrialState.COMPLETE, seed=each,
            setting=setting(10 ** random.uniform(-5, 0), random.choice(["adam", "sgd"])), value=random.random(),
        )
        for each in range(5000)
    ]  # fmt: skip
    answer = summarise(study, many)
    drawn = rates_json(study, many, answer)
    assert sum(len(each["x"]) for each in drawn["data"]) <= MOST
    assert len(json.dumps(drawn, separators=(",", ":"))) < 25_000
    assert show_in_optuna(ledger, Mirror(ledger), study, many, answer)
    assert show(ledger, study, last=True)
    assert sum(len(each["x"]) for each in figure(ledger, study)["data"]) <= 5


def test_names_of_the_study_s_own_are_no_markup_in_the_figure(ledger):
    evil = plan(trials=1).facts
    study = ledger.create_study(
        plan(
            trials=1,
            retest_seeds=0,
            facts=type(evil)(**{**vars_of(evil), "objective": "<b>val</b>"}),
        )
    )
    text = json.dumps(rates_json(study, (), summarise(study, ())))
    assert "<b>val" not in text
    assert "&lt;b&gt;val" in text


def vars_of(facts):
    return {name: getattr(facts, name) for name in type(facts).__dataclass_fields__}


def test_a_knob_of_another_shape_or_optimizer_is_no_parameter_of_the_row(ledger):
    space = SearchSpace(
        optimizers=("adamw", "momentum"),
        schedules=("constant", "polynomial"),
        hyper={"adamw": {"weight_decay": (1e-4, 1e-1)}},
    )
    dimensions = tuple(each.to_json() for each in space.public_dimensions())
    study = ledger.create_study(
        plan(trials=2, retest_seeds=0, first=(), dimensions=dimensions)
    )
    worker = add_worker(ledger, study)
    chosen = [
        Setting(optimizer="momentum", learning_rate=0.1, schedule="constant", batch_size=None, shape={"warmup": 0.1}),
        Setting(
            optimizer="adamw", learning_rate=0.001, schedule="polynomial", batch_size=None,
            shape={"warmup": 0.1, "final": 0.1, "power": 2.0}, hyper={"weight_decay": 0.01},
        ),
    ]  # fmt: skip
    for each in chosen:
        claimed = ledger.claim(study.id, worker, lease_seconds=60.0)
        params = space.public_params(each)
        assert "power" in params
        assert ledger.bind(
            claimed.trial.id, claimed.attempt, setting=each, params=params, seed=1
        )
        ledger.finish(outcome(claimed, value=0.5), ())
    Mirror(ledger).complete(study.id)
    first, second = theirs(ledger, study).trials
    assert not {"power", "adamw.weight_decay"} & set(first.params)
    assert {"power", "adamw.weight_decay", "warmup"} <= set(second.params)
    assert first.params["learning_rate"] == pytest.approx(0.1)
