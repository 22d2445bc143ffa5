"""Conditions on trials, such as `lr > 0.1 and batch in (16, 32)`: parsed, never executed.

A condition is Python's syntax of comparisons and arithmetic over the parameters' names. It is
turned into a function step by step; anything else (calls, indices, attributes of objects) has
no step and is refused by name.
"""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any, TypeAlias

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from snakemake_executor_plugin_hpcctr.sweep.naming import Value

Step: TypeAlias = "Callable[[Mapping[str, Value]], Any]"

COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, several: one in several,
    ast.NotIn: lambda one, several: one not in several,
}
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
WORDS = {"true": True, "false": False}
LONGEST = 2000


def parse_condition(text: str, names: Collection[str]) -> Step:
    """Return a function that tells whether the condition holds for a trial's values.

    Args:
        text: The condition.
        names: Parameters and constants that it may speak of.

    Raises:
        ConfigError: It cannot be read, has something that is not allowed, or a name that is
            not known. The function raises it for values that cannot be compared.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval") if len(text) < LONGEST else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None:
        raise ConfigError(
            f"the condition {text!r} cannot be read",
            next_step="write a comparison such as `lr > 0.1 and batch == 16`; in a list in `[ ]`, "
            "one with a comma stands in quotes",
        )
    step = _Parser(text, names).step(tree.body)

    def holds(values: Mapping[str, Value]) -> bool:
        try:
            return bool(step(values))
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            raise ConfigError(
                f"the condition {text!r} cannot be decided for "
                + ", ".join(f"{name}={value!r}" for name, value in values.items())
                + f": {error}",
                next_step="compare numbers with numbers and texts with texts (in quotes)",
            ) from None

    return holds


class _Parser:
    """Turns nodes of the syntax tree into functions."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.text = text
        self.names = names

    def step(self, node: ast.expr) -> Step:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return lambda _values: value
            case ast.Name() | ast.Attribute():
                return self._name(node)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self._compare(left, ops, rest)
            case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
                steps = [self.step(item) for item in items]
                return lambda values: [step(values) for step in steps]
            case _:
                return self._operation(node)

    def _operation(self, node: ast.expr) -> Step:
        match node:
            case ast.BoolOp(op=op, values=parts):
                steps = [self.step(part) for part in parts]
                decide = all if isinstance(op, ast.And) else any
                return lambda values: decide(step(values) for step in steps)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in SIGNS:
                sign, inner = SIGNS[type(op)], self.step(operand)
                return lambda values: sign(inner(values))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                compute, one, other = ARITHMETIC[type(op)], self.step(left), self.step(right)
                return lambda values: compute(one(values), other(values))
            case _:
                raise ConfigError(
                    f"`{ast.unparse(node)}` is not allowed in a condition",
                    next_step="use comparisons (== != < <= > >= in), and/or/not, + - * / // %, "
                    "numbers and texts in quotes",
                )

    def _name(self, node: ast.expr) -> Step:
        name = ast.unparse(node)
        if name in self.names:
            return lambda values: values[name]
        if name in WORDS:
            value = WORDS[name]
            return lambda _values: value
        raise ConfigError(
            f"the condition {self.text!r} names `{name}`, which is no parameter",
            next_step=did_you_mean(name, self.names)
            or f"the parameters are {', '.join(self.names)}; a text stands in quotes",
        )

    def _compare(self, left: ast.expr, ops: list[ast.cmpop], rest: list[ast.expr]) -> Step:
        unknown = next((op for op in ops if type(op) not in COMPARE), None)
        if unknown is not None:
            raise ConfigError(
                f"the condition {self.text!r} compares with `is`", next_step="write == or !="
            )
        steps = [self.step(part) for part in (left, *rest)]
        decide = [COMPARE[type(op)] for op in ops]

        def compare(values: Mapping[str, Value]) -> bool:
            found = [step(values) for step in steps]
            return all(
                test(one, other) for test, one, other in zip(decide, found, found[1:], strict=False)
            )

        return compare
