"""Second derivatives by the sum weights: against brute force, and the engine against logarithms.

A circuit without shared weights is linear in each weight, so that differences of p with steps of
one are its exact derivatives: no step size, no automatic differentiation.
"""

import numpy as np
import pytest

from skpc.backends import log_curvature
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Statistics, Sum
from skpc.distributions import Bernoulli, Gaussian, MultivariateGaussian
from skpc.training import initial_parameters, leaf_priors
from tests import reference

WANTED = ("squares", "curvature")
#: Relative to the largest entry; float32 was seen at 1e-6, on plants at 4e-7.
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
#: Few enough weights to take all pairs.
SMALL = ["dag", "scalar"]
UNTIED = sorted(reference.UNTIED)
WITH_WEIGHTS = sorted(set(UNTIED) - {"single_input", "single_product"})
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def rows_of(parameters, n_rows, seed=8):
    rng = np.random.default_rng(seed)
    return reference.random_rows(parameters.program.circuit, rng, n_rows)


def brute_hessians(parameters, X, pairs=True):
    """Hessian of log p by the weights for every row, (n, E, E), and gradients, (n, E)."""

    def p(*moved):
        other = parameters.copy()
        other.weights[list(moved)] += 1.0
        return np.exp(reference.log_likelihood(other, X))

    n = parameters.program.n_weights
    base = p()
    one = np.array([p(a) for a in range(n)])
    first = (one - base).T / base[:, None]
    second = np.zeros((len(X), n, n))
    for a in range(n) if pairs else ():
        for b in range(a):
            both = (p(a, b) - one[a] - one[b] + base) / base
            second[:, a, b] = second[:, b, a] = both
    return second - first[:, :, None] * first[:, None, :], first


def in_logs(parameters, X, weight=None):
    return log_curvature.statistics(parameters, X, weight, WANTED)


def in_engine(parameters, X, weight=None, dtype="float64", wanted=WANTED, n_jobs=1):
    return NumbaBackend(parameters.program, dtype, n_jobs).statistics(parameters, X, weight, wanted)


def assert_same(actual, expected, dtype="float64"):
    assert actual.extra.keys() == expected.extra.keys()
    for name, true in expected.extra.items():
        scale = np.abs(true).max(initial=1.0)
        np.testing.assert_allclose(
            actual.extra[name], true, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=name
        )


# -- against brute force ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_trace_and_gradient_are_those_of_the_brute_hessian(name):
    parameters = reference.make(name, seed=7)
    X, weight = rows_of(parameters, 3), np.array([1.0, 0.5, 2.0])
    hessians, gradients = brute_hessians(parameters, X)
    actual = in_logs(parameters, X, weight)
    np.testing.assert_allclose(
        -np.trace(hessians, axis1=1, axis2=2) @ weight, actual.extra["squares"].sum(), rtol=1e-9
    )
    expected = 2 * np.einsum("x,xab,xb->a", weight, hessians, gradients)
    np.testing.assert_allclose(
        actual.extra["curvature"], expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max()
    )
    np.testing.assert_allclose(
        log_curvature.sharpness(parameters, X), (gradients**2).sum(axis=1), rtol=1e-9
    )


@pytest.mark.parametrize("name", sorted(set(WITH_WEIGHTS) - {"wide"}))
def test_squares_are_the_brute_ones(name):
    parameters = reference.make(name, seed=7)
    X, weight = rows_of(parameters, 3), np.array([1.0, 0.5, 2.0])
    _, gradients = brute_hessians(parameters, X, pairs=False)
    actual = in_logs(parameters, X, weight)
    np.testing.assert_allclose(weight @ gradients**2, actual.extra["squares"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_gradient_is_the_one_of_automatic_differentiation(name):
    torch = pytest.importorskip("torch")
    from tests.backends.test_flows_are_gradients import log_likelihood

    parameters = reference.make(name, seed=7)
    program, circuit = parameters.program, parameters.program.circuit
    X = rows_of(parameters, 3)
    weights = {
        node: torch.tensor(program.read_matrix(node, parameters.weights), requires_grad=True)
        for node in circuit.sums
    }
    expected = [np.zeros(n) for n in program.family_units]
    total = torch.zeros(())
    densities = []
    for x in X:
        leaves = {
            leaf: torch.tensor(
                np.exp(reference.leaf_log_density(parameters, leaf, x[None])).T.copy(),
                requires_grad=True,
            )
            for leaf in circuit.inputs
        }
        densities.append(leaves)
        value = log_likelihood(circuit, weights, leaves)
        found = torch.autograd.grad(value, list(weights.values()), create_graph=True)
        total = total + sum((g**2).sum() for g in found)
    total.backward()
    actual = in_logs(parameters, X)
    assert actual.extra["squares"].sum() == pytest.approx(total.item(), rel=1e-9)
    by_weight = np.zeros(program.n_weights)
    for node, weight in weights.items():
        program.write_matrix(node, weight.grad.numpy(), by_weight)
    scale = np.abs(by_weight).max(initial=1e-300)
    np.testing.assert_allclose(actual.extra["curvature"], by_weight, rtol=1e-8, atol=1e-12 * scale)
    for x, leaves in zip(X, densities):
        for leaf, density in leaves.items():
            family, where = program.input_slice(leaf)
            if density.grad is not None and not np.isnan(x[leaf.variable]):
                expected[family][where] += (density * density.grad).detach().numpy()[0]
    for f, flow in enumerate(expected):
        np.testing.assert_allclose(
            actual.extra[f"curvature_{f}"][:, 0], flow, rtol=1e-8, atol=1e-11 * scale
        )


def test_the_trace_formula_is_false_for_shared_weights():
    """Two uses of one weight: the second derivative of p by it is not zero."""
    parameters = reference.make("hmm", seed=7)
    X = rows_of(parameters, 4)
    step = 1e-4
    program, trace = parameters.program, 0.0
    for a in range(program.n_weights):
        values = []
        for move in (-step, 0.0, step):
            other = parameters.copy()
            other.weights[a] += move
            values.append(reference.log_likelihood(other, X).sum())
        trace += (values[0] - 2 * values[1] + values[2]) / step**2
    total = Statistics.zeros(program)
    log_curvature.add_curvature(parameters, X, np.ones(4), ("squares",), total)
    assert abs(trace + total.extra["squares"].sum()) > 0.05 * abs(trace)


@pytest.mark.parametrize("wanted", [("squares",), ("curvature",)])
def test_shared_weights_are_refused(wanted):
    parameters = reference.make("hmm")
    with pytest.raises(ValueError, match="without shared weights"):
        in_engine(parameters, rows_of(parameters, 2), wanted=wanted)


def test_unknown_statistics_are_refused():
    parameters = reference.make("tree")
    with pytest.raises(ValueError, match="wanted names 'hessian'"):
        in_engine(parameters, rows_of(parameters, 2), wanted=("hessian",))


# -- the engine against logarithms ----------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("zero_fraction", [0.0, 0.4])
@pytest.mark.parametrize("name", UNTIED)
def test_the_engine_says_what_logarithms_say(name, zero_fraction, dtype):
    parameters = reference.make(name, seed=7, zero_fraction=zero_fraction)
    X, weight = rows_of(parameters, 40), np.random.default_rng(1).random(40)
    for given in (None, weight):
        actual = in_engine(parameters, X, given, dtype)
        if dtype == "float64" or not zero_fraction:
            assert_same(actual, in_logs(parameters, X, given), dtype)
        usual = NumbaBackend(parameters.program, dtype, 1).statistics(parameters, X, given)
        # The same numbers, but equal rows may be added up first.
        assert actual.log_likelihood == pytest.approx(usual.log_likelihood, rel=1e-14)
        tolerance = {"float32": 1e-4, "float64": 1e-11}[dtype]
        np.testing.assert_allclose(actual.flows, usual.flows, tolerance, tolerance)
        for mine, other in zip(actual.leaves, usual.leaves, strict=True):
            np.testing.assert_allclose(mine, other, tolerance, tolerance)


@every_dtype
@pytest.mark.parametrize("n_units", [1, 2, 5, 33])
def test_every_length_of_a_vector(n_units, dtype):
    parameters = reference.make(reference.tree(n_units))
    X = rows_of(parameters, 20)
    assert_same(in_engine(parameters, X, None, dtype), in_logs(parameters, X), dtype)


@pytest.mark.parametrize("seed", range(8))
def test_random_circuits(seed):
    rng = np.random.default_rng(seed)
    circuit = reference.random_circuit(rng, n_variables=int(rng.integers(2, 6)))
    parameters = reference.random_parameters(Program(circuit), rng)
    X = reference.random_rows(circuit, rng, 30)
    assert_same(in_engine(parameters, X), in_logs(parameters, X))


@every_dtype
def test_a_child_given_twice_has_two_edges(dtype):
    a, b = (Input(i, Bernoulli(), 2) for i in range(2))
    pair, other = Product([a, b]), Product([Sum(a, 2), b])
    for children in ([pair, pair], [pair, other, pair], [Product([pair]), pair]):
        for kind in ("dense", "block", "mixing"):
            low = Sum(children, 2, kind=kind, n_blocks=2 if kind == "block" else 1)
            parameters = reference.make(Circuit(Sum(low)))
            X = rows_of(parameters, 9)
            assert_same(in_engine(parameters, X, None, dtype), in_logs(parameters, X), dtype)


@every_dtype
def test_leaves_over_groups_of_columns(dtype):
    pair, k = MultivariateGaussian(2), 3
    below = Product([Input((1, 3), pair, k), Sum(Input(4, Bernoulli(), k), k)])
    top = Product([Input((0, 2), pair, k), Sum(below, k), Input(5, Gaussian(), k)])
    program = Program(Circuit(Sum(top)))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 6))
    X[:, 4] = X[:, 4] > 0
    X[rng.random(X.shape) < 0.2] = np.nan
    parameters = initial_parameters(program, "random", leaf_priors(program, X), rng)
    weight = rng.random(150)
    actual = in_engine(parameters, X, weight, dtype)
    assert_same(actual, in_logs(parameters, X, weight), dtype)


@every_dtype
@pytest.mark.parametrize("name", ["dag", "kronecker", "mixed_families"])
def test_weights_are_repeated_rows(name, dtype):
    parameters = reference.make(name)
    X = rows_of(parameters, 40)
    weight = np.random.default_rng(2).integers(0, 4, 40).astype(float)
    repeated = X[np.repeat(np.arange(40), weight.astype(int))]
    for factor in (1.0, 1e6):
        actual = in_engine(parameters, X, factor * weight, dtype)
        assert_same(actual, in_engine(parameters, repeated, None, dtype).scaled(factor), dtype)


def test_ragged_tiles_threads_and_used_buffers_change_nothing():
    parameters = reference.make("dag")
    backend = NumbaBackend(parameters.program, "float64", 1)
    X = rows_of(parameters, 600)
    for rows in (X, X[:0], X[:1], X[:17], X[:129]):
        assert_same(backend.statistics(parameters, rows, None, WANTED), in_logs(parameters, rows)
                    if len(rows) else in_engine(parameters, rows))  # fmt: skip
    one, two = (in_engine(parameters, X, n_jobs=n) for n in (1, 2))
    for name in one.extra:
        np.testing.assert_array_equal(one.extra[name], two.extra[name])
    # A row's flows have the same bits whether or not second derivatives are asked for alone.
    only = in_engine(parameters, X, wanted=("squares",))
    np.testing.assert_array_equal(only.extra["squares"], one.extra["squares"])


# -- rows that are hard ---------------------------------------------------------------------------


@every_dtype
def test_impossible_rows_add_nothing(dtype):
    parameters = reference.make("tree")
    parameters.leaves[0][:3] = 0.0
    X = np.zeros((4, 5))
    X[0, 0] = 1.0
    actual = in_engine(parameters, X, None, dtype)
    assert actual.log_likelihood == -np.inf
    assert_same(actual, in_logs(parameters, X[1:]), dtype)


@every_dtype
def test_rows_far_away(dtype):
    """One unit explains such a row alone, so that further out nothing changes any more."""
    parameters = reference.make("mixed_families", seed=3)
    near, far, beyond = (rows_of(parameters, 6) for _ in range(3))
    for X, distance in ((near, 1e6), (far, 1e15), (beyond, 1e30)):
        X[1:3, 0] = distance, -distance
        X[3, 3] = distance
    actual, expected = (in_engine(parameters, X, None, dtype) for X in (far, near))
    for name in ("squares", "curvature"):
        np.testing.assert_allclose(actual.extra[name], expected.extra[name], rtol=1e-4)
    # Here log p has no digits left for the weights, but it is a number, and so is all else.
    for statistics in (in_engine(parameters, beyond, None, dtype), in_logs(parameters, beyond)):
        for array in statistics.extra.values():
            assert np.isfinite(array).all()


@every_dtype
@pytest.mark.parametrize("tiny", [1e-12, 1e-19, 1e-37, 1e-60, 1e-200])
def test_mass_that_is_lost_in_products(tiny, dtype):
    """[1, tiny] · [tiny, 1]: also where the squares underflow before the values do."""
    leaves = [Input(i, Bernoulli(), 2, mean=m) for i, m in enumerate(([1.0, tiny], [tiny, 1.0]))]
    low = Sum(Product(leaves), 2, weights=[[0.3, 0.7], [0.6, 0.4]])
    top = Product([low, Input(2, Bernoulli(), 2, mean=[tiny, 0.5])])
    parameters = Parameters.uniform(Program(Circuit(Sum(top, weights=[0.9, 0.1]))))
    X = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, np.nan]])
    assert_same(in_engine(parameters, X, None, dtype), in_logs(parameters, X), dtype)


def test_squares_beyond_the_range_of_float32_are_taken_in_logarithms():
    leaves = [Input(0, Bernoulli(), 2, mean=[0.5, 1e-25])]
    program = Program(Circuit(Sum(Sum(leaves[0], 2, weights=[[1e-25, 1.0], [1e-24, 1.0]]))))
    parameters = Parameters.uniform(program)
    X = np.ones((3, 1))
    actual, expected = in_engine(parameters, X, None, "float32"), in_logs(parameters, X)
    assert expected.extra["squares"].max() > 1e40
    assert_same(actual, expected, "float32")


def test_statistics_with_extras_are_a_monoid():
    parameters = reference.make("tree")
    X = rows_of(parameters, 30)
    parts = [in_engine(parameters, X[:7]), in_engine(parameters, X[7:])]
    zeros = Statistics.zeros(parameters.program)
    whole = in_engine(parameters, X)
    assert_same(zeros + parts[0] + parts[1] + zeros, whole)
    np.testing.assert_allclose(whole.mean().extra["squares"] * 30, whole.extra["squares"])
