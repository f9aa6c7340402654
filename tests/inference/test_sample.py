import sys

import numpy as np
import pytest
from scipy import stats

from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Bernoulli, Gaussian
from skpc.inference import sample
from skpc.inference.sample import Steps
from tests import reference
from tests.backends.kinds import needs_torch, torch_backend

FINITE = sorted(set(reference.CIRCUITS) - {"mixed_families"})
N = 6000


def assert_sampled(X, states, probability):
    """Chi-square of the counts; the seeds are fixed, so this fails only when code changes."""
    count = np.array([np.sum((state == X).all(axis=1)) for state in states])
    assert count.sum() == len(X)
    assert count[probability == 0].sum() == 0
    # Rare states together: the statistic needs five expected rows a class.
    rare = probability * len(X) < 5
    observed = np.append(count[~rare], count[rare].sum())
    expected = np.append(probability[~rare], probability[rare].sum()) * len(X)
    kept = expected > 0
    chi2 = stats.chisquare(observed[kept], expected[kept] * (len(X) / expected[kept].sum()))
    assert chi2.pvalue > 1e-4


@pytest.mark.parametrize("name", FINITE)
@pytest.mark.parametrize("zero_fraction", [0.0, 0.4])
def test_samples_follow_the_density(name, zero_fraction):
    parameters = reference.make(name, seed=4, zero_fraction=zero_fraction)
    states = reference.all_states(parameters.program.circuit)
    probability = np.exp(reference.log_likelihood(parameters, states))
    X = sample(parameters, N, np.random.default_rng(0))
    assert X.shape == (N, parameters.program.n_variables)
    assert_sampled(X, states, probability)


@pytest.mark.parametrize("seed", range(12))
def test_samples_of_random_circuits_follow_the_density(seed):
    rng = np.random.default_rng(seed)
    parameters = reference.make(reference.random_circuit(rng), seed)
    states = reference.all_states(parameters.program.circuit)
    probability = np.exp(reference.log_likelihood(parameters, states))
    assert_sampled(sample(parameters, N, rng), states, probability)


def test_moments_of_gaussian_leaves():
    parts = [Input(0, Gaussian(), 2, mean=[[-2, 4.25], [1, 2]]), Input(1, Gaussian(), 2)]
    parts[1].mean = np.array([[0.0, 1.0], [10.0, 104.0]])
    circuit = Circuit(Sum(Product(parts), 1, weights=[[0.25, 0.75]]))
    parameters = reference.make(circuit)
    parameters.take_node_values()
    X = sample(parameters, 40_000, np.random.default_rng(1))
    location = np.array([0.25, 7.5])
    second = np.array([0.25 * 4.25 + 0.75 * 2, 0.25 * 1 + 0.75 * 104])
    deviation = np.sqrt(second - location**2)
    assert (np.abs(X.mean(axis=0) - location) < 4 * deviation / 200).all()
    np.testing.assert_allclose(X.std(axis=0), deviation, rtol=0.02)
    # The columns depend on each other through the sum alone.
    covariance = 0.25 * -2 * 0 + 0.75 * 1 * 10 - location.prod()
    assert np.cov(X.T)[0, 1] == pytest.approx(covariance, abs=0.15)


def test_variables_out_of_scope_are_missing():
    circuit = Circuit(Product([Input(1, Bernoulli()), Input(3, Bernoulli())]), n_variables=6)
    X = sample(reference.make(circuit), 9, np.random.default_rng(0))
    np.testing.assert_array_equal(np.isnan(X), np.tile([1, 0, 1, 0, 1, 1], (9, 1)).astype(bool))


def test_the_generator_decides_and_nothing_else():
    parameters = reference.make("dag")
    one, same = (sample(parameters, 50, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert (one != sample(parameters, 50, np.random.default_rng(8))).any()


def test_seeds_are_what_they_are_in_scikit_learn():
    parameters = reference.make("dag")
    one, same = (sample(parameters, 50, 7) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(one, sample(parameters, 50, np.random.default_rng(7)))
    state = np.random.RandomState(7)
    first, second = (sample(parameters, 50, state) for _ in range(2))
    np.testing.assert_array_equal(first, sample(parameters, 50, np.random.RandomState(7)))
    assert (first != second).any()
    assert sample(parameters, 3).shape == (3, parameters.program.n_variables)


class Heights:
    """Draws what it was told to."""

    def __init__(self, *heights):
        self.heights = np.array(heights)

    def random(self, n):
        assert n == len(self.heights)
        return self.heights


def test_every_height_belongs_to_one_choice():
    below_one = 1 - 2.0**-53
    table = np.array([[0.0, 1.0, 0.0, 3.0, 0.0], [2.0, 0.0, 0.0, 0.0, 2.0]])
    steps = Steps.of_table(table)
    draws = [
        (0, 0.0, 1), (0, 0.2499, 1), (0, 0.25, 3), (0, below_one, 3),
        (1, 0.0, 0), (1, 0.4999, 0), (1, 0.5, 4), (1, below_one, 4),
    ]  # fmt: skip
    index, heights, choices = map(np.array, zip(*draws, strict=True))
    np.testing.assert_array_equal(steps.draw(index, Heights(*heights)), choices)
    for width in range(2, 20):
        steps = Steps.of_table(np.ones((3, width)))
        found = steps.draw(np.full(width, 2), Heights(*(np.arange(width) + 0.5) / width))
        np.testing.assert_array_equal(found, np.arange(width))


def test_rows_that_descend_in_parts(monkeypatch):
    parameters = reference.make("tree", seed=4)
    states = reference.all_states(parameters.program.circuit)
    probability = np.exp(reference.log_likelihood(parameters, states))
    monkeypatch.setattr(sys.modules[Steps.__module__], "CELLS", 703)
    assert_sampled(sample(parameters, N, 0), states, probability)


# -- on a device --------------------------------------------------------------------------


def tensors_of(parameters, device="torch"):
    backend = torch_backend(parameters.program, np.float64)
    backend.device = device
    return backend.taken(parameters)


@needs_torch
@pytest.mark.parametrize("name", FINITE)
def test_samples_of_tensors_follow_the_density(name):
    parameters = reference.make(name, seed=4, zero_fraction=0.2)
    states = reference.all_states(parameters.program.circuit)
    probability = np.exp(reference.log_likelihood(parameters, states))
    X = sample(tensors_of(parameters), N, 0)
    assert isinstance(X, np.ndarray)
    assert_sampled(X, states, probability)
    share = np.array([np.mean((state == X).all(axis=1)) for state in states])
    sigma = np.sqrt(probability * (1 - probability) / N)
    # Of states that are hardly expected once, two are no surprise.
    assert (np.abs(share - probability) <= 5 * sigma + 2 / N).all()


@needs_torch
@pytest.mark.parametrize("name", reference.CIRCUITS)
def test_a_seed_means_the_same_rows_everywhere(name):
    parameters = reference.make(name, seed=4)
    X = sample(parameters, 300, 5)
    np.testing.assert_allclose(sample(tensors_of(parameters), 300, 5), X, rtol=1e-12)


@pytest.mark.cuda
@needs_torch
@pytest.mark.parametrize("name", reference.CIRCUITS)
def test_a_gpu_draws_the_same_rows(name):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    parameters = reference.make(name, seed=4)
    X = sample(parameters, 300, 5)
    np.testing.assert_allclose(sample(tensors_of(parameters, "cuda"), 300, 5), X, rtol=1e-9)
