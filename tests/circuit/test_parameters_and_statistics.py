"""The numbers of a circuit: start values, copies, and statistics as a monoid."""

import numpy as np
import pytest

from skpc.circuit import Circuit, Input, Parameters, Product, Program, Statistics, Sum
from skpc.distributions import Bernoulli, Categorical
from tests import reference


@pytest.mark.parametrize("name", reference.CIRCUITS)
def test_uniform_parameters_are_normalised(name):
    program = Program(reference.CIRCUITS[name]())
    parameters = Parameters.uniform(program)
    np.testing.assert_allclose(parameters.row_sums(), 1, rtol=1e-14)
    for family, mean in zip(program.families, parameters.leaves, strict=True):
        np.testing.assert_array_equal(mean, np.tile(family.uniform_prior(), (len(mean), 1)))
    assert parameters.weights.dtype == np.float64


def test_start_values_of_nodes_win():
    a = Input(0, Bernoulli(), 2, mean=[0.2, 0.9])
    b = Input(1, Bernoulli(), 2)
    inner = Sum(a, 2, weights=[[0.25, 0.75], [1.0, 0.0]])
    program = Program(Circuit(Sum(Product([inner, b]))))
    parameters = Parameters.uniform(program)
    np.testing.assert_array_equal(
        program.read_matrix(inner, parameters.weights), [[0.25, 0.75], [1.0, 0.0]]
    )
    family, where = program.input_slice(a)
    np.testing.assert_array_equal(parameters.leaves[family][where, 0], [0.2, 0.9])
    family, where = program.input_slice(b)
    np.testing.assert_array_equal(parameters.leaves[family][where, 0], [0.5, 0.5])


def test_start_values_of_tied_nodes_come_from_the_owner():
    first = Input(0, Bernoulli(), mean=[0.2])
    second = Input(1, Bernoulli(), mean=[0.9], share=first)
    parameters = Parameters.uniform(Program(Circuit(Product([first, second]))))
    np.testing.assert_array_equal(parameters.leaves[0], [[0.2]])


def test_a_copy_is_deep():
    parameters = reference.make("tree")
    copy = parameters.copy()
    assert copy.program is parameters.program
    copy.weights[:] = 0
    copy.leaves[0][:] = 0
    assert parameters.weights.all()
    assert parameters.leaves[0].all()


def test_parameters_repr():
    parameters = reference.make("tree")
    assert repr(parameters) == "Parameters(weights=(39,), leaves=[Bernoulli(): (15, 1)])"


def draw(program, seed):
    rng = np.random.default_rng(seed)
    zero = Statistics.zeros(program)
    return Statistics(
        -rng.random(),
        rng.random(),
        rng.random(zero.flows.shape),
        [rng.random(part.shape) for part in zero.leaves],
    )


def assert_equal(a, b, rtol=1e-14):
    np.testing.assert_allclose(
        [a.log_likelihood, a.weight], [b.log_likelihood, b.weight], rtol=rtol
    )
    np.testing.assert_allclose(a.flows, b.flows, rtol=rtol)
    for mine, other in zip(a.leaves, b.leaves, strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol)


def test_statistics_are_a_commutative_monoid():
    program = Program(reference.mixed_families())
    a, b, c = (draw(program, seed) for seed in range(3))
    zero = Statistics.zeros(program)
    assert_equal(a + zero, a, rtol=0)
    assert_equal(zero + a, a, rtol=0)
    assert_equal(a + b, b + a)
    assert_equal((a + b) + c, a + (b + c))


def test_adding_changes_neither_summand():
    program = Program(reference.tree())
    a, b = draw(program, 0), draw(program, 1)
    total = a + b
    total.flows[:] = -1
    total.leaves[0][:] = -1
    assert_equal(a, draw(program, 0), rtol=0)
    assert_equal(b, draw(program, 1), rtol=0)


def test_zeros_have_the_shapes_of_the_layout():
    program = Program(
        Circuit(Sum(Product([Input(0, Categorical(5), 3), Input(1, Bernoulli(), 3)])))
    )
    zero = Statistics.zeros(program)
    assert zero.flows.shape == (3,)
    n_statistics = [family.n_statistics for family in program.families]
    assert [part.shape for part in zero.leaves] == [(3, 1 + n) for n in n_statistics]


def test_scaling_and_means():
    program = Program(reference.tree())
    a = draw(program, 0)
    assert_equal(a.scaled(2.0), a + a)
    a.weight = 4.0
    assert_equal(a.mean(), a.scaled(0.25))
    assert a.mean().weight == 1
    nothing = Statistics.zeros(program).mean()
    assert_equal(nothing, Statistics.zeros(program), rtol=0)


def test_statistics_repr():
    program = Program(reference.single_input())
    a = Statistics(-1.5, 3, np.zeros(program.n_weights), [])
    assert repr(a) == "Statistics(log_likelihood=-1.5, weight=3)"
