"""The guard against underflow: what scaled float32 loses is noticed, and only that.

[1, tiny] · [tiny, 1] is stored as zeros although both children are in range. Such rows must be
evaluated in float64 logarithms, flows included, and ordinary rows must not.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skpc.backends import log_domain
from skpc.backends.numba_cpu import NumbaBackend, learning
from skpc.backends.numba_cpu.tiles import LOST_SHARE
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import Bernoulli, Categorical, Gaussian
from tests import reference
from tests.backends.kinds import KINDS, each

DTYPES = [np.float32, np.float64]


@pytest.fixture(params=each(KINDS), scope="module")
def make(request):
    """The class of a backend, by default in float32."""
    return KINDS[request.param]


@pytest.fixture
def slow_rows(monkeypatch):
    """A list that counts the rows which go to the slow path."""
    counts = []
    for name in ("log_likelihood", "statistics"):
        whole = getattr(log_domain, name)

        def counting(parameters, X, *args, whole=whole):
            counts.append(len(X))
            return whole(parameters, X, *args)

        monkeypatch.setattr(log_domain, name, counting)
    return counts


def assert_like_brute_force(make, parameters, X, dtype=np.float32, rtol=3e-5):
    backend = make(parameters.program, dtype)
    expected = reference.log_likelihood(parameters, X)
    actual = backend.log_likelihood(parameters, X)
    np.testing.assert_array_equal(np.isneginf(actual), np.isneginf(expected))
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=rtol)
    possible = X[~np.isneginf(expected)]
    actual = backend.statistics(parameters, X)
    expected = reference.statistics(parameters, possible)
    # A flow of 1e-30 beside flows of one is nothing that a solver could see.
    atol = 1e-6 * max(len(possible), 1)
    np.testing.assert_allclose(actual.flows, expected.flows, rtol, atol)
    for mine, true in zip(actual.leaves, expected.leaves, strict=True):
        scale = np.abs(true).max(initial=1.0)
        np.testing.assert_allclose(mine, true, rtol, atol * scale)


def crossed(exponents, share=0.5):
    """Σ_k Π_i p_ik with p_i0 = 10^-e_i, p_i1 = 10^-f_i: (e_i, f_i) in ``exponents``."""
    leaves = []
    for i, pair in enumerate(exponents):
        tiny = 10.0 ** -np.array(pair, dtype=float)
        leaves.append(Input(i, Bernoulli(), 2, mean=tiny))
    return leaves, [[share, 1 - share]]


@pytest.mark.parametrize("tiny", [3, 12, 20, 30, 34, 36, 37, 38, 44, 50, 200, 300])
def test_two_crossed_leaves(make, tiny):
    leaves, weights = crossed([(0, tiny), (tiny, 0)])
    parameters = Parameters.uniform(Program(Circuit(Sum(Product(leaves), weights=weights))))
    assert_like_brute_force(make, parameters, np.ones((3, 2)))


@pytest.mark.parametrize("tiny", [5, 12, 19, 25, 37, 60])
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_a_unit_that_lags_and_catches_up(make, tiny, depth):
    """One unit falls behind for some levels until it is lost, then the other one does.

    Both end equal, but the stored values hold only the first: no zero shows the loss.
    """
    behind, ahead = [1.0, 10.0**-tiny], [10.0**-tiny, 1.0]
    apart = np.eye(2)
    node = Input(0, Bernoulli(), 2, mean=behind)
    for i in range(1, 2 * depth):
        leaf = Input(i, Bernoulli(), 2, mean=behind if i < depth else ahead)
        node = Product([leaf, Sum(node, 2, weights=apart)])
    parameters = Parameters.uniform(Program(Circuit(Sum(node))))
    X = np.ones((2, 2 * depth))
    assert_like_brute_force(make, parameters, X)
    expected = depth * np.log(10.0**-tiny)
    actual = make(parameters.program).log_likelihood(parameters, X)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("tiny", [30, 60, 200])
def test_where_logarithms_take_long_float64_goes_first(make, tiny, slow_rows, monkeypatch):
    """What float64 cannot hold either is still computed in logarithms."""
    monkeypatch.setattr(log_domain, "LONG", 0)
    leaves, weights = crossed([(0, tiny), (0, tiny), (tiny, 0), (tiny, 0)])
    parameters = Parameters.uniform(Program(Circuit(Sum(Product(leaves), weights=weights))))
    assert_like_brute_force(make, parameters, np.ones((3, 4)))
    assert bool(slow_rows) == (tiny == 200)
    slow_rows.clear()
    assert_like_brute_force(make, parameters, np.ones((3, 4)), np.float64)
    assert bool(slow_rows) == (tiny == 200)


@pytest.mark.parametrize("wanted", [("squares",), ("squares", "curvature")])
def test_second_derivatives_where_logarithms_take_long(wanted, slow_rows, monkeypatch):
    leaves, weights = crossed([(0, 60), (60, 0)])
    parameters = Parameters.uniform(Program(Circuit(Sum(Product(leaves), weights=weights))))
    X, weight = np.ones((3, 2)), np.array([1.0, 2.0, 0.5])
    expected = NumbaBackend(parameters.program).statistics(parameters, X, weight, wanted)
    assert sum(slow_rows) == len(X)
    slow_rows.clear()
    monkeypatch.setattr(log_domain, "LONG", 0)
    actual = NumbaBackend(parameters.program).statistics(parameters, X, weight, wanted)
    assert not slow_rows
    assert actual.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    for name, value in expected.extra.items():
        np.testing.assert_allclose(actual.extra[name], value, rtol=1e-9, atol=1e-12)


def test_logarithms_take_long_for_many_rows_weights_or_nodes():
    program = reference.make("tree").program
    few = log_domain.LONG // (4 * program.n_weights)
    assert not log_domain.takes_long(program, few)
    assert log_domain.takes_long(program, 5 * few)
    wide = reference.chain(40, 200, lambda i, k: Input(i, Bernoulli(), k))
    assert log_domain.takes_long(Program(wide), 1)


@pytest.mark.parametrize("top", ["dense", "mixing", "kronecker"])
@pytest.mark.parametrize("tiny", [10, 20, 30, 36, 38, 45, 80])
def test_crossings_below_every_kind_of_sum(make, top, tiny):
    """Four leaves, crossed in pairs, and the pairs crossed again."""
    t = 10.0**-tiny
    pairs = []
    for first in (0, 2):
        a = Input(first, Bernoulli(), 2, mean=[1.0, t])
        b = Input(first + 1, Bernoulli(), 2, mean=[t, 0.5])
        weights = [[0.5, 0.5], [1.0, 0.0]] if first else [[1.0, 0.0], [0.5, 0.5]]
        if top == "kronecker":
            weights = [[0.4, 0.1, 0.2, 0.3], [0.0, 0.5, 0.5, 0.0]]
            pairs.append(Sum(Product([a, b], kronecker=True), 2, weights=weights))
        elif top == "mixing":
            other = Product([Sum(a, 2, weights=[[0, 1], [1, 0]]), b])
            pairs.append(Sum([Product([a, b]), other], 2, kind="mixing"))
        else:
            pairs.append(Sum(Product([a, b]), 2, weights=weights))
    parameters = Parameters.uniform(Program(Circuit(Sum(Product(pairs)))))
    assert_like_brute_force(make, parameters, np.ones((2, 4)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([5.0, 20.0, 60.0]))
def test_circuits_with_parameters_of_all_magnitudes(make, seed, spread):
    """Weights and states from 10^-spread to one, in random circuits of every kind of node."""
    rng = np.random.default_rng(seed)
    circuit = reference.random_circuit(rng, n_variables=int(rng.integers(2, 6)))
    program = Program(circuit)
    parameters = reference.random_parameters(program, rng)

    def stretched(p):
        p = p ** rng.integers(0, 2, p.shape) * 10 ** (-spread * rng.random(p.shape))
        return p / p.sum(axis=-1, keepdims=True)

    for node in circuit.sums:
        matrix = program.read_matrix(node, parameters.weights)
        program.write_matrix(node, stretched(matrix), parameters.weights)
    for f, family in enumerate(program.families):
        states = stretched(family.probabilities(parameters.leaves[f]))
        parameters.leaves[f] = family.mean_from_probabilities(states)
    X = reference.random_rows(circuit, rng, 20, missing=0.1)
    assert_like_brute_force(make, parameters, X)


# -- extreme cells ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_cells_far_out_are_finite_and_ordered(make, dtype):
    parameters = reference.make("mixed_families", seed=2)
    X = np.full((7, 5), np.nan)
    X[:, 1:3] = 0.0
    X[:, 0] = [0.0, 10.0, 1e3, 1e6, 1e15, 1e30, 1e100]
    actual = make(parameters.program, dtype).log_likelihood(parameters, X)
    assert np.isfinite(actual).all()
    assert (np.diff(actual) < 0).all()
    expected = reference.log_likelihood(parameters, X)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_flows_of_cells_far_out_are_shares(make, dtype):
    parameters = reference.make("mixed_families", seed=2)
    X = np.zeros((4, 5))
    X[:, 0] = [1e6, -1e6, 1e30, -1e30]
    X[:, 3] = [1e30, 1e6, -1e30, 3.0]
    backend = make(parameters.program, dtype)
    root = parameters.program.circuit.root
    for row in X[:, None]:
        for actual in (
            backend.statistics(parameters, row),
            log_domain.statistics(parameters, row),
        ):
            top = parameters.program.read_matrix(root, actual.flows)
            assert top.sum() == pytest.approx(1, rel=1e-5)
            assert sum(part[:, 0].sum() for part in actual.leaves) == pytest.approx(4, rel=1e-5)
            assert np.isfinite(np.concatenate([part.ravel() for part in actual.leaves])).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_squares_beyond_float64_stay_finite(make, dtype):
    """Many cells at the largest number: their exponents add up beyond the range of float64."""
    leaf = [Input(i, Gaussian(variance_floor=1e-8), 2) for i in range(4)]
    circuit = Circuit(Sum([Product(leaf), Product([Sum(leaf[0], 2), *leaf[1:]])]))
    parameters = reference.make(circuit)
    parameters.leaves[0][:] = [[0.0, 1e-8]] * 8
    X = np.full((1, 4), 1e150)
    backend = make(parameters.program, dtype)
    assert np.isfinite(backend.log_likelihood(parameters, X)).all()
    statistics = backend.statistics(parameters, X)
    # All units are alike, and so far out a weight is below the rounding of log p.
    root = circuit.root
    assert parameters.program.read_matrix(root, statistics.flows).sum() == pytest.approx(1)
    assert sum(part[:, 0].sum() for part in statistics.leaves) == pytest.approx(4)


# -- zeros that the model means -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_structural_zeros_are_zeros_and_nothing_is_nan(make, dtype):
    """A left-to-right chain that some rows cannot follow."""
    leaf = [Input(i, Categorical(3), 3, mean=np.eye(3)) for i in range(4)]
    forward = [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
    node = leaf[3]
    for i in (2, 1, 0):
        node = Product([leaf[i], Sum(node, 3, weights=forward)])
    circuit = Circuit(Sum(node, weights=[1.0, 0.0, 0.0]))
    parameters = Parameters.uniform(Program(circuit))
    X = reference.all_states(circuit)
    backend = make(parameters.program, dtype)
    actual = backend.log_likelihood(parameters, X)
    steps = np.diff(X, axis=1)
    possible = (X[:, 0] == 0) & ((steps == 0) | (steps == 1)).all(axis=1)
    np.testing.assert_array_equal(np.isfinite(actual), possible)
    assert (actual[~possible] == -np.inf).all()
    assert np.exp(actual).sum() == pytest.approx(1, rel=1e-6)
    statistics = backend.statistics(parameters, X)
    assert np.isfinite(statistics.flows).all()
    assert not statistics.flows[parameters.weights == 0].any()
    assert all(np.isfinite(part).all() for part in statistics.leaves)
    expected = reference.statistics(parameters, X[possible])
    np.testing.assert_allclose(statistics.flows, expected.flows, rtol=1e-5, atol=1e-6)


# -- ordinary rows stay fast --------------------------------------------------------------------


def test_ordinary_rows_never_take_the_slow_path(make, slow_rows):
    for name in reference.CIRCUITS:
        parameters = reference.make(name)
        X = reference.random_rows(parameters.program.circuit, np.random.default_rng(1), 50)
        backend = make(parameters.program)
        backend.log_likelihood(parameters, X)
        backend.statistics(parameters, X)
    assert slow_rows == []


def test_only_damaged_rows_take_the_slow_path(make, slow_rows):
    leaves, weights = crossed([(0, 50), (50, 0)])
    parameters = Parameters.uniform(Program(Circuit(Sum(Product(leaves), weights=weights))))
    X = np.ones((200, 2))
    X[::50, 0] = 0.0  # the second unit alone answers: in range
    X[5] = np.nan
    backend = make(parameters.program)
    backend.log_likelihood(parameters, X)
    backend.statistics(parameters, X)
    assert slow_rows == [195, 195]


@pytest.mark.parametrize("n_units", [1, 8])
def test_a_chain_of_1359_variables_scores_in_float32(make, slow_rows, n_units):
    circuit = reference.chain(1359, n_units)
    parameters = reference.random_parameters(Program(circuit), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    X = rng.integers(0, 2, (40, 1359)).astype(float)
    X[rng.random(X.shape) < 0.05] = np.nan
    backend = make(parameters.program)
    actual = backend.log_likelihood(parameters, X)
    statistics = backend.statistics(parameters, X)
    assert sum(slow_rows) == 0
    expected = log_domain.log_likelihood(parameters, X)
    assert np.isfinite(actual).all()
    assert (expected < -200).all()
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-4)
    exact = log_domain.statistics(parameters, X)
    # Rounding adds up over 1359 products below and above an edge: about 1e-7 each at worst.
    np.testing.assert_allclose(statistics.flows, exact.flows, rtol=2e-4, atol=1e-4)


def test_a_chain_of_1359_gaussians_scores_in_float32(make, slow_rows):
    circuit = reference.chain(1359, 4, lambda i, k: Input(i, Gaussian(), k))
    parameters = reference.random_parameters(Program(circuit), np.random.default_rng(0))
    X = np.random.default_rng(1).standard_normal((20, 1359))
    actual = make(parameters.program).log_likelihood(parameters, X)
    assert sum(slow_rows) == 0
    np.testing.assert_allclose(actual, log_domain.log_likelihood(parameters, X), rtol=1e-6)


def test_the_bound_is_the_documented_share():
    assert LOST_SHARE == 1e-6


@pytest.mark.parametrize("spoilt", ["flows", "leaves"])
def test_flows_that_left_the_range_of_the_dtype_are_computed_again(spoilt, monkeypatch, slow_rows):
    """And the spoilt accumulators are not used again."""
    parameters = reference.make("tree", seed=3)
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(0), 200)
    backend = NumbaBackend(parameters.program, np.float32)
    whole = learning.add_lanes

    def overflowing(edges, weights, unit, start, stop, flows):
        total = whole(edges, weights, unit, start, stop, flows)
        if spoilt == "flows":
            flows[0] = total = np.nan
        return total

    monkeypatch.setattr(learning, "add_lanes", overflowing)
    if spoilt == "leaves":
        backend.statistics(parameters, X)
        backend._learner._rooms[0].crew.leaf_out[0, 0] = np.inf
    expected = reference.statistics(parameters, X)
    for _ in range(2):
        actual = backend.statistics(parameters, X)
        np.testing.assert_allclose(actual.flows, expected.flows, rtol=3e-5, atol=1e-4)
        np.testing.assert_allclose(actual.log_likelihood, expected.log_likelihood, rtol=1e-5)
    assert sum(slow_rows) == (2 if spoilt == "flows" else 1) * len(X)


def test_parameters_of_another_circuit_do_not_reach_the_kernels():
    backend = NumbaBackend(reference.make("tree").program)
    other = reference.make("tree")
    other.weights = other.weights[:-1]
    X = np.zeros((3, other.program.n_variables))
    for method in (backend.log_likelihood, backend.statistics):
        with pytest.raises(ValueError, match="parameters have arrays of shapes"):
            method(other, X)
    with pytest.raises(ValueError, match="sample_weight has shape"):
        backend.statistics(reference.make("tree"), X, np.ones(1))
