import numpy as np
import pytest

from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import Bernoulli, Categorical, Gaussian
from skpc.training import initial_parameters
from skpc.training.initialise import SPREAD
from tests import reference


def priors_of(program):
    return [np.tile(f.uniform_prior(), (n, 1)) for f, n in
            zip(program.families, program.family_units)]  # fmt: skip


def start(program, init_params="random", seed=0, priors=None):
    priors = priors_of(program) if priors is None else priors
    return initial_parameters(program, init_params, priors, np.random.default_rng(seed))


@pytest.mark.parametrize("name", sorted(reference.CIRCUITS))
def test_random_start_is_normalised_positive_and_diverse(name):
    program = reference.make(name).program
    parameters = start(program)
    np.testing.assert_allclose(parameters.row_sums(), 1.0, rtol=1e-12)
    assert (parameters.weights > 0).all()
    for family, mean in zip(program.families, parameters.leaves):
        np.testing.assert_allclose(family.project(mean), mean, rtol=1e-12)
        assert len(np.unique(mean, axis=0)) == len(mean)
    assert (parameters.weights == start(program).weights).all()
    if program.n_weights > program.n_rows:
        assert (parameters.weights != start(program, seed=1).weights).any()


def test_weights_of_a_row_differ_by_at_most_the_spread():
    program = Program(Circuit(Sum(Input(0, Bernoulli(), 4000))))
    log_weight = np.log(start(program).weights)
    assert 0.98 * SPREAD < np.ptp(log_weight) <= SPREAD


def test_gaussian_leaves_start_around_their_own_column():
    circuit = Circuit(Product([Sum(Input(i, Gaussian(), 500)) for i in range(2)]))
    program = Program(circuit)
    prior = np.repeat([[5.0, 26.0], [-3.0, 9.25]], 500, axis=0)
    mean = start(program, priors=[prior]).leaves[0][:, 0]
    assert mean[:500].mean() == pytest.approx(5, abs=0.2)
    assert mean[500:].mean() == pytest.approx(-3, abs=0.2)
    assert mean[500:].std() == pytest.approx(0.5, abs=0.05)


def test_the_last_bits_of_the_priors_do_not_reorder_the_draws():
    """Standardised columns have priors that differ by roundings; weighted rows, by others."""
    program = Program(Circuit(Product([Sum(Input(i, Gaussian(), 3)) for i in range(4)])))
    plain = start(program).leaves[0]
    for seed in range(5):
        noise = 1 + 1e-15 * np.random.default_rng(seed).normal(size=(4, 2))
        prior = priors_of(program)[0] * np.repeat(noise, 3, axis=0)
        moved = start(program, priors=[prior + 1e-16 * (prior == 0)]).leaves[0]
        np.testing.assert_allclose(moved, plain, rtol=1e-9, atol=1e-12)


def by_hand():
    leaf = Input(0, Bernoulli(), 2, mean=[0.1, 0.8])
    low = Sum(leaf, 2, weights=[[0.0, 1.0], [0.3, 0.7]])
    return low, leaf, Circuit(Sum(Product([low, Input(1, Bernoulli(), 2)])))


def test_values_given_to_nodes_are_kept():
    low, leaf, circuit = by_hand()
    program = Program(circuit)
    parameters = start(program)
    np.testing.assert_array_equal(program.read_matrix(low, parameters.weights), low.weights)
    np.testing.assert_array_equal(parameters.leaves[0][program.input_slice(leaf)[1]], leaf.mean)
    np.testing.assert_allclose(parameters.row_sums(), 1.0)


def test_a_callable_makes_the_start():
    low, _, circuit = by_hand()
    program = Program(circuit)
    seen = []

    def make(program, leaf_priors, rng):
        seen.append((program, leaf_priors, rng.random()))
        return Parameters.uniform(program)

    priors = priors_of(program)
    parameters = start(program, make, priors=priors)
    assert seen == [(program, priors, np.random.default_rng(0).random())]
    np.testing.assert_array_equal(program.read_matrix(low, parameters.weights), low.weights)


def test_parameters_are_copied_even_from_a_twin_of_the_circuit():
    given = reference.make("dag", seed=5)
    program = reference.make("dag").program
    parameters = start(program, given)
    assert parameters.program is program
    np.testing.assert_array_equal(parameters.weights, given.weights)
    parameters.weights[:] = 0
    parameters.leaves[0][:] = 0
    assert given.weights.all() and given.leaves[0].any()


def test_parameters_of_another_circuit_are_refused():
    # As many weights and leaves, in other places.
    def make(first, second):
        leaf = [Input(first, Categorical(3), 2), Input(second, Categorical(3), 2)]
        return Circuit(Sum(Product([leaf[0], Sum(leaf[1], 2)])))

    given = reference.make(make(0, 1))
    with pytest.raises(ValueError, match="init_params=.* are of another circuit"):
        start(Program(make(1, 0)), given)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"init_params='kmeans' is not known; use one of"):
        start(reference.make("tree").program, "kmeans")
