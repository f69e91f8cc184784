"""The generated module of a law: Python that numba compiles as it stands.

``python -m isoflop.laws.emit`` writes the modules of the laws that ship.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from isoflop.laws.derive import Derived, derive
from isoflop.laws.law import Law, Parameter

_NUMPY = {"exp": "exp", "log": "log", "log10": "log10", "sqrt": "sqrt", "min": "minimum", "max": "maximum"}


def emit(law: Law) -> str:
    """Source of the module."""
    found = derive(law)
    n = len(law.parameters)
    low, high = zip(*(_bounds(parameter) for parameter in law.parameters), strict=True)
    head = [
        f'"""{law.formula}\n\nGenerated from the declaration of the law: see isoflop.laws.code for what it holds.\n"""',
        "",
        "from math import exp, inf, log",
        "",
        "import numpy as np",
        "",
        f"NAMES = {law.names!r}",
        f"INPUTS = {law.inputs!r}",
        f"OUTPUT = {law.output!r}",
        f"LATEX = {law.latex!r}",
        f"LOWER = {_floats(low)}",
        f"UPPER = {_floats(high)}",
        f"START = {tuple(parameter.start for parameter in law.parameters)!r}",
        f"LOG = {found.log!r}",
        f"CENTRED = {found.centred!r}",
        f"RAW = {found.raw!r}",
        f"POSITIVE = {tuple(name not in law.signed for name in law.inputs)!r}",
        f"LINEAR = {found.linear!r}",
        "",
    ]
    coordinates = [_natural(found), _inner(found), _natural_jacobian(found)]
    slopes = {f"j[{m}, i]": slope for m, slope in enumerate(found.first)}
    kernels = [
        _kernel(found, "value(u, z, x, f)", {"f[i]": found.value}),
        _kernel(found, "jacobian(u, z, x, f, j)", {"f[i]": found.value, **slopes}),
        _kernel(found, "curvature(u, z, x, s, h)", {f"h[{a}, {b}]": e for (a, b), e in found.second.items()}, n),
    ]
    parts = [_evaluate(law), *coordinates, *kernels]
    return "\n\n".join(["\n".join(head), *("\n".join(part) + "\n" for part in parts)])


def _bounds(parameter: Parameter) -> tuple[float, float]:
    low, high = parameter.domain
    if parameter.role != "scale":
        return low, high
    return math.log(low) if low > 0 else -math.inf, math.log(high) if high < math.inf else math.inf


def _floats(values: Iterable[float]) -> str:
    return "(" + "".join(f"{float(value)!r}, " for value in values).rstrip() + ")"


def _evaluate(law: Law) -> list[str]:
    class Numpy(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            assert isinstance(node.func, ast.Name)
            arguments = [self.visit(argument) for argument in node.args]
            return ast.Call(ast.Name(f"np.{_NUMPY[node.func.id]}"), arguments, [])

    def unpacked(names: tuple[str, ...]) -> str:
        return f"({', '.join(names)}{',' if len(names) == 1 else ''})"

    def source(tree: ast.expr) -> str:
        copy = ast.parse(ast.unparse(tree), mode="eval").body
        return ast.unparse(Numpy().visit(copy))

    lines = ["def evaluate(p, x):", f"    {unpacked(law.names)}, {unpacked(law.inputs)} = p, x"]
    lines += [f"    {name} = {source(tree)}" for name, tree in reversed(law.tree.definitions)]
    return [*lines, f"    return {source(law.tree.body)}"]


class _Printer(StrPrinter):  # type: ignore[misc]
    """Expressions as Python, with ``Exp`` and ``Ln`` as exp and log, and small powers as products."""

    def _print_Exp(self, e: Any) -> str:
        return f"exp({self._print(e.args[0])})"

    def _print_Ln(self, e: Any) -> str:
        return f"log({self._print(e.args[0])})"

    _print_exp, _print_log = _print_Exp, _print_Ln

    def _print_Rational(self, e: Any) -> str:
        return repr(float(e))

    _print_Float = _print_Half = _print_Integer = _print_One = _print_Zero = _print_NegativeOne = _print_Rational

    def _print_Pow(self, e: Any, rational: bool = False) -> str:
        base, power = self.parenthesize(e.base, PRECEDENCE["Func"], strict=True), int(e.exp)
        product = "*".join([base] * abs(power))
        product = product if abs(power) == 1 else f"({product})"
        return product if power > 0 else f"(1.0/{product})"


def _text(e: Any, names: dict[Any, str] | None = None) -> str:
    printer = _Printer()
    return str(printer.doprint(e.subs({s: sp.Symbol(name) for s, name in (names or {}).items()})))


def _shift(found: Derived, k: int, row: Callable[[int], str]) -> str:
    """The sum that centring takes off the logarithm of scale k, in terms of ``row`` of the other parameters."""
    names = {symbol: row(m) for m, symbol in enumerate(found.u)}
    total = sum(w * sp.Symbol(f"c[{i}]") for i, w in enumerate(found.shifts[k]))
    return _text(total, names) if total != 0 else ""


def _natural(found: Derived) -> list[str]:
    lines = ["def natural(u, c):", "    p = np.array(u, dtype=np.float64)"]
    for k, is_log in enumerate(found.log):
        shift = _shift(found, k, "u[..., {}]".format)
        if is_log:
            lines.append(f"    p[..., {k}] = np.exp(u[..., {k}]{' + ' if shift else ''}{shift})")
        elif shift:
            lines.append(f"    p[..., {k}] *= np.exp({shift})")
    return [*lines, "    return p"]


def _inner(found: Derived) -> list[str]:
    lines = ["def inner(p, c):", "    u = np.array(p, dtype=np.float64)"]
    for k, is_log in enumerate(found.log):
        shift = _shift(found, k, "p[..., {}]".format)
        if is_log:
            lines.append(f"    u[..., {k}] = np.log(p[..., {k}]){f' - ({shift})' if shift else ''}")
        elif shift:
            lines.append(f"    u[..., {k}] *= np.exp(-({shift}))")
    return [*lines, "    return u"]


def _natural_jacobian(found: Derived) -> list[str]:
    names = {symbol: f"u[{m}]" for m, symbol in enumerate(found.u)}
    lines = ["def natural_jacobian(u, c):", "    p = natural(u, c)", f"    d = np.eye({len(found.u)})"]
    for k, is_log in enumerate(found.log):
        shift = _shift(found, k, "u[{}]".format)
        if not is_log and not shift:
            continue
        lines.append(f"    d[{k}, {k}] = {f'p[{k}]' if is_log else f'np.exp({shift})'}")
        total = sum(w * sp.Symbol(f"c[{i}]") for i, w in enumerate(found.shifts[k]))
        for m, symbol in enumerate(found.u):
            slope = sp.diff(total, symbol)
            if slope != 0:
                lines.append(f"    d[{k}, {m}] = p[{k}]*({_text(slope, names)})")
    return [*lines, "    return d"]


def _kernel(found: Derived, signature: str, outputs: dict[str, Any], matrix: int = 0) -> list[str]:
    """One loop over the block of straight-line code; what does not change in it stands before it."""
    lines = [f"def {signature}:"]
    constant: dict[Any, Any] = {}
    fixed = set(found.u)

    def hoist(e: Any) -> Any:
        """``e`` with every subexpression of parameters alone replaced by a symbol."""
        if e.is_Atom or (-e).is_Symbol:
            return e
        if e.free_symbols and e.free_symbols <= fixed:
            return constant.setdefault(e, sp.Symbol(f"c{len(constant)}", real=True))
        arguments = [hoist(a) for a in e.args]
        if isinstance(e, (sp.Mul, sp.Add)):
            still = [a for a in arguments if a.free_symbols <= fixed_now() and not a.is_Number]
            if len(still) > 1:
                together = e.func(*still)
                symbol = constant.setdefault(together, sp.Symbol(f"c{len(constant)}", real=True))
                arguments = [a for a in arguments if a not in still] + [symbol]
        return e.func(*arguments)

    def fixed_now() -> set[Any]:
        return fixed | set(constant.values())

    choices = {s: (hoist(a), hoist(b)) for s, (a, b) in found.choices.items()}
    results = {target: hoist(e) for target, e in outputs.items()}
    used = {s for s in choices if any(s in e.free_symbols for e in results.values())}
    while more := {s for s in choices if any(s in side.free_symbols for t in used for side in choices[t])} - used:
        used |= more
    choices = {s: sides for s, sides in choices.items() if s in used}
    sides = [side for pair in choices.values() for side in pair]
    shared, reduced = sp.cse([*sides, *results.values()], sp.numbered_symbols("t", real=True))
    pairs = iter(reduced)
    inside: dict[Any, str] = {}
    needs: dict[Any, set[Any]] = {}
    for symbol in choices:
        left, right = next(pairs), next(pairs)
        inside[symbol] = f"1.0 if {_text(left)} < {_text(right)} else 0.0"
        needs[symbol] = left.free_symbols | right.free_symbols
    for symbol, e in shared:
        inside[symbol], needs[symbol] = _text(e), e.free_symbols
    finals = dict(zip(results, pairs, strict=True))
    order = _ordered(needs, set().union(*(e.free_symbols for e in finals.values())) if finals else set())

    steps = _shared(constant)
    seen = set().union(*(e.free_symbols for e in (*constant, *finals.values())), *(needs[s] for s in order))
    lines += [f"    {s.name} = u[{m}]" for m, s in enumerate(found.u) if s in seen]
    lines += [f"    {symbol.name} = {_text(e)}" for symbol, e in steps]
    sums = {target: f"h{target[2:-1].replace(', ', '_')}" for target in finals} if matrix else {}
    lines += [f"    {name} = 0.0" for name in sums.values()]
    lines.append(f"    for i in range({'s' if matrix else 'f'}.shape[0]):")
    for letter, symbols in (("z", found.z), ("x", found.x)):
        lines += [f"        {s.name} = {letter}[{k}, i]" for k, s in enumerate(symbols) if s in seen]
    lines += [f"        {symbol.name} = {inside[symbol]}" for symbol in order]
    for target, e in finals.items():
        lines.append(f"        {sums[target]} += s[i]*({_text(e)})" if matrix else f"        {target} = {_text(e)}")
    lines += [f"    {target} += {name}" for target, name in sums.items()]
    return lines if finals else [lines[0], "    return"]


def _ordered(needs: dict[Any, set[Any]], wanted: set[Any]) -> list[Any]:
    """The symbols that ``wanted`` rests on, each after those it needs."""
    order: list[Any] = []
    done: set[Any] = set()

    def place(symbol: Any) -> None:
        if symbol in needs and symbol not in done:
            done.add(symbol)
            for other in sorted(needs[symbol], key=lambda s: (len(s.name), s.name)):
                place(other)
            order.append(symbol)

    for symbol in sorted(wanted, key=lambda s: (len(s.name), s.name)):
        place(symbol)
    return order


def _shared(constant: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Assignments that compute the values of ``constant``, common parts once."""
    shared, reduced = sp.cse(list(constant), sp.numbered_symbols("b", real=True))
    renamed: dict[Any, Any] = {}
    for symbol, e in zip(constant.values(), reduced, strict=True):
        if any(e == other for other, _ in shared):
            renamed.setdefault(e, symbol)
    steps = {renamed.get(symbol, symbol): e.subs(renamed) for symbol, e in shared}
    for symbol, e in zip(constant.values(), reduced, strict=True):
        if renamed.get(e) != symbol:
            steps[symbol] = e.subs(renamed)
    order = _ordered({symbol: e.free_symbols for symbol, e in steps.items()}, set(constant.values()))
    return [(symbol, steps[symbol]) for symbol in order]


def write(folder: Path) -> None:
    """Write the modules of all laws that ship, and nothing else, into a folder."""
    from isoflop.laws.catalogue import LAWS
    from isoflop.laws.code import module_name

    sources = {f"{module_name(law.name)}.py": emit(law) for law in LAWS.values()}
    sources["__init__.py"] = '"""Generated by ``make laws``, one module a law."""\n'
    for old in folder.glob("*.py"):
        if old.name not in sources:
            old.unlink()
    for name, text in sources.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parent / "generated")
