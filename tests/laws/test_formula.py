from __future__ import annotations

import math

import numpy as np
import pytest

from isoflop.errors import LawError
from isoflop.laws import LAWS, Law, Parameter, bnsl, get_law, power_law
from isoflop.laws.formula import parse


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("L = E + A/N**alpha +", "its end"),
        ("L = E + 2N", "2N"),
        ("L = E + A N", "N"),
        ("L = E + (A/N", "("),
        ("L = E + A/N)", ")"),
        ("L = E + lambda/N", "lambda"),
        ("L = E + A/N**alpha $ 2", "$"),
        ("L = E + exq(N)", "exq"),
        ("L = E + N.real", "N.real"),
        ("L = E + N[0]", "N[0]"),
        ("L = E if N else A", "E if N else A"),
        ("L = E + 'N'", "'N'"),
        ("L = E + exp(N, D)", "exp(N, D)"),
        ("L = E + log + N", "log"),
        ("L = __import__('os').system('true') + N", "__import__('os').system"),
        ("E + A/N", "E + A/N"),
        ("3 = E + A/N", "3"),
        ("L = A/N + L", "L"),
        ("L = A/M; M = N + K; K = M", "M"),
        ("L = A/N; M = N", "M"),
        ("L = A/M; M = N; M = D", "M"),
    ],
)
def test_what_does_not_parse_is_named(text: str, token: str) -> None:
    with pytest.raises(LawError) as caught:
        Law(text)
    assert repr(token) in caught.value.message


def test_an_unknown_function_has_a_nearest() -> None:
    with pytest.raises(LawError) as caught:
        Law("L = E + exq(-N)")
    assert caught.value.hint == "did you mean 'exp'?"


def test_names_that_are_neither_input_nor_parameter_are_refused() -> None:
    parameters = (Parameter("A"), Parameter("alpha", role="exponent"))
    with pytest.raises(LawError, match=r"'alhpa' in .* is neither an input nor a parameter") as caught:
        Law("L = A/N**alhpa + A/N**alpha", parameters=parameters)
    assert caught.value.hint == "did you mean 'alpha'?"
    with pytest.raises(LawError, match="the input 'Q' does not occur"):
        Law("L = A/N**alpha", inputs=("N", "Q"))
    with pytest.raises(LawError, match="has no input among N, D"):
        Law("L = A/x**alpha")
    with pytest.raises(LawError, match="unknown role 'expnent'") as role:
        Parameter("a", role="expnent")
    assert role.value.hint == "did you mean 'exponent'?"


def test_an_input_that_nobody_knows_is_named() -> None:
    with pytest.raises(LawError, match=r"no input among .*; its names are A, depth, alpha") as none:
        Law("L = A/depth**alpha")
    assert "inputs=('depth',)" in str(none.value)
    with pytest.raises(LawError, match=r"'n' in .* is no input") as unknown:
        Law("L = E + A/n**alpha + B/D**beta")
    assert "Law(..., inputs=('D', 'n'))" in str(unknown.value)
    for text in ("L = E + A/N**alpha + B/M**beta; M = D", "L = (N_c/N)**alpha", "L = A*k**2/N**alpha"):
        assert Law(text).inputs[0] in "ND"
    # who names the inputs says that n is none
    assert Law("L = n**alpha/N**alpha", inputs=("N",)).names == ("n", "alpha")
    with pytest.raises(LawError, match="is text, got None"):
        Law(None)  # type: ignore[arg-type]


def test_a_caret_is_a_power() -> None:
    assert Law("L = A/N^alpha").predict({"A": 8.0, "alpha": 0.5}, N=16.0) == pytest.approx(2.0)


def test_parameters_get_their_roles_from_where_they_stand() -> None:
    law = Law("L = E + A/N**alpha + B*D**-beta + K*C**g")
    assert law.inputs == ("N", "D", "C")
    roles = {parameter.name: parameter.role for parameter in law.parameters}
    assert roles == {
        "E": "floor", "A": "scale", "alpha": "exponent", "B": "scale", "beta": "exponent", "K": "scale",
        "g": "signed exponent",
    }  # fmt: skip
    joint = Law(LAWS["kaplan"].formula)
    shipped = {p.name: (p.role, p.domain) for p in LAWS["kaplan"].parameters}
    assert {p.name: (p.role, p.domain) for p in joint.parameters} == shipped


def test_definitions_are_put_in() -> None:
    law = Law("L = A/M**alpha; M = N + k*N**(1/3)")
    total = 1e6 + 47491 * 100
    assert law.predict({"A": 8.0, "alpha": 0.5, "k": 47491.0}, N=1e6) == pytest.approx(8 / math.sqrt(total))
    assert parse("L = A/M\nM = N + 1").names == ("A", "N")


def test_a_users_law_is_the_shipped_one(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own, shipped = Law("L = E + A/N**alpha + B/D**beta"), LAWS["chinchilla"]
    params = {"E": 1.8, "A": 480.0, "B": 2000.0, "alpha": 0.35, "beta": 0.37}
    assert own.predict(params, N=1e8, D=1e9) == shipped.predict(params, N=1e8, D=1e9)
    assert own.code.CENTRED == shipped.code.CENTRED
    assert own.names == ("E", "A", "alpha", "B", "beta")
    u = own.code.inner(np.array([params[name] for name in own.names]), np.zeros(2))
    f, j = np.empty(1), np.empty((5, 1))
    own.code.jacobian(u, np.log([[1e8], [1e9]]), np.array([[1e8], [1e9]]), f, j)
    assert f[0] == pytest.approx(float(shipped.predict(params, N=1e8, D=1e9)))
    (written,) = (tmp_path / "isoflop" / "laws").glob("*.py")
    assert "E + A / N ** alpha" in written.read_text()


def test_a_declaration_reads_back() -> None:
    for law in LAWS.values():
        again = Law.declared(law.name, law.declaration())
        assert again == law


def test_latex_is_set_as_written() -> None:
    assert LAWS["chinchilla"].latex == "L = E + \\frac{A}{N^{\\alpha}} + \\frac{B}{D^{\\beta}}"
    assert LAWS["kaplan-batch"].latex == "B_{\\mathrm{crit}} = \\frac{B_{\\mathrm{star}}}{L^{\\frac{1}{\\alpha_{B}}}}"
    for law in LAWS.values():
        assert law.latex.count("{") == law.latex.count("}")
        assert law.latex.count("\\left") == law.latex.count("\\right")


def test_families_go_on() -> None:
    assert power_law("S", floor=True).formula == "L = E + A/S**alpha"
    assert power_law("N") == LAWS["power-n"]
    assert bnsl(2) == get_law("bnsl-2")
    assert len(bnsl(5).names) == 3 + 3 * 5
    with pytest.raises(LawError, match="one break or more"):
        bnsl(0)


def test_the_law_of_schedules_is_not_one_of_points() -> None:
    with pytest.raises(LawError, match="whole schedules"):
        get_law("multi-power")
