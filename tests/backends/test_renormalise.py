"""Global renormalisation keeps the distribution (Liu, Shao and Van den Broeck 2025, eq. 8)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skpc.backends import log_partition, renormalise
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import Bernoulli
from skpc.training import initial_parameters
from tests import reference

every_circuit = pytest.mark.parametrize("name", reference.UNTIED)


def unnormalised(name, seed=0, zero_fraction=0.0):
    """Rows that sum to anything between e^-8 and e^8."""
    parameters = reference.make(name, seed, zero_fraction)
    program, rng = parameters.program, np.random.default_rng(seed + 1)
    parameters.weights *= np.exp(8 * rng.uniform(-1, 1, program.n_weights))
    return parameters


def log_z_by_enumeration(parameters):
    """Sum of the weights of all induced trees; leaves integrate to one."""
    weight = np.array(reference.induced_trees(parameters).log_weight)
    return np.logaddexp.reduce(weight)


@pytest.mark.parametrize("zero_fraction", [0.0, 0.4])
@pytest.mark.parametrize("name", [n for n in reference.ENUMERABLE if n != "hmm"])
def test_partition_is_the_mass_of_all_induced_trees(name, zero_fraction):
    parameters = unnormalised(name, zero_fraction=zero_fraction)
    expected = log_z_by_enumeration(parameters)
    z = log_partition(parameters)
    assert len(z) == parameters.program.n_vectors
    assert [len(part) for part in z] == parameters.program.units.tolist()
    np.testing.assert_allclose(z[-1], expected, rtol=1e-11, atol=1e-12)


def test_partition_is_the_mass_of_all_states():
    parameters = unnormalised("dag")
    X = reference.all_states(parameters.program.circuit)
    mass = np.exp(reference.log_likelihood(parameters, X)).sum()
    np.testing.assert_allclose(np.exp(log_partition(parameters)[-1]), mass, rtol=1e-12)


def test_partition_of_tied_circuits_is_known_too():
    parameters = reference.make("hmm")
    parameters.weights *= 3.0
    expected = log_z_by_enumeration(parameters)
    np.testing.assert_allclose(log_partition(parameters)[-1], expected, rtol=1e-12)


@every_circuit
def test_rows_sum_to_one(name):
    np.testing.assert_allclose(renormalise(unnormalised(name)).row_sums(), 1, rtol=1e-12)


@every_circuit
def test_density_is_divided_by_the_partition(name):
    before = unnormalised(name)
    after = renormalise(before)
    X = reference.random_rows(before.program.circuit, np.random.default_rng(3), 20)
    np.testing.assert_allclose(
        reference.log_likelihood(after, X),
        reference.log_likelihood(before, X) - log_partition(before)[-1],
        rtol=1e-11,
        atol=1e-11,
    )


@every_circuit
def test_flows_do_not_change(name):
    before = unnormalised(name)
    X = reference.random_rows(before.program.circuit, np.random.default_rng(3), 20)
    old, new = (reference.statistics(p, X) for p in (before, renormalise(before)))
    np.testing.assert_allclose(new.flows, old.flows, rtol=1e-9, atol=1e-13)
    for mine, other in zip(new.leaves, old.leaves, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12)


@every_circuit
def test_it_is_idempotent_and_leaves_normalised_circuits_alone(name):
    once = renormalise(unnormalised(name))
    np.testing.assert_allclose(renormalise(once).weights, once.weights, rtol=1e-12)
    parameters = reference.make(name)
    np.testing.assert_allclose(
        renormalise(parameters).weights, parameters.weights, rtol=1e-12, atol=1e-15
    )


def test_the_argument_is_left_alone():
    parameters = unnormalised("dag")
    before = parameters.copy()
    after = renormalise(parameters)
    after.leaves[0][:] = -1
    np.testing.assert_array_equal(parameters.weights, before.weights)
    np.testing.assert_array_equal(parameters.leaves[0], before.leaves[0])


def test_dividing_each_row_by_its_sum_would_be_another_distribution():
    """The difference that makes the old Z of the children necessary."""
    parameters = unnormalised("tree")
    local = parameters.copy()
    local.weights /= local.program.spread_rows(local.row_sums())
    assert np.abs(local.weights - renormalise(parameters).weights).max() > 0.1


@pytest.mark.parametrize("name", reference.UNTIED)
def test_zero_weights_stay_zero(name):
    parameters = unnormalised(name, zero_fraction=0.4)
    after = renormalise(parameters)
    np.testing.assert_array_equal(after.weights == 0, parameters.weights == 0)
    np.testing.assert_allclose(after.row_sums(), 1, rtol=1e-12)


def test_a_unit_without_mass_stays_without_mass():
    """Its row is zeros, not NaN, and whoever sees it gives it no weight."""
    dead = Sum(Input(0, Bernoulli(), 2), 2, weights=[[0.0, 0.0], [2.0, 6.0]])
    root = Sum(dead, weights=[5.0, 3.0])
    program = Program(Circuit(root))
    after = renormalise(Parameters.uniform(program))
    low, high = (program.read_matrix(node, after.weights) for node in (dead, root))
    np.testing.assert_allclose(low, [[0.0, 0.0], [0.25, 0.75]], rtol=1e-14)
    np.testing.assert_allclose(high, [[0.0, 1.0]], rtol=1e-14)


def test_magnitudes_far_beyond_float64():
    node = Input(0, Bernoulli(), 2, mean=[0.2, 0.7])
    for _ in range(8):
        node = Sum(node, 2, weights=[[1e200, 3e200], [2e-200, 2e-200]])
    parameters = Parameters.uniform(Program(Circuit(Sum(node))))
    after = renormalise(parameters)
    np.testing.assert_allclose(after.row_sums(), 1, rtol=1e-12)
    assert log_partition(parameters)[-1][0] > 8 * np.log(1e200)
    X = np.array([[0.0], [1.0]])
    assert np.exp(reference.log_likelihood(after, X)).sum() == pytest.approx(1, rel=1e-12)


def test_tied_circuits_are_refused():
    with pytest.raises(ValueError, match="shared weights cannot be renormalised globally"):
        renormalise(reference.make("hmm"))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), zero_fraction=st.sampled_from([0.0, 0.3]))
def test_random_circuits(seed, zero_fraction):
    rng = np.random.default_rng(seed)
    program = Program(reference.random_circuit(rng))
    before = reference.random_parameters(program, rng, zero_fraction)
    before.weights *= np.exp(8 * rng.uniform(-1, 1, program.n_weights))
    after = renormalise(before)
    np.testing.assert_allclose(after.row_sums(), 1, rtol=1e-11)
    X = reference.random_rows(program.circuit, rng, 8)
    old, new = (reference.flows(p, X) for p in (before, after))
    np.testing.assert_allclose(
        new.log_likelihood, old.log_likelihood - log_partition(before)[-1], rtol=1e-10, atol=1e-10
    )
    for node in program.circuit.sums:
        np.testing.assert_allclose(new.edges[node], old.edges[node], rtol=1e-8, atol=1e-12)


# -- weights given by hand, whose rows do not sum to one -----------------------------------


def start(circuit):
    program = Program(circuit)
    priors = [np.full((n, 1), 0.5) for n in program.family_units]
    return initial_parameters(program, "random", priors, np.random.default_rng(0))


def test_training_starts_from_the_distribution_of_weights_given_by_hand():
    low = Sum(Input(0, Bernoulli(), 2, mean=[0.0, 1.0]), 2, weights=[[1.0, 1.0], [0.0, 6.0]])
    top = Sum(Product([low, Input(1, Bernoulli(), 2, mean=[0.0, 1.0])]), weights=[[3.0, 1.0]])
    parameters = start(Circuit(top))
    program = parameters.program
    np.testing.assert_allclose(parameters.row_sums(), 1.0)
    # By hand: masses 2 and 6 below weights 3 and 1; rows divided by their sums would give 3 : 1.
    np.testing.assert_allclose(program.read_matrix(top, parameters.weights), [[0.5, 0.5]])
    np.testing.assert_allclose(program.read_matrix(low, parameters.weights), [[0.5, 0.5], [0, 1]])


def test_shared_weights_given_by_hand_are_divided_by_the_sums_of_their_rows():
    leaf = [Input(i, Bernoulli(), 2) for i in range(2)]
    low = Sum(leaf[0], 2, weights=[[1.0, 3.0], [0.0, 0.0]])
    circuit = Circuit(Sum(Product([low, Sum(leaf[1], 2, share=low)]), weights=[[2.0, 2.0]]))
    parameters = start(circuit)
    read = parameters.program.read_matrix
    np.testing.assert_allclose(read(low, parameters.weights), [[0.25, 0.75], [0, 0]])
    np.testing.assert_allclose(read(circuit.root, parameters.weights), [[0.5, 0.5]])
