"""The text of a law, read: ``L = E + A/M**alpha; M = N + 47491*N**(1/3)``.

The first line is the law. Lines after it, set apart by ``;`` or a new line, define names that the lines before them
use. A formula is numbers, names, ``+ - * / **`` (``^`` is the same), brackets and the functions of ``FUNCTIONS``.
"""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass

from isoflop.errors import LawError, nearest

FUNCTIONS = {"exp": 1, "log": 1, "log10": 1, "sqrt": 1, "min": 2, "max": 2}
"""Functions by name, with their number of arguments; ``log`` is the natural one."""

_NODES = (ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.Call)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub, ast.UAdd)
_TOKEN = re.compile(r"[\w.]+|\S")


@dataclass(frozen=True)
class Formula:
    """A law as a tree.

    Attributes:
        text: as it was given.
        output: name on the left.
        body: expression on the right.
        definitions: names that the body uses and their expressions, each using only inputs, parameters and names
            defined after it.
        names: every other name, in order of appearance.
    """

    text: str
    output: str
    body: ast.expr
    definitions: tuple[tuple[str, ast.expr], ...]
    names: tuple[str, ...]


def parse(text: str) -> Formula:
    """The tree of a formula.

    Raises:
        LawError: it does not parse; the message names the token.
    """
    if not isinstance(text, str):
        raise LawError(f"the formula of a law is text, got {text!r}", hint="Law('L = E + A/N**alpha')")
    lines = [line.strip() for line in re.split(r"[;\n]", text) if line.strip()]
    if not lines:
        raise LawError("the formula of a law is empty", hint="write it as 'L = E + A/N**alpha'")
    sides = [_sides(line) for line in lines]
    (output, body), definitions = sides[0], sides[1:]
    defined = [name for name, _ in definitions]
    for i, name in enumerate(defined):
        if name == output or name in defined[:i]:
            raise LawError(f"{name!r} is defined twice in {text!r}")
    names: dict[str, None] = {}
    for i, (_, tree) in enumerate(sides):
        for name in names_in(tree):
            if name == output or name in defined[:i]:
                raise LawError(
                    f"{name!r} is used in {lines[i]!r}, which comes after its own line",
                    hint="a line may use the names that later lines define",
                )
            if name not in defined:
                names[name] = None
    unused = set(defined) - {name for _, tree in sides for name in names_in(tree)}
    if unused:
        raise LawError(f"{min(unused)!r} is defined in {text!r} and used nowhere")
    return Formula(text, output, body, tuple(definitions), tuple(names))


def names_in(tree: ast.expr) -> list[str]:
    """Names in an expression, in order of appearance; functions are none."""
    names = [
        (node.lineno, node.col_offset, node.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id not in FUNCTIONS
    ]
    return list(dict.fromkeys(name for *_, name in sorted(names)))


def powered(formula: Formula, inputs: tuple[str, ...]) -> list[str]:
    """Names, none of the inputs, that stand alone below a power with a name in it, as x in A/x**alpha."""
    trees = (formula.body, *(tree for _, tree in formula.definitions))
    bases = [
        node.left.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Pow)
        and isinstance(node.left, ast.Name)
        and names_in(node.right)
    ]
    return [name for name in formula.names if name in bases and name not in inputs]


def _sides(line: str) -> tuple[str, ast.expr]:
    left, equals, right = line.partition("=")
    name = left.strip()
    if not equals or right.startswith("="):
        raise LawError(f"{line!r} does not read NAME = EXPRESSION", hint="write a law as 'L = E + A/N**alpha'")
    if not name.isidentifier() or keyword.iskeyword(name) or name in FUNCTIONS:
        raise LawError(f"{name!r} left of '=' in {line!r} is no name", hint="write a law as 'L = E + A/N**alpha'")
    source = right.strip().replace("^", "**")
    try:
        tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        ended = (error.lineno or 1) > 1 or not error.offset
        token = _token_at(source, len(source) if ended else (error.offset or 1) - 1)
        hint = f"{token!r} is a word of Python: choose another name" if keyword.iskeyword(token) else _HOW
        raise LawError(f"cannot read {line!r} at {token!r}", hint=hint) from None
    _check(tree, source)
    return name, tree


_HOW = "a formula has numbers, names, + - * / ** and brackets; 2*N, not 2N"


def _token_at(source: str, position: int) -> str:
    tokens = [match for match in _TOKEN.finditer(source) if match.end() > position]
    return tokens[0].group() if tokens else "its end"


def _check(tree: ast.expr, source: str) -> None:
    """Refuse whatever is not arithmetic.

    Raises:
        LawError: the message names the token.
    """
    for node in ast.walk(tree):
        if isinstance(node, (*_OPERATORS, ast.Load)):
            continue
        token = ast.get_source_segment(source, node) or type(node).__name__
        if isinstance(node, ast.Call):
            function = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
            if function not in FUNCTIONS:
                raise LawError(f"unknown function {function!r} in {source!r}", hint=nearest(function, FUNCTIONS))
            if len(node.args) != FUNCTIONS[function] or node.keywords:
                raise LawError(f"{function} takes {FUNCTIONS[function]} argument(s), not {token!r}")
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
                raise LawError(f"{token!r} in {source!r} is no number", hint=_HOW)
        elif not isinstance(node, _NODES):
            raise LawError(f"cannot read {token!r} in {source!r}", hint=_HOW)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in called and (node.id in FUNCTIONS or node.id == "np"):
            raise LawError(f"{node.id!r} in {source!r} is no name for a parameter", hint="choose another name")
