"""`lrsearch compare`: the companion study, trained by a toy's real workers, and what is said."""

from collections import Counter

import pytest
from driven import ledger_of
from driven import study as study  # noqa: PLC0414 - a fixture
from launching import run_study
from shell import run as run  # noqa: PLC0414 - a fixture

from lrsearch.errors import InvalidValue
from lrsearch.launch.comparing import top_up
from lrsearch.options import split_options

KEPT = ("storage", "engine_factory", "devices", "workers")


def grow(arguments, each, by="optimizer"):
    return top_up(
        "toy", each, *split_options({name: arguments[name] for name in KEPT}), by=by
    )


def trained(arguments, name):
    with ledger_of(arguments) as ledger:
        made = ledger.study(name)
        return made, ledger.trials(made.id)


def test_a_companion_has_equally_many_trials_of_each_optimizer_and_is_topped_up(
    study, run
):
    arguments = study(trials=4)
    run_study(**arguments)
    storage = ("--storage", arguments["storage"], "--json")
    [before] = run("compare", "toy", *storage)["studies"]
    assert (before["equal"], before["source"]) == (False, "toy")
    assert all(each["better"] is None for each in before["contrasts"])

    assert grow(arguments, 3).name == "toy-by-optimizer"
    made, records = trained(arguments, "toy-by-optimizer")
    assert Counter(each.setting.optimizer for each in records) == {"sgd": 3, "adam": 3}
    assert not any(each.is_yours or each.is_retest for each in records)
    assert made.plan.balanced == "optimizer"

    grow(arguments, 5)
    grow(arguments, 4)
    _, more = trained(arguments, "toy-by-optimizer")
    assert Counter(each.setting.optimizer for each in more) == {"sgd": 5, "adam": 5}
    assert [each.setting for each in more[:6]] == [each.setting for each in records]
    [after] = run("compare", "toy", *storage)["studies"]
    assert (after["equal"], after["source"], after["trials_each"]) == (
        True,
        made.name,
        5,
    )
    _, own = trained(arguments, "toy")
    assert len(own) == 4, "the study itself is as it was"


def test_one_arm_and_a_companions_name_that_is_taken_are_refused(study):
    arguments = study(trials=2, workers=1)
    run_study(**arguments)
    with pytest.raises(InvalidValue, match="it has 1 schedule; got 'schedule'"):
        grow(arguments, 2, by="schedule")
    run_study(**arguments, name="toy-by-optimizer")
    with pytest.raises(InvalidValue, match="a name that is free"):
        grow(arguments, 2)


def test_several_studies_have_profiles_and_a_paper_its_paragraph(study, run):
    arguments = study(trials=8)
    run_study(**arguments)
    run_study(**arguments, name="second", seed=1)
    storage = ("--storage", arguments["storage"])
    assert "Over 2 studies" in run("compare", "toy", "second", *storage)
    assert "descriptive" in run("compare", "toy", "--methods", *storage)
    run("compare", "nothing", *storage, code=2)
