"""The Python of an export."""

from lrsearch.report.code import _CURVES
from lrsearch.space import SHAPES


def test_every_shape_has_its_curve_as_text():
    assert set(_CURVES) == set(SHAPES)
