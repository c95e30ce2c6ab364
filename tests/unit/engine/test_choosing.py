"""What the figures of a calibration decide."""

import json
from dataclasses import asdict

import pytest

pytest.importorskip("tensorflow")
from lrsearch.choices import CHOICES
from lrsearch.engine import ENGINES
from lrsearch.engine.auto import choose
from lrsearch.engine.calibration import Calibration


def test_every_engine_that_may_be_asked_for_is_there():
    assert tuple(ENGINES) == CHOICES["engine"]


def test_the_narrowest_stack_that_is_about_as_fast_as_the_best_is_taken():
    chosen = choose(
        {"graph": 1.0, "2 rows": 0.8, "4 rows": 0.51, "8 rows": 0.5, "16 rows": 0.6}
    )
    assert (chosen.engine, chosen.width) == ("vectorized", 4)
    assert "4 trials at once" in chosen.reason


@pytest.mark.parametrize(
    "milliseconds", [{"graph": 1.0, "2 rows": 0.95}, {"graph": 1.0}]
)
def test_a_gain_that_is_too_small_leaves_trials_alone(milliseconds):
    chosen = choose(milliseconds)
    assert (chosen.engine, chosen.width) == ("graph", 1)
    assert chosen.reason


def test_a_calibration_survives_its_json():
    chosen = choose({"graph": 1.0, "2 rows": 0.5})
    assert Calibration(**json.loads(json.dumps(asdict(chosen)))) == chosen
