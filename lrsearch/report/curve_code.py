"""Writes the curve of a schedule's shape as Python, for exports.

A curve computes with whatever numbers and namespace it is given
(`lrsearch.space.schedules`). Given formulas in place of numbers, the curve builds its
own syntax tree, so that it is written only once.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any

from lrsearch.space import SHAPES

_OPERATORS = {
    "add": ast.Add,
    "sub": ast.Sub,
    "mul": ast.Mult,
    "truediv": ast.Div,
    "mod": ast.Mod,
    "pow": ast.Pow,
}
_LONGEST = 75  # characters of a curve on one line


def curve_code(shape: str, knobs: Mapping[str, float]) -> str:
    """The curve of a shape over progress `p`, by `math` and `keras.ops` as `ops`.

    Continuation lines are indented for a method's body.
    """
    values: dict[str, Any] = {
        name: _Formula(_tree_of(knob)) for name, knob in knobs.items()
    }
    tree = SHAPES[shape].curve(_Functions(), _Formula(ast.Name("p")), values).tree
    text = ast.unparse(tree)
    if len(text) <= _LONGEST or not isinstance(tree, ast.Call):
        return text
    arguments = "".join(f"\n            {ast.unparse(each)}," for each in tree.args)
    return f"{ast.unparse(tree.func)}({arguments}\n        )"


class _Formula:
    """A number that is a syntax tree; arithmetic makes larger trees."""

    def __init__(self, tree: ast.expr) -> None:
        self.tree = tree

    def __lt__(self, other: object) -> _Formula:
        return _Formula(ast.Compare(self.tree, [ast.Lt()], [_tree_of(other)]))


def _operation(
    kind: type[ast.operator], *, swapped: bool
) -> Callable[[_Formula, object], _Formula]:
    def operate(formula: _Formula, other: object) -> _Formula:
        pair = formula.tree, _tree_of(other)
        left, right = reversed(pair) if swapped else pair
        return _Formula(ast.BinOp(left, kind(), right))

    return operate


for _name, _kind in _OPERATORS.items():
    setattr(_Formula, f"__{_name}__", _operation(_kind, swapped=False))
    setattr(_Formula, f"__r{_name}__", _operation(_kind, swapped=True))


class _Functions:
    """A namespace in place of NumPy, whose functions make calls of `ops`."""

    def __getattr__(self, name: str) -> Callable[..., _Formula]:
        function = _parse(f"ops.{name}")
        return lambda *numbers: _Formula(
            ast.Call(function, [*map(_tree_of, numbers)], [])
        )


def _tree_of(number: Any) -> ast.expr:
    if isinstance(number, _Formula):
        return number.tree
    return _parse("math.pi" if number == math.pi else repr(number))


def _parse(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
