"""Families that take tensors say of them what they say of arrays, and leave them where they are."""

import numpy as np
import pytest

from skpc.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Gaussian,
    Indicator,
    LogNormal,
    NegativeBinomial,
    Poisson,
)

torch = pytest.importorskip("torch")
FAMILIES = [
    Bernoulli(),
    Binomial(7),
    Categorical(5),
    Gaussian(),
    Indicator(4),
    LogNormal(variance_floor=0.1),
    NegativeBinomial(2.5),
    Poisson(rate_floor=1e-3),
]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


def members(family, seed=0):
    rng = np.random.default_rng(seed)
    return family.random_mean(family.uniform_prior(), 6, rng)


def assert_alike(found, expected):
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14, atol=1e-15)


@every_family
def test_projections_of_anything(family):
    assert family.takes_tensors
    rng = np.random.default_rng(1)
    shape = 40, family.n_statistics
    wild = rng.normal(size=shape) * 10.0 ** rng.integers(-8, 200, shape)
    for mean in (wild, np.zeros(shape), members(family), members(family) - 1e-9):
        assert_alike(family.project(torch.from_numpy(mean)), family.project(mean))


@every_family
def test_maps_of_parameters(family):
    mean = members(family)
    tensor = torch.from_numpy(mean)
    natural = family.natural_parameters(mean)
    assert_alike(family.natural_parameters(tensor), natural)
    found = family.log_partition(torch.from_numpy(natural))
    assert_alike(found, family.log_partition(natural))
    if family.n_states is not None:
        assert_alike(family.probabilities(tensor), family.probabilities(mean))
    free = family.to_unconstrained(mean)
    assert_alike(family.to_unconstrained(tensor), free)
    for move in (0.0, 0.7, -900.0):
        moved = family.from_unconstrained(torch.from_numpy(free + move))
        assert_alike(moved, family.from_unconstrained(free + move))


@every_family
def test_gradients(family):
    mean, rng = members(family), np.random.default_rng(2)
    flow = rng.random(len(mean)), rng.random(mean.shape)
    tensors = map(torch.from_numpy, (mean, *flow))
    expected = family.unconstrained_gradient(mean, *flow)
    assert_alike(family.unconstrained_gradient(*tensors), expected)


def test_families_that_need_numpy_say_so():
    from skpc.distributions import Beta, DiscretisedLogistic, Gamma, MultivariateGaussian

    for family in (Beta(), Gamma(), DiscretisedLogistic(4), MultivariateGaussian(2)):
        assert not family.takes_tensors
