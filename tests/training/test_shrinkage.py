import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Program
from skpc.distributions import Bernoulli, Gaussian
from skpc.structures import Mixture
from skpc.training import covariance_shrinkage, initial_parameters, leaf_priors


@pytest.fixture(scope="module")
def problem():
    X = np.random.default_rng(0).normal(size=(200, 3)) @ np.array(
        [[1, 0.9, 0], [0, 0.3, 0], [0, 0, 2]]
    )
    program = Program(Mixture().build(X, [Gaussian()] * 3, n_components=4))
    priors = leaf_priors(program, X)
    parameters = initial_parameters(program, "random", priors, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    family = program.families[0]
    roots = rng.normal(size=(4, 3, 3)) / 3
    parameters.leaves[0] = family.pack(
        rng.normal(size=(4, 3)), roots @ roots.transpose(0, 2, 1) + 0.01 * np.eye(3)
    )
    return program, priors, parameters, NumbaBackend(program, np.float64).top_down(parameters)


def shrunk(problem, n_rows):
    program, priors, parameters, top_down = problem
    return covariance_shrinkage(program, priors, n_rows)(parameters, top_down)


def test_every_unit_is_drawn_to_the_mean_within_and_the_whole(problem):
    program, priors, parameters, top_down = problem
    family, use = program.families[0], top_down.leaves[0]
    location, covariance = family.unpack(parameters.leaves[0])
    within = np.einsum("k,kij->ij", use, covariance)
    whole = family.unpack(priors[0][0])[1]
    narrow = np.sqrt(np.minimum(1, np.diagonal(whole) / np.diagonal(within)))
    target = 0.9 * within * np.outer(narrow, narrow) + 0.1 * whole
    rows = 200 * use[:, None, None]
    expected = (rows * covariance + 5 * target) / (rows + 5)
    found = family.unpack(shrunk(problem, 200).leaves[0])
    np.testing.assert_allclose(found[0], location, rtol=1e-12)
    np.testing.assert_allclose(found[1], expected, rtol=1e-9, atol=1e-12)


def test_many_rows_need_no_prior(problem):
    np.testing.assert_allclose(
        shrunk(problem, 1e12).leaves[0], problem[2].leaves[0], rtol=1e-6, atol=1e-6
    )


def test_one_unit_with_a_wild_row_does_not_widen_the_others(problem):
    program, priors, parameters, top_down = problem
    family = program.families[0]
    location, covariance = family.unpack(parameters.leaves[0])
    covariance[0] *= 1e12
    wild = parameters.copy()
    wild.leaves[0] = family.pack(location, covariance)
    found = covariance_shrinkage(program, priors, 200)(wild, top_down)
    whole = np.diagonal(family.unpack(priors[0][0])[1])
    assert (family.variance(found.leaves[0])[1:] < 2 * whole).all()


def test_circuits_without_groups_are_read_as_they_are():
    program = Program(Mixture().build(np.zeros((4, 2)), [Gaussian(), Bernoulli()], n_components=2))
    priors = leaf_priors(program, np.zeros((4, 2)))
    assert covariance_shrinkage(program, priors, 10) is None
