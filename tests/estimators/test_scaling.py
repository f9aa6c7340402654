import numpy as np
import pytest

from skpc import PCDensityEstimator
from skpc.estimators.scaling import REACH, robust_moments


@pytest.mark.parametrize("draw", ["normal", "uniform", "exponential"])
def test_tame_columns_have_their_plain_moments(draw):
    x = getattr(np.random.default_rng(0), draw)(size=5000)
    np.testing.assert_allclose(robust_moments(x, None), [x.mean(), x.std()], rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("wild", [1e3, 1e6, 1e30, 1e300, -1e300])
def test_a_wild_cell_counts_as_one_within_reach(wild):
    x = np.random.default_rng(0).normal(size=1000)
    mean, deviation = robust_moments(np.append(x, wild), None)
    assert abs(mean - x.mean()) < 0.02
    assert deviation == pytest.approx(np.sqrt(1 + REACH**2 / 1000), rel=0.05)


@pytest.mark.parametrize("unit", [1e-300, 1e-5, 1.0, 1e200, 1e300])
def test_any_unit(unit):
    x = np.random.default_rng(0).normal(3, 2, size=200)
    np.testing.assert_allclose(
        np.divide(robust_moments(unit * x, None), unit), robust_moments(x, None), rtol=1e-10
    )


def test_where_most_cells_are_equal_the_others_give_the_scale():
    x = np.concatenate([np.zeros(600), np.random.default_rng(0).exponential(5.0, 400)])
    mean, deviation = robust_moments(x, None)
    assert mean == pytest.approx(x.mean(), rel=0.05)
    assert deviation == pytest.approx(x.std(), rel=0.1)


def test_weights_are_repeated_rows_and_zero_is_absence():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_cauchy(60), rng.integers(0, 4, 60)
    x[:5] = np.nan
    np.testing.assert_allclose(
        robust_moments(x, weight.astype(float)), robust_moments(np.repeat(x, weight), None),
        rtol=1e-13,
    )  # fmt: skip


@pytest.mark.parametrize(("x", "expected"), [
    ([], (0, 1)), ([np.nan, np.nan], (0, 1)), ([7.0], (7, 1)), ([7.0, 7, 7], (7, 1)),
    ([1e300] * 3, (1e300, 1)), ([0.1 + 0.2, 0.3, 0.3], (0.3, 1)), ([0.0, 0.0], (0, 1)),
])  # fmt: skip
def test_columns_without_variance_keep_their_units(x, expected):
    np.testing.assert_allclose(robust_moments(np.array(x), None), expected, rtol=1e-12)


@pytest.mark.parametrize("wild", [1e6, 1e300])
def test_a_wild_cell_costs_the_other_rows_nothing(wild):
    """With mean and deviation as the scale it cost them six nats."""
    rng = np.random.default_rng(0)
    mix = np.tri(3)
    X, rest = rng.normal(size=(500, 3)) @ mix, rng.normal(size=(500, 3)) @ mix
    params = {"n_components": 8, "max_iter": 20, "random_state": 0}
    clean = PCDensityEstimator(**params).fit(X).score(rest)
    X[7, 1] = wild
    model = PCDensityEstimator(**params).fit(X)
    assert model.score(rest) > clean - 0.1
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize("unit", [1e-3, 100.0, 1e5])
@pytest.mark.parametrize("wild", [1e30, 1e200, 1.7e308])
def test_a_wild_cell_of_any_size_leaves_the_scale_of_the_others(unit, wild):
    x = unit * np.random.default_rng(0).normal(size=1000)
    assert robust_moments(np.append(x, wild), None)[1] == pytest.approx(unit, rel=0.1)
    found = robust_moments(np.array([-1.7e308, 1.7e308] * 3), None)
    assert np.isfinite(found).all()
    assert robust_moments(np.array([0, 5e-324] * 5), None)[1] == 1
