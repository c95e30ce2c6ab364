"""How options are read from the command line."""

import click
import pytest
from click.testing import CliRunner

from lrsearch import SearchSpace
from lrsearch.cli.options import space_options, space_overrides
from lrsearch.errors import LrSearchError


@click.command()
@space_options
def overrides(**options):
    """Prints the space that the options make."""
    space = SearchSpace().with_overrides(space_overrides(options))
    click.echo(f"{space.learning_rate} {space.optimizers} {space.extra}")


def read(*words):
    return CliRunner().invoke(overrides, words)


def test_rates_are_read_for_all_optimizers_or_for_each():
    assert "(1e-05, 0.01)" in read("--learning-rate", "1e-5,1e-2").output
    each = read(
        "--learning-rate", "adam=1e-5,1e-2", "--learning-rate", "sgd=1e-3,1"
    ).output
    assert "'adam': (1e-05, 0.01)" in each
    assert "'sgd': (0.001, 1.0)" in each
    assert read().output.startswith("None")


def test_further_values_are_read_as_ranges_and_choices():
    words = (
        "--extra",
        "dropout=0.0,0.5",
        "--extra",
        "units=8,64",
        "--extra",
        "kind=relu/true/3",
        "--fine-tuning",
    )
    output = read(*words).output
    assert (
        "{'dropout': (0.0, 0.5), 'units': (8, 64), 'kind': ['relu', True, 3]}" in output
    )
    assert "'lion'" in output
    for wrong in ("dropout", "dropout=0.5", "dropout=1,2,3", "kind=a,b/c"):
        assert "neither NAME=LOW,HIGH nor NAME=A/B/C" in read("--extra", wrong).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1e-5,1e-2", "adam=1e-5,1e-2"), "once for each optimizer"),
        (("1e-5,1e-2", "1e-4,1e-2"), "once for each optimizer"),
        (("adam=low,high",), "neither one number nor LOW,HIGH"),
        (("adam=1,2,3",), "neither one number nor LOW,HIGH"),
    ],
)
def test_other_ways_to_write_rates_are_refused(words, said):
    answer = read(*(part for word in words for part in ("--learning-rate", word)))
    assert answer.exit_code == 2
    assert said in answer.output


@pytest.mark.parametrize("word", ["adam=1e-3", "adma=1e-5,1e-2", "1e-3"])
def test_rates_that_no_search_can_have_are_refused_by_the_space(word):
    assert isinstance(read("--learning-rate", word).exception, LrSearchError)
