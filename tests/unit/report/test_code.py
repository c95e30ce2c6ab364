"""The Python of an export."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from lrsearch.report.curve_code import curve_code
from lrsearch.space import SHAPES


@pytest.mark.parametrize("name", SHAPES)
def test_the_text_of_a_curve_computes_what_the_curve_does(name):
    shape, progress = SHAPES[name], np.linspace(0, 1, 100, endpoint=False)
    names = ("abs", "cos", "floor", "ones_like", "sqrt", "where")
    ops = SimpleNamespace(**{each: getattr(np, each) for each in names})
    for end in ("default", "low", "high"):
        knobs = {each: getattr(knob, end) for each, knob in shape.knobs.items()}
        text = curve_code(name, {**knobs, "warmup": 0.1})
        values = eval(text, {"ops": ops, "math": math, "p": progress})
        assert np.array_equal(values, shape.curve(np, progress, knobs)), text
        assert all(len(line) <= 100 for line in text.splitlines())


def test_a_curve_is_written_as_a_person_would():
    assert curve_code("cosine", {}) == "0.5 * (1 + ops.cos(math.pi * p))"
    assert curve_code("polynomial", {"power": 2.0}) == "(1 - p) ** 2.0"
    assert curve_code("one_cycle", {"rise": 0.3}).splitlines()[:2] == [
        "ops.where(",
        "            p < 0.3,",
    ]
