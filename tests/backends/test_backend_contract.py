"""The contract that every backend keeps: each circuit and dtype against brute force.

A backend joins by one line in `kinds.py`.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import Bernoulli, Categorical, Gaussian
from tests import reference
from tests.backends.kinds import KINDS, each
from tests.reference import CIRCUITS, MISSING

BACKENDS = {
    f"{kind}-{dtype}": lambda program, make=make, dtype=dtype: make(program, dtype)
    for kind, make in KINDS.items()
    for dtype in ("float32", "float64")
}
#: Relative error, and absolute error for every unit of weight.
TOLERANCE = {"float32": (2e-5, 2e-6), "float64": (1e-11, 1e-13)}

every_backend = pytest.mark.parametrize("backend_name", each(BACKENDS))
every_circuit = pytest.mark.parametrize("name", CIRCUITS)


def backend_of(backend_name, parameters):
    return BACKENDS[backend_name](parameters.program)


def tolerance_of(backend_name, weight=1.0):
    rtol, atol = TOLERANCE[backend_name.split("-")[1]]
    return {"rtol": rtol, "atol": atol * max(weight, 1.0)}


def assert_same_statistics(actual, expected, rtol, atol):
    assert actual.weight == pytest.approx(expected.weight, rel=1e-12)
    np.testing.assert_allclose(actual.log_likelihood, expected.log_likelihood, rtol, atol)
    np.testing.assert_allclose(actual.flows, expected.flows, rtol, atol)
    for mine, true in zip(actual.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(mine, true, rtol, atol)


def rows_of(parameters, n_rows, missing=0.2, seed=1):
    rng = np.random.default_rng(seed)
    return reference.random_rows(parameters.program.circuit, rng, n_rows, missing)


# -- against brute force ------------------------------------------------------------------


@every_backend
@every_circuit
def test_log_likelihood_is_the_brute_force_one(backend_name, name):
    parameters = reference.make(name)
    X = rows_of(parameters, 40)
    actual = backend_of(backend_name, parameters).log_likelihood(parameters, X)
    assert actual.dtype == np.float64
    assert actual.shape == (40,)
    expected = reference.log_likelihood(parameters, X)
    np.testing.assert_allclose(actual, expected, **tolerance_of(backend_name))


@every_backend
@every_circuit
def test_statistics_are_the_brute_force_ones(backend_name, name):
    parameters = reference.make(name)
    X = rows_of(parameters, 40)
    actual = backend_of(backend_name, parameters).statistics(parameters, X)
    expected = reference.statistics(parameters, X)
    assert_same_statistics(actual, expected, **tolerance_of(backend_name, 40))


@every_backend
@pytest.mark.parametrize("name", reference.ENUMERABLE)
def test_flows_are_the_posterior_mass_of_induced_trees(backend_name, name):
    parameters = reference.make(name, seed=3)
    X = rows_of(parameters, 5, seed=4)
    actual = backend_of(backend_name, parameters).statistics(parameters, X)
    by_definition = reference.flows_by_enumeration
    expected = reference.statistics(parameters, X, flows_of=by_definition)
    assert_same_statistics(actual, expected, **tolerance_of(backend_name, 5))


@every_backend
@every_circuit
def test_zero_weights_and_zero_states_are_exact_zeros(backend_name, name):
    parameters = reference.make(name, seed=5, zero_fraction=0.4)
    X = rows_of(parameters, 30, missing=0.1)
    backend = backend_of(backend_name, parameters)
    actual, expected = (
        backend.log_likelihood(parameters, X), reference.log_likelihood(parameters, X),
    )  # fmt: skip
    np.testing.assert_array_equal(np.isneginf(actual), np.isneginf(expected))
    np.testing.assert_allclose(actual, expected, **tolerance_of(backend_name))
    possible = X[~np.isneginf(expected)]
    assert_same_statistics(
        backend.statistics(parameters, possible),
        reference.statistics(parameters, possible),
        **tolerance_of(backend_name, 30),
    )


@every_backend
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), zero_fraction=st.sampled_from([0.0, 0.3]))
def test_random_circuits_match_brute_force(backend_name, seed, zero_fraction):
    rng = np.random.default_rng(seed)
    circuit = reference.random_circuit(rng, n_variables=int(rng.integers(2, 6)))
    parameters = reference.random_parameters(Program(circuit), rng, zero_fraction)
    X = reference.random_rows(circuit, rng, int(rng.integers(1, 40)))
    expected = reference.log_likelihood(parameters, X)
    backend = backend_of(backend_name, parameters)
    actual = backend.log_likelihood(parameters, X)
    np.testing.assert_array_equal(np.isneginf(actual), np.isneginf(expected))
    np.testing.assert_allclose(actual, expected, **tolerance_of(backend_name))
    possible = X[~np.isneginf(expected)]
    assert_same_statistics(
        backend.statistics(parameters, possible),
        reference.statistics(parameters, possible),
        **tolerance_of(backend_name, len(X)),
    )
    expected = reference.flows(parameters, np.full((1, circuit.n_variables), MISSING))
    assert_top_down_is_flow(backend.top_down(parameters), parameters, expected, 1e-12)


@every_backend
@pytest.mark.parametrize("n_units", [1, 2, 3, 5, 8, 9, 33])
def test_every_length_of_a_vector(backend_name, n_units):
    """Products are blocked four by two: every remainder of the blocking is seen."""
    parameters = reference.make(reference.tree(n_units))
    X = rows_of(parameters, 20)
    assert_same_statistics(
        backend_of(backend_name, parameters).statistics(parameters, X),
        reference.statistics(parameters, X),
        **tolerance_of(backend_name, 20),
    )


@every_backend
@pytest.mark.parametrize("n_states", range(1, 12))
def test_every_number_of_states(backend_name, n_states):
    a, b = (Input(i, Categorical(n_states), 3) for i in range(2))
    parameters = reference.make(Circuit(Sum(Product([a, Sum(b, 3)]))))
    X = rows_of(parameters, 50)
    assert_same_statistics(
        backend_of(backend_name, parameters).statistics(parameters, X),
        reference.statistics(parameters, X),
        **tolerance_of(backend_name, 50),
    )


@every_backend
def test_a_child_given_twice_counts_twice(backend_name):
    a, b = (Input(i, Bernoulli(), 2) for i in range(2))
    pair, other = Product([a, b]), Product([Sum(a, 2), b])
    for children in ([pair, pair], [pair, other, pair], [Product([pair]), pair]):
        for kind in ("dense", "block", "mixing"):
            low = Sum(children, 2, kind=kind, n_blocks=2 if kind == "block" else 1)
            parameters = reference.make(Circuit(Sum(low)))
            X = rows_of(parameters, 9)
            assert_same_statistics(
                backend_of(backend_name, parameters).statistics(parameters, X),
                reference.statistics(parameters, X),
                **tolerance_of(backend_name, 9),
            )


# -- rows, weights and tiles ----------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("n_rows", [0, 1, 15, 16, 17, 127, 128, 129, 600])
def test_ragged_tiles(backend_name, n_rows):
    """Padding of the last tile adds nothing."""
    parameters = reference.make("kronecker")
    X = rows_of(parameters, max(n_rows, 1))[::-1][:n_rows]
    backend = backend_of(backend_name, parameters)
    expected = reference.statistics(parameters, X)
    assert_same_statistics(
        backend.statistics(parameters, X), expected, **tolerance_of(backend_name, n_rows)
    )
    np.testing.assert_allclose(
        backend.log_likelihood(parameters, X),
        reference.log_likelihood(parameters, X),
        **tolerance_of(backend_name),
    )


@every_backend
def test_a_buffer_used_before_leaves_no_trace(backend_name):
    parameters = reference.make("dag")
    backend = backend_of(backend_name, parameters)
    X, few = rows_of(parameters, 300), rows_of(parameters, 3, seed=9)
    fresh = backend_of(backend_name, parameters).statistics(parameters, few)
    for rows in (X, few, few):
        again = backend.statistics(parameters, rows)
    np.testing.assert_array_equal(again.flows, fresh.flows)
    for mine, other in zip(again.leaves, fresh.leaves, strict=True):
        np.testing.assert_array_equal(mine, other)


@every_backend
@every_circuit
def test_a_row_without_cells_has_probability_one(backend_name, name):
    parameters = reference.make(name)
    X = np.full((3, parameters.program.n_variables), MISSING)
    actual = backend_of(backend_name, parameters).log_likelihood(parameters, X)
    np.testing.assert_allclose(actual, 0, atol=tolerance_of(backend_name)["atol"])


@every_backend
@pytest.mark.parametrize("name", ["dag", "kronecker", "hmm", "mixed_families"])
def test_weights_are_repeated_rows(backend_name, name):
    parameters = reference.make(name)
    X = rows_of(parameters, 40)
    weight = np.random.default_rng(2).integers(0, 4, 40).astype(float)
    backend = backend_of(backend_name, parameters)
    repeated = X[np.repeat(np.arange(40), weight.astype(int))]
    weighted = backend.statistics(parameters, X, weight)
    assert_same_statistics(
        weighted, backend.statistics(parameters, repeated), **tolerance_of(backend_name, 80)
    )
    expected = reference.statistics(parameters, X, 1e6 * weight)
    assert_same_statistics(
        backend.statistics(parameters, X, 1e6 * weight),
        expected,
        **tolerance_of(backend_name, 80e6),
    )


@every_backend
def test_rows_of_weight_zero_are_absent(backend_name):
    """Even impossible ones, whose log-likelihood of -inf would make the sum NaN."""
    parameters = reference.make("tree")
    parameters.leaves[0][:3] = 0.0
    X = np.zeros((20, 5))
    X[::2, 0] = 1.0
    weight = np.tile([0.0, 1.0], 10)
    backend = backend_of(backend_name, parameters)
    actual = backend.statistics(parameters, X, weight)
    expected = backend.statistics(parameters, X[1::2])
    assert_same_statistics(actual, expected, **tolerance_of(backend_name, 10))
    nothing = backend.statistics(parameters, X, np.zeros(20))
    assert nothing.weight == nothing.log_likelihood == 0
    assert not nothing.flows.any()


@every_backend
def test_impossible_rows_have_no_flow(backend_name):
    parameters = reference.make("tree")
    parameters.leaves[0][:3] = 0.0
    X = np.zeros((4, 5))
    X[0, 0] = 1.0
    actual = backend_of(backend_name, parameters).statistics(parameters, X)
    assert actual.log_likelihood == -np.inf
    assert actual.weight == 4
    expected = reference.statistics(parameters, X[1:])
    np.testing.assert_allclose(actual.flows, expected.flows, **tolerance_of(backend_name, 4))
    np.testing.assert_allclose(
        actual.leaves[0], expected.leaves[0], **tolerance_of(backend_name, 4)
    )


@every_backend
def test_values_outside_the_support_are_impossible(backend_name):
    parameters = reference.make("tree")
    backend = backend_of(backend_name, parameters)
    X = np.zeros((5, 5))
    X[1:, 2] = [2.0, -1.0, 0.5, np.inf]
    actual = backend.log_likelihood(parameters, X)
    assert np.isfinite(actual[0])
    assert (actual[1:] == -np.inf).all()


@dataclass(frozen=True)
class HalfLine(Gaussian):
    """A family that is neither finite nor on the whole line; its scale does not matter here."""

    def log_base_measure(self, x):
        return np.where(np.asarray(x) < 0, -np.inf, super().log_base_measure(x))

    def log_density(self, mean, x):
        return np.where(np.asarray(x) < 0, -np.inf, super().log_density(mean, x))


@every_backend
def test_cells_outside_a_support_that_is_not_finite(backend_name):
    """All children of a sum are then at a scale of zero, and 0/0 is 0."""
    leaf = [Input(i, HalfLine(), 2) for i in range(2)]
    parts = [Product(leaf), Product([Sum(leaf[0], 2), leaf[1]])]
    X = np.array([[0.5, 1.0], [-1.0, 1.0], [0.1, -2.0], [MISSING, -2.0], [1.5, MISSING]])
    possible = [0, 4]
    for circuit in (Circuit(Sum(parts[0])), Circuit(Sum(parts))):
        parameters = reference.make(circuit)
        backend = backend_of(backend_name, parameters)
        actual = backend.log_likelihood(parameters, X)
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(actual)), possible)
        statistics = backend.statistics(parameters, X)
        expected = reference.statistics(parameters, X[possible])
        tolerance = tolerance_of(backend_name, 2)
        np.testing.assert_allclose(statistics.flows, expected.flows, **tolerance)
        np.testing.assert_allclose(statistics.leaves[0], expected.leaves[0], **tolerance)


@every_backend
@pytest.mark.parametrize("dtype", ["float32", "int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_dtype_and_order_of_rows(backend_name, dtype, order):
    parameters = reference.make("tree")
    X = rows_of(parameters, 30, missing=0)[1:]
    backend = backend_of(backend_name, parameters)
    np.testing.assert_array_equal(
        backend.log_likelihood(parameters, np.asarray(X.astype(dtype), order=order)),
        backend.log_likelihood(parameters, X),
    )


@every_backend
def test_small_unsigned_codes_outside_the_support_are_impossible(backend_name):
    parameters = reference.make("tree")
    X = np.zeros((2, 5), dtype=np.uint8)
    X[1, 4] = 2
    actual = backend_of(backend_name, parameters).log_likelihood(parameters, X)
    np.testing.assert_array_equal(np.isneginf(actual), [False, True])


@every_backend
@pytest.mark.parametrize("n_states", [200, 256])
def test_bytes_as_states(backend_name, n_states):
    a, b = (Input(i, Categorical(n_states), 2) for i in range(2))
    parameters = reference.make(Circuit(Sum(Product([a, Sum(b, 2)]))))
    X = np.array([[0, 199], [255, 3], [199, 255], [0, 0]], dtype=np.uint8)
    backend = backend_of(backend_name, parameters)
    expected = reference.log_likelihood(parameters, X)
    np.testing.assert_array_equal(np.isfinite(expected), (n_states > X).all(axis=1))
    actual = backend.log_likelihood(parameters, X)
    np.testing.assert_allclose(actual, expected, **tolerance_of(backend_name))


@every_backend
@pytest.mark.parametrize("name", ["tree", "kronecker", "mixed_families"])
def test_statistics_add_over_splits_of_the_rows(backend_name, name):
    parameters = reference.make(name)
    X, weight = rows_of(parameters, 300), np.random.default_rng(3).random(300)
    backend = backend_of(backend_name, parameters)
    whole = backend.statistics(parameters, X, weight)
    parts = [slice(0, 7), slice(7, 200), slice(200, 300)]
    total = sum(
        (backend.statistics(parameters, X[p], weight[p]) for p in parts[1:]),
        start=backend.statistics(parameters, X[parts[0]], weight[parts[0]]),
    )
    assert_same_statistics(total, whole, **tolerance_of(backend_name, 300))


# -- a distribution -------------------------------------------------------------------------


@every_backend
@every_circuit
def test_probabilities_of_all_states_sum_to_one(backend_name, name):
    parameters = reference.make(name)
    X = reference.all_states(parameters.program.circuit)
    actual = backend_of(backend_name, parameters).log_likelihood(parameters, X)
    tolerance = tolerance_of(backend_name)
    assert np.exp(actual).sum() == pytest.approx(1, rel=tolerance["rtol"])


@every_backend
@pytest.mark.parametrize("name", ["tree", "dag", "block", "kronecker", "hmm", "scalar"])
def test_a_marginal_is_the_sum_over_what_is_missing(backend_name, name):
    parameters = reference.make(name)
    circuit = parameters.program.circuit
    backend = backend_of(backend_name, parameters)
    X = reference.all_states(circuit)
    p = np.exp(backend.log_likelihood(parameters, X))
    kept = [0, circuit.n_variables - 1]
    marginal = reference.all_states(circuit, kept)
    summed = [p[(X[:, kept] == row[kept]).all(axis=1)].sum() for row in marginal]
    np.testing.assert_allclose(
        np.exp(backend.log_likelihood(parameters, marginal)),
        summed,
        **tolerance_of(backend_name),
    )


# -- invariants of flows and top-down probabilities -----------------------------------------


@every_backend
@every_circuit
def test_flows_are_conserved(backend_name, name):
    """A unit hands on all it gets: from the root's edges down to one leaf a variable."""
    parameters = reference.make(name)
    program = parameters.program
    circuit = program.circuit
    X = rows_of(parameters, 25)
    actual = backend_of(backend_name, parameters).statistics(parameters, X)
    tolerance = tolerance_of(backend_name, 25)
    if isinstance(circuit.root, Sum) and reference.owner(circuit.root) is circuit.root:
        assert program.read_matrix(circuit.root, actual.flows).sum() == pytest.approx(25, rel=1e-5)
    by_variable = np.zeros(circuit.n_variables)
    for leaf in reference.owners(circuit.inputs):
        family, where = program.input_slice(leaf)
        by_variable[leaf.variable] += actual.leaves[family][where, 0].sum()
    present = (~np.isnan(X)).sum(axis=0).astype(float)
    present[sorted(set(range(circuit.n_variables)) - circuit.scope)] = 0
    if circuit.is_tied:
        by_variable, present = by_variable.sum(), present.sum()
    np.testing.assert_allclose(by_variable, present, **tolerance)
    expected = reference.flows(parameters, X)
    outgoing, incoming = program.row_sums(actual.flows), np.zeros(program.n_rows)
    for node in circuit.sums:
        start = program.row_start[program.vector_of(node)]
        for k in range(node.n_units):
            incoming[start + k] += expected.units[node, k].sum()
    np.testing.assert_allclose(outgoing, incoming, **tolerance)


def assert_top_down_is_flow(top_down, parameters, expected, rtol):
    """Compare with the flows of one row whose cells are all missing."""
    program = parameters.program
    rows, leaves = np.zeros(program.n_rows), [np.zeros(n) for n in program.family_units]
    for node in program.circuit.sums:
        start = program.row_start[program.vector_of(node)]
        for k in range(node.n_units):
            rows[start + k] += expected.units[node, k][0]
    for leaf in program.circuit.inputs:
        family, where = program.input_slice(leaf)
        for k in range(leaf.n_units):
            leaves[family][where.start + k] += expected.units[leaf, k][0]
    np.testing.assert_allclose(top_down.rows, rows, rtol=rtol, atol=1e-15)
    for mine, true in zip(top_down.leaves, leaves, strict=True):
        np.testing.assert_allclose(mine, true, rtol=rtol, atol=1e-15)


@every_backend
@pytest.mark.parametrize("zero_fraction", [0.0, 0.4])
@pytest.mark.parametrize("name", reference.ENUMERABLE)
def test_top_down_is_the_mass_of_induced_trees(backend_name, name, zero_fraction):
    parameters = reference.make(name, zero_fraction=zero_fraction)
    actual = backend_of(backend_name, parameters).top_down(parameters)
    expected = reference.top_down(parameters)
    assert_top_down_is_flow(actual, parameters, expected, rtol=1e-12)


@every_backend
@every_circuit
def test_top_down_is_conserved_and_equals_the_flow_of_a_row_without_cells(backend_name, name):
    parameters = reference.make(name)
    program = parameters.program
    backend = backend_of(backend_name, parameters)
    top_down = backend.top_down(parameters)
    nothing = np.full((1, program.n_variables), MISSING)
    flow = backend.statistics(parameters, nothing)
    np.testing.assert_allclose(
        program.spread_rows(top_down.rows) * parameters.weights,
        flow.flows,
        **tolerance_of(backend_name),
    )
    assert not any(part.any() for part in flow.leaves)  # a missing cell is no evidence
    by_variable = np.zeros(program.n_variables)
    for leaf in reference.owners(program.circuit.inputs):
        family, where = program.input_slice(leaf)
        by_variable[leaf.variable] += top_down.leaves[family][where].sum()
    if program.circuit.is_tied:
        assert by_variable.sum() == pytest.approx(len(program.circuit.scope), rel=1e-12)
    else:
        ones = [float(v in program.circuit.scope) for v in range(program.n_variables)]
        np.testing.assert_allclose(by_variable, ones, rtol=1e-12)


@every_backend
def test_the_mean_flow_over_all_states_is_the_top_down_probability(backend_name):
    """E[F] under the circuit itself, exactly: every state weighted by its probability."""
    parameters = reference.make("kronecker")
    X = reference.all_states(parameters.program.circuit)
    backend = backend_of(backend_name, parameters)
    p = np.exp(reference.log_likelihood(parameters, X))
    flow = backend.statistics(parameters, X, p)
    top_down = backend.top_down(parameters)
    expected = parameters.program.spread_rows(top_down.rows) * parameters.weights
    np.testing.assert_allclose(flow.flows, expected, **tolerance_of(backend_name))
    for mine, reach in zip(flow.leaves, top_down.leaves, strict=True):
        np.testing.assert_allclose(mine[:, 0], reach, **tolerance_of(backend_name))


@every_backend
def test_start_values_of_nodes_are_used(backend_name):
    """A circuit written by hand: .3 [.9, .2] + .7 [.1, .5] at (1, 1)."""
    a = Input(0, Bernoulli(), 2, mean=[0.9, 0.1])
    b = Input(1, Bernoulli(), 2, mean=[0.2, 0.5])
    program = Program(Circuit(Sum(Product([a, b]), weights=[0.3, 0.7])))
    actual = BACKENDS[backend_name](program).log_likelihood(
        Parameters.uniform(program), np.array([[1.0, 1.0], [0.0, MISSING]])
    )
    expected = np.log([0.3 * 0.9 * 0.2 + 0.7 * 0.1 * 0.5, 0.3 * 0.1 + 0.7 * 0.9])
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
