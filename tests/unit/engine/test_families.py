"""Which optimizers can be rows of one graph."""

import pytest

pytest.importorskip("tensorflow")
from lrsearch.engine._keras_rules import ADAPTERS
from lrsearch.space import OPTIMIZERS

WHOLE_MATRICES = {"Lamb", "Adafactor", "Muon"}


def test_every_optimizer_has_an_adapter_or_is_known_to_look_at_whole_matrices():
    assert {spec.keras for spec in OPTIMIZERS.values()} == {*ADAPTERS, *WHOLE_MATRICES}
    assert WHOLE_MATRICES.isdisjoint(ADAPTERS)
