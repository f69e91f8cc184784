"""Formulas as LaTeX, set as they are written."""

from __future__ import annotations

import ast

from isoflop.laws.formula import Formula

_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lam", "mu", "nu", "xi", "rho"),
    *("sigma", "tau", "phi", "chi", "psi", "omega"),
)
_SUM, _PRODUCT, _POWER = 1, 2, 3


def to_latex(formula: Formula) -> str:
    """The law, and its definitions after commas."""
    lines = [(formula.output, formula.body), *formula.definitions]
    return ",\\quad ".join(f"{symbol(left)} = {_set(right)}" for left, right in lines)


def symbol(name: str) -> str:
    """A name as it is set: ``alpha_N`` as a Greek letter with a subscript, names of several letters upright."""
    head, *subscripts = name.split("_")
    letters = head.rstrip("0123456789")
    digits = head[len(letters) :]
    if letters in _GREEK:
        symbol = "\\lambda" if letters == "lam" else f"\\{letters}"
    else:
        symbol = letters if len(letters) == 1 else f"\\mathrm{{{letters}}}"
    below = [digits] if digits else []
    for part in subscripts:
        below.append(f"\\{part}" if part in _GREEK else part if len(part) < 2 else f"\\mathrm{{{part}}}")
    return f"{symbol}_{{{','.join(below)}}}" if below else symbol


def _set(tree: ast.expr, tightness: int = 0) -> str:
    if isinstance(tree, ast.Name):
        return symbol(tree.id)
    if isinstance(tree, ast.Constant):
        return repr(tree.value)
    if isinstance(tree, ast.Call):
        arguments = ", ".join(_set(argument) for argument in tree.args)
        assert isinstance(tree.func, ast.Name)
        if tree.func.id == "sqrt":
            return f"\\sqrt{{{arguments}}}"
        function = "\\log_{10}" if tree.func.id == "log10" else f"\\{tree.func.id}"
        return f"{function}\\left({arguments}\\right)"
    if isinstance(tree, ast.UnaryOp):
        sign = "-" if isinstance(tree.op, ast.USub) else ""
        return _bracket(f"{sign}{_set(tree.operand, _PRODUCT)}", tightness >= _PRODUCT)
    assert isinstance(tree, ast.BinOp)
    left, right = tree.left, tree.right
    if isinstance(tree.op, ast.Div):
        return _bracket(f"\\frac{{{_set(left)}}}{{{_set(right)}}}", tightness == _POWER)
    if isinstance(tree.op, ast.Pow):
        return _bracket(f"{_set(left, _POWER)}^{{{_set(right)}}}", tightness == _POWER)
    if isinstance(tree.op, ast.Mult):
        space = " \\cdot " if isinstance(right, ast.Constant) else "\\,"
        first = _set(left, _SUM if isinstance(left, ast.UnaryOp) else _PRODUCT)
        return _bracket(f"{first}{space}{_set(right, _PRODUCT)}", tightness == _POWER)
    sign = " + " if isinstance(tree.op, ast.Add) else " - "
    after = _PRODUCT if isinstance(tree.op, ast.Sub) else _SUM
    return _bracket(f"{_set(left, _SUM)}{sign}{_set(right, after)}", tightness >= _PRODUCT)


def _bracket(text: str, needed: bool) -> str:
    return f"\\left({text}\\right)" if needed else text
