import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import (
    Circuit,
    Input,
    Parameters,
    Product,
    Program,
    Sum,
    circuit_from_arrays,
    circuit_to_arrays,
)
from skpc.distributions import Bernoulli, Categorical
from skpc.structures import HMM, MonarchHMM, resolve_structure
from skpc.structures.monarch_hmm import grid_of
from tests import reference

FAMILIES = [Categorical(3)] * 5


def dense_transition(parameters, grid):
    """The product of the two factors, entry by entry."""
    rows, columns = grid
    program = parameters.program
    first, second = (node for node in program.circuit.sums[:-1] if node.share is None)
    right = program.read_matrix(first, parameters.weights).reshape(rows, columns, -1)
    left = program.read_matrix(second, parameters.weights).reshape(columns, rows, -1)
    matrix = np.zeros((rows, columns, rows, columns))
    for i, j, later_i, later_j in np.ndindex(matrix.shape):
        matrix[i, j, later_i, later_j] = left[j, i, later_i] * right[later_i, j, later_j]
    return matrix.reshape(rows * columns, -1)


@pytest.mark.parametrize("n_states", [4, 6, 9, 32])
def test_transition_is_the_dense_product_of_its_factors(n_states):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (30, 5)).astype(float)
    X[rng.random(X.shape) < 0.2] = np.nan
    circuit = MonarchHMM().build(X, FAMILIES, n_components=n_states)
    parameters = reference.make(circuit)
    transition = dense_transition(parameters, grid_of(n_states))
    np.testing.assert_allclose(transition.sum(axis=1), 1, rtol=1e-12)

    dense = reference.make(HMM().build(X, FAMILIES, n_components=n_states))
    program = dense.program
    owner = next(node for node in program.circuit.sums if node.share is None)
    program.write_matrix(owner, transition, dense.weights)
    initial = parameters.program.read_matrix(circuit.root, parameters.weights)
    program.write_matrix(program.circuit.root, initial, dense.weights)
    dense.leaves[0][:] = parameters.leaves[0]
    np.testing.assert_allclose(
        NumbaBackend(parameters.program, np.float64).log_likelihood(parameters, X),
        NumbaBackend(program, np.float64).log_likelihood(dense, X),
        rtol=0,
        atol=1e-10,
    )


def test_every_state_reaches_every_state():
    circuit = MonarchHMM().build(np.zeros((1, 5)), FAMILIES, n_components=12)
    assert (dense_transition(reference.make(circuit), (3, 4)) > 0).all()


def test_states_that_make_no_grid():
    for n_states in (1, 2, 13):
        with pytest.raises(ValueError, match="product of two numbers.*structure='hmm'"):
            MonarchHMM().build(np.zeros((1, 5)), FAMILIES, n_components=n_states)
    with pytest.raises(ValueError, match="product of two numbers"):
        resolve_structure(MonarchHMM(n_components=7))


def test_steps_may_have_their_own_transitions():
    circuit = MonarchHMM(homogeneous=False).build(
        np.zeros((1, 3)), [Bernoulli()] * 3, n_components=6
    )
    assert not circuit.is_tied


# -- the product that puts units in another order -------------------------------------------


def test_units_of_a_grid_by_columns():
    leaf = Input(0, Bernoulli(), 6, mean=np.arange(6)[:, None] / 10)
    turned = Product(leaf, grid=(2, 3))
    assert repr(turned) == "Product(n_units=6, grid=(2, 3), scope={0})"
    program = Program(Circuit(Sum(turned, weights=[[0, 1, 0, 0, 0, 0]])))
    parameters = Parameters.uniform(program)
    X = np.array([[1.0]])
    score = NumbaBackend(parameters.program, np.float64).log_likelihood(parameters, X)
    np.testing.assert_allclose(np.exp(score), 0.3)  # the second by columns is the fourth by rows


def test_grids_that_do_not_fit():
    leaf = Input(0, Bernoulli(), 6)
    for children, grid in (([leaf], (2, 2)), ([leaf, Input(1, Bernoulli(), 6)], (2, 3))):
        with pytest.raises(ValueError, match="grid=.*one child of"):
            Product(children, grid=grid)
    with pytest.raises(ValueError, match="kronecker=True"):
        Product([leaf], grid=(2, 3), kronecker=True)


def test_grids_are_stored():
    circuit = MonarchHMM().build(np.zeros((1, 3)), [Bernoulli()] * 3, n_components=6)
    again = circuit_from_arrays(*circuit_to_arrays(circuit))
    assert [n.grid for n in again.products] == [n.grid for n in circuit.products]
