"""The options of `lrsearch.search`: those of the command line, refused in one line
where they make no sense.
"""

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest
from ledger_tools import facts

import lrsearch
from lrsearch import SearchSpace, StudyDefinition
from lrsearch.choices import SPACE
from lrsearch.cli.options import space_overrides as from_words
from lrsearch.cli.run import start_study
from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.launch.inline import derive_name
from lrsearch.launch.searching import read_call, search_study, space_overrides
from lrsearch.messages import Inspection
from lrsearch.options import MachineOptions, SearchOptions

# the definition itself, and what ends without a result
SHELL_ONLY = {"study_file", "create_only", "as_json", "background"}
VIEWS = {"quiet", "verbose", "log_file", "log_to"}
# which the caller does not say by these names
NEVER_SAID = {"overrides", "began", "until", "engine_factory"}
DEFINITION = StudyDefinition(build_model=lambda: None, load_data=lambda: None)


def search(definition=DEFINITION, **said):
    options = read_call({"storage": "sqlite:///:memory:", **said})
    return search_study(definition, *options, listen=lambda _: None)


def test_a_search_takes_what_the_command_line_takes():
    shell = {each.name for each in start_study.params} - SHELL_ONLY
    call = set(inspect.signature(lrsearch.search).parameters) - {"definition"}
    assert call == shell
    options = {each.name for each in (*fields(SearchOptions), *fields(MachineOptions))}
    assert (options - NEVER_SAID) | set(SPACE) == shell - VIEWS


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("trials", 0, "trials must be a whole number of at least 1; got 0."),
        ("trials", True, "got True"),
        ("retest", -1, "retest must be a whole number of at least 0"),
        ("timeout", "8h", "timeout must be a number of seconds above 0; got '8h'."),
        ("checkpoint_quota", "20G", "checkpoint_quota must be a whole number of bytes"),
        ("allow_version_drift", "yes", "allow_version_drift must be True or False"),
        ("workers", 2, "workers must be left out for a definition of this process"),
        ("threads", 2, "threads must be left out"),
        ("devices", "gpu", "devices must be left out"),
        ("trial_timeout", 60, "trial_timeout must be left out"),
        ("accept_change", "code.model", "name must be given with accept_change"),
    ],
)
def test_what_makes_no_sense_here_is_refused_in_one_line(option, value, said):
    with pytest.raises(InvalidValue) as raised:
        search(**{option: value})
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_engine_is_refused_before_anything_is_made():
    with pytest.raises(UnknownName, match="Did you mean 'graph'"):
        search(engine="grap")


def test_numpys_numbers_and_a_single_field_are_taken():
    asked, _ = read_call(
        {
            "trials": np.int64(3),
            "timeout": np.float32(2.5),
            "accept_change": "code.model",
            "seed": None,
        }
    )
    assert (asked.trials, asked.timeout, asked.seed) == (3, 2.5, None)
    assert type(asked.trials) is int
    assert asked.accept_change == ("code.model",)


def test_the_space_is_changed_as_the_command_line_changes_it():
    call = space_overrides(
        {
            "optimizers": ("adam", "lion"),
            "learning_rate": {"adam": (1e-5, np.float64(1e-2))},
            "warmup": 0.1,
            "batch_size": [32, 64],
            "extra": {"dropout": (0.0, 0.5), "kind": ["relu", "gelu"]},
            "fine_tuning": False,
        }
    )
    words = dict.fromkeys(("schedules", "final", "fine_tuning"))
    words |= {
        "optimizers": ["adam", "lion"],
        "learning_rate": {"adam": [1e-5, 1e-2]},
        "warmup": 0.1,
        "batch_size": [32, 64],
    }
    words |= {
        "extra": {
            "dropout": {"between": [0.0, 0.5]},
            "kind": {"choices": ["relu", "gelu"]},
        }
    }
    assert call == from_words(words)
    space = SearchSpace().with_overrides(call)
    assert space.extra == {"dropout": (0.0, 0.5), "kind": ["relu", "gelu"]}


def test_a_study_without_a_name_is_named_by_all_that_it_cannot_have_two_of():
    found = Inspection(
        facts=facts(fingerprint={"epochs": 3, "data.train": "ab"}),
        dimensions=(),
        references=(),
        seed=0,
    )
    name = derive_name(found, SearchOptions())
    assert name == derive_name(found, SearchOptions(trials=7, retest=5, timeout=9.0))
    assert name.startswith("notebook-")
    others = [
        derive_name(found, each)
        for each in (
            SearchOptions(sampler="qmc"),
            SearchOptions(seed=1),
            SearchOptions(pruner="asha"),
            SearchOptions(retries=0),
        )
    ]
    others.append(
        derive_name(
            replace(found, facts=facts(fingerprint={"epochs": 3, "data.train": "cd"})),
            SearchOptions(),
        )
    )
    assert len({name, *others}) == 6
