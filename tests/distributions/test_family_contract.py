"""What every family must keep, against enumeration, quadrature and finite differences.

The geometric family defined here is a family written from outside the package: one small class
passes the whole contract.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skpc.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    DiscretisedLogistic,
    Distribution,
    Gamma,
    Gaussian,
    LogNormal,
    NegativeBinomial,
    Poisson,
)


@dataclass(frozen=True)
class Geometric(Distribution):
    """Failures before the first success: s(x) = x, the natural parameter log(m / (1 + m))."""

    smallest_mean: float = 1e-6
    name: ClassVar[str] = "geometric"
    n_states = None
    n_statistics = 1
    support = "the whole numbers from 0"

    def statistics(self, x):
        return np.nan_to_num(np.asarray(x, dtype=np.float64), nan=0.0)[np.newaxis]

    def log_base_measure(self, x):
        x = np.asarray(x, dtype=np.float64)
        return np.where(np.isnan(x) | ((x >= 0) & (x == np.floor(x))), 0.0, -np.inf)

    def log_partition(self, natural):
        return -np.log(-np.expm1(np.asarray(natural)[..., 0]))

    def natural_parameters(self, mean):
        return np.log(mean) - np.log1p(mean)

    def mean_parameters(self, natural):
        return 1.0 / np.expm1(-np.asarray(natural))

    def to_unconstrained(self, mean):
        return np.log(mean)

    def from_unconstrained(self, unconstrained):
        return np.exp(unconstrained)

    def unconstrained_gradient(self, mean, flow, flow_statistics):
        return super().unconstrained_gradient(mean, flow, flow_statistics) / (1 + mean)

    def project(self, mean):
        return np.maximum(mean, self.smallest_mean)

    def uniform_prior(self):
        return np.ones(1)

    def sample(self, mean, rng):
        return rng.geometric(1 / (1 + np.asarray(mean)[..., 0])) - 1.0

    def mode(self, mean):
        return np.zeros(np.shape(mean)[:-1])

    def expectation(self, mean):
        return np.asarray(mean)[..., 0]

    def variance(self, mean):
        return self.expectation(mean) * (1 + self.expectation(mean))

    def random_mean(self, prior_mean, n_units, rng, *, spread=0.5):
        return prior_mean * np.exp(spread * rng.standard_normal((n_units, 1)))


FAMILIES = [
    Bernoulli(),
    Categorical(1),
    Categorical(2),
    Categorical(5),
    Gaussian(),
    Gaussian(variance_floor=1e-8),
    Poisson(),
    NegativeBinomial(2.5),
    NegativeBinomial(1e8),
    Binomial(1),
    Binomial(30),
    DiscretisedLogistic(3),
    DiscretisedLogistic(20),
    LogNormal(),
    Beta(),
    Gamma(),
    Geometric(),
]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)
exponential_family = pytest.mark.parametrize(
    "family", [f for f in FAMILIES if f.name != "discretised_logistic"], ids=repr
)
MISSING = np.nan
#: Spreads, and priors where the family's own is too wide for the grid of points.
SPREADS = {"bernoulli": 3.0, "categorical": 3.0, "gaussian": 0.6}
PRIORS = {
    "gaussian": np.array([0.3, 1.5]),
    "beta": Beta().mean_parameters([5.0, 4.0]),
    "gamma": Gamma().mean_parameters([4.0, -2.0]),
}


def members(family, n_units=4, seed=0):
    """Mean parameters (n_units, S) inside the admissible set."""
    rng = np.random.default_rng(seed)
    prior = PRIORS.get(family.name, family.uniform_prior())
    return family.random_mean(prior, n_units, rng, spread=SPREADS.get(family.name, 0.5))


def support_grid(family):
    """Points and weights such that sum(weight * f(points)) is the integral of f."""
    if family.n_states is not None:
        return np.arange(family.n_states), np.ones(family.n_states)
    if family.name == "gaussian":
        points = np.linspace(-20, 20, 4001)
        return points, np.full(points.shape, points[1] - points[0])
    if family.name in ("log_normal", "gamma"):
        points = np.exp(np.linspace(-20, 20, 4001))
        return points, 0.01 * points
    if family.name == "beta":
        points = 1 / (1 + np.exp(-np.linspace(-13, 13, 4001)))
        return points, 0.0065 * points * (1 - points)
    return np.arange(300), np.ones(300)


def a_value(family):
    """A value that every member of the family can take."""
    return 0.5 if family.name in ("beta", "gamma", "log_normal") else 0.0


def expected(family, mean, values):
    """E[values(x)] for each of the members, where values has shape (..., n_points)."""
    points, weights = support_grid(family)
    return np.exp(family.log_density(mean, points)) * weights @ np.moveaxis(values, -1, 0)


def central_difference(function, at, step=1e-6):
    """Gradient of a scalar function of one vector."""
    return np.array(
        [
            (function(at + step * unit) - function(at - step * unit)) / (2 * step)
            for unit in np.eye(len(at))
        ]
    )


def draw_values(family, n_rows, seed=1):
    rng = np.random.default_rng(seed)
    return family.sample(np.tile(members(family, 1), (n_rows, 1)), rng)


@every_family
def test_density_integrates_to_one(family):
    points, _ = support_grid(family)
    np.testing.assert_allclose(
        expected(family, members(family), np.ones(points.shape)), 1, rtol=1e-12
    )


@every_family
def test_mean_parameters_are_expected_statistics(family):
    mean, (points, _) = members(family), support_grid(family)
    np.testing.assert_allclose(
        expected(family, mean, family.statistics(points)), mean, rtol=1e-10, atol=1e-14
    )


@every_family
def test_moments_match_the_density(family):
    mean, (points, _) = members(family), support_grid(family)
    location = expected(family, mean, points)
    np.testing.assert_allclose(family.expectation(mean), location, rtol=1e-10, atol=1e-14)
    second = expected(family, mean, points.astype(float) ** 2)
    np.testing.assert_allclose(family.variance(mean), second - location**2, rtol=1e-9, atol=1e-12)
    mode = family.mode(mean)
    assert mode.shape == mean.shape[:-1]
    at_mode = np.diagonal(family.log_density(mean, mode))
    assert (at_mode >= family.log_density(mean, points).max(axis=1) - 1e-12).all()


@exponential_family
def test_density_is_the_exponential_family_form(family):
    mean, (points, _) = members(family), support_grid(family)
    natural = family.natural_parameters(mean)
    form = natural @ family.statistics(points) - family.log_partition(natural)[:, None]
    form += family.log_base_measure(points)
    np.testing.assert_allclose(family.log_density(mean, points), form, rtol=1e-10, atol=1e-10)


@exponential_family
def test_mean_and_natural_parameters_round_trip(family):
    mean = members(family).reshape(2, 2, -1)
    natural = family.natural_parameters(mean)
    assert natural.shape == mean.shape
    assert family.log_partition(natural).shape == (2, 2)
    np.testing.assert_allclose(family.mean_parameters(natural), mean, rtol=1e-12)


@exponential_family
def test_gradient_of_the_log_partition_is_the_mean(family):
    for mean in members(family):
        gradient = central_difference(family.log_partition, family.natural_parameters(mean))
        np.testing.assert_allclose(gradient, mean, rtol=1e-6, atol=1e-8)


@every_family
def test_unconstrained_coordinates_round_trip(family):
    mean = members(family).reshape(2, 2, -1)
    unconstrained = family.to_unconstrained(mean)
    assert unconstrained.shape == mean.shape
    np.testing.assert_allclose(family.from_unconstrained(unconstrained), mean, rtol=1e-12)


@exponential_family
def test_unconstrained_gradient_matches_finite_differences(family):
    means, x = members(family), draw_values(family, 12)
    flows = np.random.default_rng(2).random((len(means), len(x)))
    gradient = family.unconstrained_gradient(
        means, flows.sum(axis=1), flows @ family.statistics(x).T
    )
    assert gradient.shape == means.shape
    for mean, flow, row in zip(means, flows, gradient, strict=True):
        numerical = central_difference(
            lambda z, flow=flow: flow @ family.log_density(family.from_unconstrained(z), x),
            family.to_unconstrained(mean),
        )
        np.testing.assert_allclose(row, numerical, rtol=1e-6, atol=1e-7)


@every_family
def test_missing_cells_are_marginalised(family):
    mean = members(family)
    x = np.array([MISSING, a_value(family), MISSING])
    assert (family.log_density(mean, x)[:, [0, 2]] == 0).all()
    statistics = family.statistics(x)
    assert statistics.shape == (family.n_statistics, 3)
    assert (statistics[:, [0, 2]] == 0).all()
    assert (family.log_base_measure(x)[[0, 2]] == 0).all()
    family.validate(x)


@every_family
def test_shapes_and_dtype(family):
    mean, table = members(family), draw_values(family, 6).reshape(2, 3)
    assert mean.shape == (4, family.n_statistics)
    assert family.statistics(table).shape == (family.n_statistics, 2, 3)
    assert family.log_base_measure(table).shape == (2, 3)
    assert family.log_density(mean, table[0].astype(np.float32)).shape == (4, 3)
    assert family.uniform_prior().shape == (family.n_statistics,)
    stacked = mean.reshape(2, 2, -1)
    for method in ("mode", "expectation", "variance"):
        assert getattr(family, method)(stacked).shape == (2, 2)
    assert family.to_unconstrained(stacked).shape == stacked.shape
    assert family.kl(stacked, stacked).shape == (2, 2)
    for array in (family.statistics(table.astype(int)), family.log_density(mean, table[0])):
        assert array.dtype == np.float64


@every_family
def test_samples_have_the_moments_of_their_member(family):
    means, n_draws = members(family, 2), 20_000
    rng = np.random.default_rng(3)
    for mean in means:
        x = family.sample(np.tile(mean, (n_draws, 1)), rng)
        assert x.shape == (n_draws,)
        family.validate(x)
        statistics = family.statistics(x)
        error = 5 * statistics.std(axis=1) / np.sqrt(n_draws) + 1e-12
        assert (np.abs(statistics.mean(axis=1) - mean) <= error).all()


@every_family
def test_sample_uses_one_member_a_row_and_the_given_generator(family):
    means = members(family, 50)
    first = family.sample(means, np.random.default_rng(4))
    np.testing.assert_array_equal(first, family.sample(means, np.random.default_rng(4)))
    assert first.shape == (50,)


@every_family
def test_kl_matches_its_definition(family):
    p, q = members(family, seed=5), members(family, seed=6)
    points, _ = support_grid(family)
    log_ratio = family.log_density(p, points) - family.log_density(q, points)
    definition = np.diagonal(expected(family, p, log_ratio))
    np.testing.assert_allclose(family.kl(p, q), definition, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(family.kl(p, p), 0, atol=1e-12)


@every_family
def test_project_keeps_admissible_parameters(family):
    mean = members(family)
    np.testing.assert_allclose(family.project(mean), mean, rtol=1e-15)


@every_family
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_project_is_idempotent_and_leads_to_a_member(family, data):
    entry = st.floats(-1e3, 1e3)
    mean = np.array(
        data.draw(st.lists(entry, min_size=family.n_statistics, max_size=family.n_statistics))
    )
    projected = family.project(mean)
    np.testing.assert_array_equal(family.project(projected), projected)
    assert family.variance(projected) >= 0
    if family.n_states is not None:
        total = np.exp(family.log_density(projected, np.arange(family.n_states))).sum()
        assert total == pytest.approx(1, abs=1e-12)


@every_family
@settings(max_examples=40, deadline=None)
@given(seeds=st.tuples(st.integers(0, 2**32), st.integers(0, 2**32)))
def test_kl_is_never_negative(family, seeds):
    p, q = (members(family, 3, seed) for seed in seeds)
    assert (family.kl(p, q) >= 0).all()
    # Between neighbours the divergence is below rounding, and must not turn negative.
    assert (family.kl(p, p * (1 - 1e-15)) >= 0).all()
    assert (family.kl(p * (1 - 1e-15), p) >= 0).all()


@every_family
@settings(max_examples=40, deadline=None)
@given(weights=st.lists(st.integers(0, 4), min_size=10, max_size=10))
def test_weights_equal_repeated_rows_in_moments_prior(family, weights):
    x = draw_values(family, 10)
    x[3] = MISSING
    repeated = family.moments_prior(np.repeat(x, weights))
    weighted = family.moments_prior(x, np.array(weights))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-12, atol=1e-15)


@every_family
def test_moments_prior_without_pseudocount_is_the_marginal(family):
    x = draw_values(family, 200)
    marginal = family.moments_prior(np.append(x, MISSING), pseudocount=0.0)
    np.testing.assert_allclose(marginal, family.statistics(x).mean(axis=1), rtol=1e-12)


@exponential_family
def test_the_marginal_is_the_likeliest_member(family):
    x = draw_values(family, 200)
    fitted = family.moments_prior(x, pseudocount=0.0)
    start = family.to_unconstrained(fitted)
    best = family.log_density(fitted, x).sum()
    for step in 0.05 * np.random.default_rng(8).standard_normal((20, family.n_statistics)):
        assert family.log_density(family.from_unconstrained(start + step), x).sum() <= best + 1e-9


@every_family
@pytest.mark.parametrize(
    ("n_rows", "missing"), [(0, False), (1, True), (5, True), (1, False), (20, False)]
)
@pytest.mark.parametrize("pseudocount", [0.0, 1.0])
def test_moments_prior_is_usable_on_degenerate_columns(family, n_rows, missing, pseudocount):
    value = a_value(family)
    x = np.full(n_rows, MISSING if missing else value)
    prior = family.moments_prior(x, pseudocount=pseudocount)
    assert np.isfinite(prior).all()
    np.testing.assert_array_equal(family.project(prior), prior)
    assert np.isfinite(family.log_density(prior, [value])).all()
    if not np.any(np.isfinite(x)):
        np.testing.assert_array_equal(prior, family.uniform_prior())


@every_family
def test_moments_prior_ignores_rows_of_weight_zero(family):
    x = draw_values(family, 6)
    wild = np.append(x, 1e300)
    weights = np.append(np.ones(6), 0.0)
    np.testing.assert_allclose(
        family.moments_prior(wild, weights), family.moments_prior(x), rtol=1e-14
    )
    np.testing.assert_array_equal(
        family.moments_prior(x, np.zeros(6)), family.moments_prior([MISSING])
    )


@every_family
def test_random_means_are_admissible_and_reproducible(family):
    prior = family.moments_prior(draw_values(family, 50))
    start = family.random_mean(prior, 8, np.random.default_rng(7))
    assert start.shape == (8, family.n_statistics)
    np.testing.assert_allclose(family.project(start), start, rtol=1e-14)
    np.testing.assert_array_equal(start, family.random_mean(prior, 8, np.random.default_rng(7)))
    if family != Categorical(1):
        assert len(np.unique(start[:, 0])) == 8


@every_family
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values_are_refused_but_do_no_harm(family, value):
    with pytest.raises(ValueError, match=r"1 values .* \(first -?inf at position 1\); allowed are"):
        family.validate([a_value(family), value])
    assert not np.isnan(family.log_density(members(family), [value])).any()


@every_family
def test_equal_distributions_group_together(family):
    twin = type(family).from_config(family.to_config())
    assert twin == family
    assert hash(twin) == hash(family)
    assert sum(family == other for other in FAMILIES) == 1
    with pytest.raises(AttributeError):
        family.name = "other"
