"""Gradients from flows are those that finite differences find, with leaves and pseudocount."""

import numpy as np
import pytest

from skpc.backends import log_weight_gradient, renormalise
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Statistics, Sum
from skpc.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Gamma,
    Gaussian,
    LogNormal,
    MultivariateGaussian,
    NegativeBinomial,
    Poisson,
)
from skpc.solvers import SGD, Adam, MiniBatchEM, SolverState
from skpc.solvers.coordinates import LARGEST_MOVE, Coordinates, gradient, moved
from tests import reference

every_circuit = pytest.mark.parametrize("name", sorted(reference.CIRCUITS))
every_solver = pytest.mark.parametrize(
    "solver",
    [Adam(0.05), SGD(0.3, momentum=0.5), SGD(0.5, natural=False)],
    ids=["adam", "natural", "sgd"],
)
MOST = 6  # coordinates that finite differences look at
FAMILIES = {
    "bernoulli": (Bernoulli(), lambda rng, n: rng.integers(0, 2, n)),
    "categorical": (Categorical(4), lambda rng, n: rng.integers(0, 4, n)),
    "binomial": (Binomial(5), lambda rng, n: rng.integers(0, 6, n)),
    "poisson": (Poisson(), lambda rng, n: rng.poisson(2, n)),
    "negative_binomial": (NegativeBinomial(3), lambda rng, n: rng.poisson(2, n)),
    "gaussian": (Gaussian(), lambda rng, n: rng.normal(size=n)),
    "log_normal": (LogNormal(), lambda rng, n: np.exp(rng.normal(size=n))),
    "gamma": (Gamma(), lambda rng, n: rng.gamma(2.0, size=n)),
    "beta": (Beta(), lambda rng, n: rng.beta(2.0, 3.0, size=n)),
}


def rows_of(parameters, n_rows=40, seed=2):
    rng = np.random.default_rng(seed)
    return reference.random_rows(parameters.program.circuit, rng, n_rows)


def backend_of(parameters):
    return NumbaBackend(parameters.program, np.float64)


def step(solver, state, parameters, evidence):
    top_down = backend_of(parameters).top_down(parameters)
    return solver.update(state, parameters, evidence, top_down)


def log_likelihood(parameters, X):
    """Of the normalised circuit, mean, nats; the partition function by the tests' own rule."""
    nothing = np.full((1, X.shape[1]), np.nan)
    log_z = reference.log_likelihood(parameters, nothing)[0]
    return reference.log_likelihood(parameters, X).mean() - log_z


def central_difference(function, step=1e-5):
    return (function(step) - function(-step)) / (2 * step)


def some(array, rng):
    places = np.argwhere(np.ones(array.shape))
    return [tuple(at) for at in rng.permutation(places)[:MOST]]


def with_leaf_moved(parameters, f, at, step):
    new, family = parameters.copy(), parameters.program.families[f]
    coordinates = family.to_unconstrained(new.leaves[f])
    coordinates[at] += step
    new.leaves[f] = family.from_unconstrained(coordinates)
    return new


@every_circuit
def test_gradient_of_log_weights(name):
    parameters = reference.make(name)
    X = rows_of(parameters)
    actual = gradient(parameters, backend_of(parameters).statistics(parameters, X).mean())
    tied = parameters.program.circuit.is_tied

    def objective(at, step):
        new = parameters.copy()
        new.weights[at] *= np.exp(step)
        if tied:
            new.weights /= new.program.spread_rows(new.row_sums())
        return log_likelihood(new, X)

    for at in some(parameters.weights, np.random.default_rng(0)):
        numerical = central_difference(lambda step, at=at: objective(at, step))
        assert actual.weights[at] == pytest.approx(numerical, rel=1e-6, abs=1e-9)


@every_circuit
def test_gradient_of_leaves(name):
    parameters = reference.make(name)
    X = rows_of(parameters)
    actual = gradient(parameters, backend_of(parameters).statistics(parameters, X).mean())
    for f, leaf in enumerate(actual.leaves):
        for at in some(leaf, np.random.default_rng(0)):
            numerical = central_difference(
                lambda step, f=f, at=at: log_likelihood(with_leaf_moved(parameters, f, at, step), X)
            )
            assert leaf[at] == pytest.approx(numerical, rel=1e-6, abs=1e-9)


def two_columns(family, tied):
    low = [Input(0, family, 2), None]
    low[1] = Input(1, family, 2, share=low[0] if tied else None)
    return Circuit(Sum(Product([low[0], Sum(low[1], 2)])))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family_name", FAMILIES)
def test_gradient_of_every_family(family_name, tied):
    family, draw = FAMILIES[family_name]
    rng = np.random.default_rng(1)
    program = Program(two_columns(family, tied))
    X = np.column_stack([draw(rng, 15), draw(rng, 15)]).astype(float)
    X[0, 0] = X[1, 1] = np.nan
    prior = family.moments_prior(X.ravel())
    leaves = [family.random_mean(prior, n, rng) for n in program.family_units]
    parameters = Parameters.uniform(program)
    parameters = Parameters(program, parameters.weights, leaves)
    backend = backend_of(parameters)
    actual = gradient(parameters, backend.statistics(parameters, X).mean())
    for at in some(actual.leaves[0], rng):
        numerical = central_difference(
            lambda step, at=at: backend.log_likelihood(
                with_leaf_moved(parameters, 0, at, step), X
            ).mean()
        )
        assert actual.leaves[0][at] == pytest.approx(numerical, rel=2e-6, abs=1e-8)


def test_gradient_of_groups_with_holes():
    group = MultivariateGaussian(2)
    pair = Input((0, 1), group, 2)
    program = Program(Circuit(Sum(Product([pair, Sum(Input(2, Bernoulli(), 2), 2)]))))
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=(15, 2)), rng.integers(0, 2, 15)])
    X[0, 0] = X[1, 1] = X[2, 2] = np.nan
    parameters = Parameters.uniform(program)
    f = program.families.index(group)
    parameters.leaves[f] = group.random_mean(group.moments_prior(X[:, :2]), 2, rng)
    backend = backend_of(parameters)
    actual = gradient(parameters, backend.statistics(parameters, X).mean())
    free = np.abs(actual.leaves[f]).max(axis=0) > 0
    assert free.sum() >= 5
    for at in some(actual.leaves[f], rng):
        numerical = central_difference(
            lambda step, at=at: backend.log_likelihood(
                with_leaf_moved(parameters, f, at, step), X
            ).mean()
        )
        assert actual.leaves[f][at] == pytest.approx(numerical, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", sorted(reference.UNTIED))
def test_without_pseudocount_it_is_flow_minus_expected_use(name):
    parameters = reference.make(name)
    backend = backend_of(parameters)
    evidence = backend.statistics(parameters, rows_of(parameters)).mean()
    use = parameters.program.spread_rows(backend.top_down(parameters).rows)
    expected = evidence.flows - use * parameters.weights
    actual = log_weight_gradient(parameters, evidence.flows)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["tree", "dag", "block", "mixing", "kronecker", "scalar"])
def test_a_pseudocount_adds_the_gradient_of_its_log_prior(name):
    """Σ a_nc log θ'_nc of the renormalised weights, which depend on all weights below."""
    parameters = reference.make(name)
    flows = np.random.default_rng(4).random(parameters.program.n_weights)
    actual = log_weight_gradient(parameters, flows)

    def objective(at, step):
        new = parameters.copy()
        new.weights[at] *= np.exp(step)
        return flows @ np.log(renormalise(new).weights)

    for at in some(parameters.weights, np.random.default_rng(0)):
        numerical = central_difference(lambda step, at=at: objective(at, step))
        assert actual[at] == pytest.approx(numerical, rel=1e-6, abs=1e-8)


@every_circuit
@pytest.mark.parametrize("evidence", ["no rows", "all cells missing"])
def test_nothing_seen_has_no_gradient(name, evidence):
    parameters = reference.make(name)
    statistics = Statistics.zeros(parameters.program)
    if evidence != "no rows":
        X = np.full((3, parameters.program.n_variables), np.nan)
        statistics = backend_of(parameters).statistics(parameters, X)
    actual = gradient(parameters, statistics.mean())
    assert actual.norm() < 1e-12


def at_a_corner(name):
    return reference.make(name, zero_fraction=0.4)


@every_circuit
def test_zeros_stay_zero_and_nothing_becomes_nan(name):
    parameters = at_a_corner(name)
    X = rows_of(parameters)
    X = X[~np.isneginf(reference.log_likelihood(parameters, X))]
    backend = backend_of(parameters)
    for solver in (Adam(0.05, weight_decay=0.1), SGD(0.5, weight_decay=0.1)):
        state, new = SolverState(), parameters
        for _ in range(3):
            evidence = backend.statistics(new, X).mean()
            # A pseudocount reaches zeros too.
            evidence.flows += 1e-3
            state, new = step(solver, state, new, evidence)
        np.testing.assert_array_equal(new.weights == 0, parameters.weights == 0)
        np.testing.assert_allclose(new.row_sums(), 1.0, rtol=1e-12)
        assert np.isfinite(new.weights).all()
        for mine, before in zip(new.leaves, parameters.leaves, strict=True):
            assert np.isfinite(mine).all()
            np.testing.assert_array_equal(mine == 0, before == 0)


@every_circuit
def test_after_a_move_weights_are_those_of_the_same_distribution_normalised(name):
    parameters = reference.make(name)
    rng = np.random.default_rng(0)
    move = Coordinates(
        0.2 * rng.normal(size=parameters.weights.shape),
        [0.1 * rng.normal(size=m.shape) for m in parameters.leaves],
    )
    there = moved(parameters, move)
    np.testing.assert_allclose(there.row_sums(), 1.0, rtol=1e-12)
    X = rows_of(parameters, 10)
    raw = Parameters(parameters.program, parameters.weights * np.exp(move.weights), there.leaves)
    if parameters.program.circuit.is_tied:
        raw.weights /= raw.program.spread_rows(raw.row_sums())
    expected = reference.statistics(raw, X)
    np.testing.assert_allclose(
        reference.statistics(there, X).flows, expected.flows, rtol=1e-9, atol=1e-13
    )
    assert np.abs(there.leaves[0] - parameters.leaves[0]).max() > 1e-4


def test_no_coordinate_moves_further_than_the_limit():
    parameters = reference.make("single_input")
    far = Coordinates(1e9 * np.ones(0), [np.array([[1e9, 0.0, 0.0, -1e9]])])
    odds = np.log(moved(parameters, far).leaves[0] / parameters.leaves[0])
    assert odds[0, 0] - odds[0, 3] == pytest.approx(2 * LARGEST_MOVE)


# -- the steps --------------------------------------------------------------------------------


def textbook_adam(gradients, step, beta_1, beta_2, epsilon):
    """Algorithm 1 of Kingma and Ba, on a flat vector; moves uphill."""
    m = v = 0.0
    moves = []
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
        moves.append(step * m_hat / (np.sqrt(v_hat) + epsilon))
    return moves


def random_slopes(n):
    rng = np.random.default_rng(5)
    return [Coordinates(rng.normal(size=7), [rng.normal(size=(3, 2))]) for _ in range(n)]


def flat(coordinates):
    return np.concatenate([coordinates.weights, *(x.ravel() for x in coordinates.leaves)])


def test_adam_is_that_of_the_textbook():
    solver, state = Adam(0.05, beta_1=0.8, beta_2=0.95, epsilon=1e-3), SolverState()
    slopes = random_slopes(6)
    expected = textbook_adam([flat(g) for g in slopes], 0.05, 0.8, 0.95, 1e-3)
    for slope, move in zip(slopes, expected):
        direction, arrays = solver.direction(slope, state)
        np.testing.assert_allclose(0.05 * flat(direction), move, rtol=1e-12)
        state = state.advanced(arrays)


def test_sgd_goes_along_the_corrected_running_mean():
    solver, state, mean = SGD(momentum=0.7), SolverState(), 0.0
    for t, slope in enumerate(random_slopes(4), start=1):
        mean = 0.7 * mean + 0.3 * flat(slope)
        direction, arrays = solver.direction(slope, state)
        np.testing.assert_allclose(flat(direction), mean / (1 - 0.7**t), rtol=1e-12)
        state = state.advanced(arrays)


def test_sgd_without_momentum_remembers_nothing():
    slope = random_slopes(1)[0]
    direction, arrays = SGD(momentum=0.0).direction(slope, SolverState())
    assert direction.weights is slope.weights
    assert arrays == {}


@pytest.mark.parametrize("name", ["tree", "hmm"])
def test_a_small_step_of_sgd_is_the_gradient_times_the_step(name):
    parameters = reference.make(name)
    evidence = backend_of(parameters).statistics(parameters, rows_of(parameters)).mean()
    slope = gradient(parameters, evidence)
    _, new = SGD(1e-4, schedule="constant", natural=False).update(
        SolverState(), parameters, evidence, None
    )
    expected = moved(parameters, slope.scaled(1e-4))
    np.testing.assert_allclose(new.weights, expected.weights, rtol=1e-14)
    assert np.abs(new.weights - parameters.weights).max() > 0


def test_clipping_shortens_long_gradients_only():
    parameters = reference.make("tree")
    evidence = backend_of(parameters).statistics(parameters, rows_of(parameters)).mean()
    norm = gradient(parameters, evidence).norm()
    assert norm > 0.01

    def after(**settings):
        solver = SGD(1.0, schedule="constant", momentum=0, natural=False, **settings)
        return step(solver, SolverState(), parameters, evidence)[1].weights

    np.testing.assert_array_equal(after(), after(clipping=2 * norm))
    shorter = SGD(0.5, schedule="constant", momentum=0, natural=False)
    half = step(shorter, SolverState(), parameters, evidence)[1].weights
    np.testing.assert_allclose(after(clipping=norm / 2), half, rtol=1e-12)


@every_solver
def test_weight_decay_draws_weights_towards_equal_ones(solver):
    parameters = reference.make("tree")
    nothing = Statistics.zeros(parameters.program).mean()
    plain = step(solver, SolverState(), parameters, nothing)[1]
    np.testing.assert_allclose(plain.weights, parameters.weights, rtol=1e-12)
    decayed = step(solver.set_params(weight_decay=0.2), SolverState(), parameters, nothing)[1]
    solver.set_params(weight_decay=0.0)
    uniform = 1 / parameters.program.spread_rows(parameters.program.row_length.astype(float))
    assert np.abs(decayed.weights - uniform).sum() < np.abs(parameters.weights - uniform).sum()
    np.testing.assert_array_equal(decayed.leaves[0], plain.leaves[0])


@every_solver
@every_circuit
def test_likelihood_rises(solver, name):
    parameters = reference.make(name)
    X, backend = rows_of(parameters), backend_of(parameters)
    before, state = log_likelihood(parameters, X), SolverState(horizon=30)
    for _ in range(30):
        evidence = backend.statistics(parameters, X).mean()
        state, parameters = step(solver, state, parameters, evidence)
    assert log_likelihood(parameters, X) > before + 0.01


@every_solver
def test_arguments_are_left_alone(solver):
    parameters = reference.make("tree")
    evidence = backend_of(parameters).statistics(parameters, rows_of(parameters)).mean()
    state = step(solver, SolverState(3, 10), parameters, evidence)[0]
    assert (state.step, state.horizon) == (4, 10)
    copies = parameters.copy(), evidence.scaled(1.0), {k: v.copy() for k, v in state.arrays.items()}
    step(solver, state, parameters, evidence)
    np.testing.assert_array_equal(parameters.weights, copies[0].weights)
    np.testing.assert_array_equal(parameters.leaves[0], copies[0].leaves[0])
    np.testing.assert_array_equal(evidence.flows, copies[1].flows)
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(array, copies[2][name])


@every_solver
def test_a_part_of_a_batch_moves_by_its_share(solver):
    """Without memory; moments of parts count by their share, as those of flows do."""
    plain = SGD(0.5, schedule="constant", momentum=0, natural=False)
    parameters = reference.make("tree")
    evidence = backend_of(parameters).statistics(parameters, rows_of(parameters)).mean()
    part = step(plain, SolverState(share=0.25), parameters, evidence)[1]
    quarter = SGD(0.125, schedule="constant", momentum=0, natural=False)
    expected = step(quarter, SolverState(), parameters, evidence)[1]
    np.testing.assert_allclose(part.weights, expected.weights, rtol=1e-13)

    whole, parts = SolverState(), SolverState(share=0.25)
    whole, _ = step(solver, whole, parameters, evidence)
    for _ in range(4):
        parts, _ = step(solver, parts, parameters, evidence)
    for name, array in whole.arrays.items():
        np.testing.assert_allclose(parts.arrays[name], array, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("name", ["tree", "dag", "kronecker", "hmm", "mixed_families"])
def test_a_small_natural_step_is_a_small_step_of_em(name):
    """Where a unit counts with its use by the batch alone."""
    parameters = reference.make(name)
    evidence = backend_of(parameters).statistics(parameters, rows_of(parameters)).mean()
    top_down = backend_of(parameters).top_down(parameters)
    nowhere = type(top_down)(0 * top_down.rows, [0 * use for use in top_down.leaves])
    small = {"step_size": 1e-6, "min_step_size": 1e-6, "schedule": "constant"}
    sgd = SGD(momentum=0, **small).update(SolverState(), parameters, evidence, nowhere)[1]
    em = MiniBatchEM(**small).update(SolverState(), parameters, evidence, None)[1]
    for mine, other, old in zip(sgd.leaves, em.leaves, parameters.leaves, strict=True):
        assert np.abs(other - old).max() > 1e-8
        np.testing.assert_allclose(mine - old, other - old, rtol=1e-3, atol=1e-11)
    np.testing.assert_allclose(
        sgd.weights - parameters.weights, em.weights - parameters.weights, rtol=1e-3, atol=1e-11
    )
