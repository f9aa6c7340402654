import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skpc import PCDensityEstimator
from skpc.solvers import Adam
from skpc.structures import HMM


def table(n=80):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, n)
    return np.column_stack([kind, kind ^ (rng.random(n) < 0.2), 3 * kind + rng.normal(size=n)])


def fitted(units=1, **params):
    settings = {"n_components": 4, "max_iter": 10, "random_state": 0} | params
    return PCDensityEstimator("hclt", **settings).fit(table() * units)


def test_sharpness_is_that_of_rows_whatever_their_units():
    model = fitted()
    value = model.sharpness(table())
    assert value > 0
    weight = np.random.default_rng(1).integers(0, 3, 80).astype(float)
    repeated = model.sharpness(np.repeat(table(), weight.astype(int), axis=0))
    assert model.sharpness(table(), weight) == pytest.approx(repeated, rel=1e-9)
    assert fitted(alpha=30).sharpness(table()) < value


def test_rows_without_cells_add_to_the_sharpness_of_free_weights():
    """As the documentation says: derivatives leave the simplex."""
    model, nothing = fitted(), np.full((2, 3), np.nan)
    assert model.sharpness(nothing) > 0.1
    flat = model.loss_landscape(nothing, steps=[-1, 0, 1], random_state=0).values
    np.testing.assert_allclose(flat, 0.0, atol=1e-9)


def test_the_landscape_has_the_likelihood_in_its_middle():
    model = fitted()
    around = model.loss_landscape(table(), steps=[-0.5, 0, 0.5], directions=2, random_state=0)
    assert around.values.shape == (3, 3)
    assert around.values[1, 1] == pytest.approx(model.score(table()), abs=1e-9)
    again = model.loss_landscape(table(), steps=[-0.5, 0, 0.5], directions=2, random_state=0)
    np.testing.assert_array_equal(again.values, around.values)


def test_the_landscape_is_in_the_units_of_the_rows():
    X, weight = table(), np.arange(80) % 3.0
    X[::4, 2] = X[1::7, 0] = np.nan
    X[2] = np.nan
    model = fitted()
    line = model.loss_landscape(X, weight, steps=[0, 1], random_state=0).values
    assert line[0] == pytest.approx(model.score(X, sample_weight=weight), abs=1e-9)
    # The same rows in thousandths.
    units = np.array([1, 1, 1000])
    again = fitted(units).loss_landscape(X * units, weight, steps=[0, 1], random_state=0).values
    seen = np.average(~np.isnan(X[:, 2]), weights=weight)
    np.testing.assert_allclose(again, line - seen * np.log(1000), atol=1e-6)


def test_shared_weights_and_other_columns_are_refused():
    X = np.random.default_rng(0).integers(0, 3, (50, 4))
    model = PCDensityEstimator(HMM(), n_components=2, max_iter=2, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"shared weights: .*as HMM\(homogeneous=False\) does"):
        model.sharpness(X)
    model.set_params(structure=HMM(homogeneous=False)).fit(X)
    assert model.sharpness(X) > 0
    with pytest.raises(ValueError, match="features"):
        fitted().sharpness(np.zeros((3, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_sharpest_of_maxima_has_a_number(dtype):
    """Without a pseudocount many weights are next to zero, and what they would bring is vast."""
    X = np.random.default_rng(0).integers(0, 2, (30, 40))
    model = PCDensityEstimator("hclt", "em", n_components=8, alpha=0, dtype=dtype, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(model.sharpness(X))
    assert np.isfinite(model.sharpness(1 - X))


def test_steps_and_directions_are_numbers():
    for bad in ({"steps": [0, np.nan]}, {"steps": 5}, {"steps": []}):
        with pytest.raises(ValueError, match="steps must be a list of finite numbers"):
            fitted().loss_landscape(table(), **bad)


def test_a_penalty_may_follow_em_without_a_pseudocount():
    X = np.random.default_rng(0).integers(0, 2, (30, 12))
    model = PCDensityEstimator(
        "hclt", "em", n_components=8, alpha=0, max_iter=200, tol=0, warm_start=True, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    model.set_params(solver=Adam(sharpness=0.01), max_iter=3).fit(X)
    assert np.isfinite(model.score(X))


def test_a_column_without_values_is_no_category():
    X = np.column_stack([np.full(30, np.nan), np.random.default_rng(0).normal(size=30)])
    assert fitted().set_params(max_iter=1).fit(X).leaves_[0].why == "no cell has a value"
