from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.errors import LawError
from isoflop.laws import LAWS, Law, get_law


def values_of(law: Law) -> st.SearchStrategy[dict[str, float]]:
    """Parameters in realistic ranges, scales log-uniform."""
    ranges = {}
    for parameter in law.parameters:
        if parameter.domain[1] < math.inf:
            ranges[parameter.name] = st.floats(0.05, 1.0)
        elif parameter.name == "E":
            ranges["E"] = st.floats(0.0, 3.0)
        elif law.form.outer:
            ranges[parameter.name] = st.floats(8, 16).map(lambda x: 10**x)
        else:
            ranges[parameter.name] = st.floats(-1, 4).map(lambda x: 10**x)
    return st.fixed_dictionaries(ranges)


inputs = st.fixed_dictionaries({name: st.floats(5, 13).map(lambda x: 10**x) for name in "NDC"})


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@given(data=st.data())
def test_predict_is_the_formula_as_printed(law: Law, data: st.DataObject) -> None:
    params, columns = data.draw(values_of(law)), data.draw(inputs)
    columns = {name: columns[name] for name in law.inputs}
    printed = eval(law.formula.removeprefix("L = "), {"__builtins__": {}}, {**params, **columns})
    assert law.predict(params, **columns) == pytest.approx(printed, rel=1e-11)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@given(data=st.data())
def test_solver_vector_and_natural_parameters_are_inverse(law: Law, data: st.DataObject) -> None:
    params = data.draw(values_of(law))
    natural = law.form.to_natural(law.form.to_vector(params))
    assert {name: float(value) for name, value in natural.items()} == pytest.approx(params, rel=1e-10)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@given(data=st.data())
def test_natural_jacobian_matches_central_differences(law: Law, data: st.DataObject) -> None:
    params = data.draw(values_of(law))
    vector = law.form.to_vector(params)
    jacobian = law.form.natural_jacobian(vector, law.names)
    for j in range(law.form.size):
        if j >= 2 and j % 2 and law.form.tied[(j - 3) // 2]:
            assert not jacobian[:, j].any()
            continue
        step = 1e-7 * max(1e-2, abs(vector[j]))
        ends = []
        for sign in (1, -1):
            moved = vector.copy()
            moved[j] += sign * step
            moved[3::2] = np.where(law.form.tied, moved[0], moved[3::2])
            natural = law.form.to_natural(moved)
            ends.append(np.array([natural[name] for name in law.names]))
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, j], slope, rtol=2e-4, atol=1e-9 * np.abs(slope).max() + 1e-12)


def test_printed_parameters_are_those_of_the_formula() -> None:
    for law in LAWS.values():
        for name in (*law.names, *law.inputs):
            assert name in law.formula


def test_predict_broadcasts_inputs() -> None:
    law = get_law("chinchilla")
    params = {"E": 1.8, "A": 480.0, "B": 2000.0, "alpha": 0.35, "beta": 0.37}
    surface = law.predict(params, N=np.array([[1e6], [1e7]]), D=np.array([1e8, 1e9, 1e10]))
    assert surface.shape == (2, 3)
    assert (np.diff(surface, axis=0) < 0).all()
    assert (np.diff(surface, axis=1) < 0).all()


def test_kaplan_law_tends_to_its_single_variable_laws() -> None:
    law = get_law("kaplan")
    params = {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13}
    assert law.predict(params, N=1e8, D=1e30) == pytest.approx((6.4e13 / 1e8) ** 0.076, rel=1e-6)
    assert law.predict(params, N=1e40, D=1e9) == pytest.approx((1.8e13 / 1e9) ** 0.103, rel=1e-6)


def test_unknown_law_names_the_nearest() -> None:
    with pytest.raises(LawError, match="unknown law 'chinchila'") as caught:
        get_law("chinchila")
    assert caught.value.hint == "did you mean 'chinchilla'?"


@pytest.mark.parametrize(
    ("params", "columns", "message"),
    [
        ({"A": 1.0}, {"N": 1e6}, "needs the parameter 'alpha'"),
        ({"A": 1.0, "alpha": 0.1, "alhpa": 0.1}, {"N": 1e6}, "no parameter 'alhpa'"),
        ({"A": 1.0, "alpha": 0.1}, {}, "needs the input 'N'"),
        ({"A": 1.0, "alpha": 0.1}, {"N": 1e6, "D": 1e9}, "no input 'D'"),
        ({"A": 1.0, "alpha": 0.1}, {"N": [1e6, 0.0]}, "N must be positive and finite"),
        ({"A": 1.0, "alpha": 0.1}, {"N": np.nan}, "N must be positive and finite"),
    ],
)
def test_predict_refuses_what_it_cannot_evaluate(params: dict, columns: dict, message: str) -> None:
    with pytest.raises(LawError, match=message):
        get_law("power-n").predict(params, **columns)
