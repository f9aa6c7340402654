"""The closed form and its multiplier, on every circuit; against EM where they meet."""

import numpy as np
import pytest

from skpc import PCDensityEstimator
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Statistics
from skpc.solvers import EM, SharpnessEM, SolverState, resolve_solver
from skpc.solvers.sharpness_em import multipliers, penalised
from skpc.training import ArraySource, train
from skpc.training.updates import learn_batch
from tests import reference

every_circuit = pytest.mark.parametrize("name", sorted(reference.UNTIED))
every_form = pytest.mark.parametrize("form", ["published", "exact"])
MU = [1e-6, 0.01, 1.0, 30.0, 1e9, 1e100]


def rows_of(parameters, n_rows=60, seed=2):
    rng = np.random.default_rng(seed)
    return reference.random_rows(parameters.program.circuit, rng, n_rows)


def sums_of(parameters, X, weight=None):
    return NumbaBackend(parameters.program, np.float64, 1).statistics(parameters, X, weight)


def updated(solver, parameters, sums):
    state = SolverState(total_weight=sums.weight)
    return learn_batch(None, parameters, state, solver, sums.scaled(1.0), None)[1]  # they are lost


def whole(mu, form="published"):
    return SharpnessEM(mu, form, step_size=1.0, full_batch=True, schedule="constant")


def assert_same(actual, expected, rtol=1e-9):
    np.testing.assert_allclose(actual.weights, expected.weights, rtol, atol=1e-13)
    for mine, other in zip(actual.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(mine, other, rtol, atol=1e-13)


# -- the closed form --------------------------------------------------------------------------


@every_circuit
@pytest.mark.parametrize("mu", [0.0, *MU])
def test_the_exact_weights_solve_the_quadratic_and_add_up_to_one(name, mu):
    parameters = reference.make(name)
    program = parameters.program
    if not program.n_weights:
        return
    flows = sums_of(parameters, rows_of(parameters)).flows
    share = flows / program.spread_rows(program.row_sums(flows))
    value = program.spread_rows(multipliers(program, share, mu))
    weights = penalised(share, value * mu) / (2 * value)
    np.testing.assert_allclose(program.row_sums(weights), 1.0, rtol=1e-12)
    residual = value * weights**2 - share * weights - mu * share
    assert np.abs(residual).max() <= 1e-12 * max(1.0, mu)
    # The optimality of Σ q log θ - μ Σ q / θ under Σ θ = 1: one λ for all edges of a unit.
    at = share > 1e-12
    slope = share[at] / weights[at] + mu * share[at] / weights[at] ** 2
    np.testing.assert_allclose(slope, value[at], rtol=1e-9)
    new = updated(whole(mu, "exact"), parameters, sums_of(parameters, rows_of(parameters)))
    np.testing.assert_allclose(new.weights, weights, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("mu", MU)
def test_the_published_weights_are_the_formula_with_the_multiplier_one(mu):
    parameters = reference.make("dag")
    program = parameters.program
    sums = sums_of(parameters, rows_of(parameters))
    with np.errstate(over="ignore"):
        raw = (sums.flows + np.sqrt(sums.flows**2 + 4 * mu * sums.flows)) / 2
    new = updated(whole(mu), parameters, sums)
    expected = raw / program.spread_rows(program.row_sums(raw))
    np.testing.assert_allclose(new.weights, expected, rtol=1e-10)


@every_form
@every_circuit
def test_without_penalty_it_is_em(name, form):
    parameters = reference.make(name)
    sums = sums_of(parameters, rows_of(parameters))
    expected = updated(EM(), parameters, sums)
    assert_same(updated(whole(0.0, form), parameters, sums), expected)
    assert_same(updated(whole(1e-12, form), parameters, sums), expected, rtol=1e-5)
    solver = SharpnessEM(0.0, form, step_size=0.5, schedule="constant")
    half = updated(solver, parameters, sums)
    np.testing.assert_allclose(
        half.weights, (parameters.weights + expected.weights) / 2, rtol=1e-9, atol=1e-14
    )


@every_form
@every_circuit
def test_a_large_penalty_takes_the_roots_of_the_flows_and_comes_to_equal_weights(name, form):
    parameters = reference.make(name)
    program = parameters.program
    sums = sums_of(parameters, rows_of(parameters))
    new = updated(whole(1e30, form), parameters, sums)
    root = np.sqrt(sums.flows)
    expected = root / program.spread_rows(program.row_sums(root))
    np.testing.assert_allclose(new.weights, expected, rtol=1e-6)
    # Where flows are proportional to the weights, as in rows without cells, every update takes
    # the root of the weights.
    nothing = np.full((1, program.n_variables), np.nan)
    for _ in range(60):
        new = updated(whole(1e30, form), new, sums_of(new, nothing))
    equal = 1 / program.spread_rows(program.row_length.astype(float))
    np.testing.assert_allclose(new.weights, equal, rtol=1e-6)


@every_circuit
def test_the_exact_form_does_not_see_how_many_rows_there_are(name):
    parameters = reference.make(name)
    sums = sums_of(parameters, rows_of(parameters))
    expected = updated(whole(0.3, "exact"), parameters, sums)
    for factor in (1e-6, 7.0, 1e6):
        assert_same(updated(whole(0.3, "exact"), parameters, sums.scaled(factor)), expected)


@every_form
def test_weights_are_repeated_rows(form):
    parameters = reference.make("kronecker")
    X = rows_of(parameters, 20)
    weight = np.random.default_rng(0).integers(0, 4, 20).astype(float)
    repeated = np.repeat(X, weight.astype(int), axis=0)
    assert_same(
        updated(whole(0.5, form), parameters, sums_of(parameters, X, weight)),
        updated(whole(0.5, form), parameters, sums_of(parameters, repeated)),
    )


@every_form
def test_small_weights_are_lifted_and_zeros_stay(form):
    parameters = reference.make("tree", zero_fraction=0.4)
    X = rows_of(parameters)
    X = X[np.isfinite(reference.log_likelihood(parameters, X))]
    sums = sums_of(parameters, X)
    plain, new = (updated(whole(mu, form), parameters, sums).weights for mu in (0.0, 0.5))
    assert (new[parameters.weights == 0] == 0).all()
    program = parameters.program
    used = program.row_sums(sums.flows) > 1e-3
    for before, after in ((plain, new),):
        entropy = [-program.row_sums(w * np.log(np.where(w > 0, w, 1))) for w in (before, after)]
        assert (entropy[1][used] >= entropy[0][used] - 1e-12).all()


@every_form
@pytest.mark.parametrize("scale", [1.0, 1e-300, 5e-324, 0.0])
def test_units_without_flow_keep_their_parameters(form, scale):
    parameters = reference.make("tree")
    sums = sums_of(parameters, rows_of(parameters))
    few = Statistics(0.0, 1.0, sums.flows * scale, [leaf * scale for leaf in sums.leaves])
    new = updated(whole(2.0, form), parameters, few)
    np.testing.assert_allclose(new.row_sums(), 1.0, rtol=1e-9)
    if scale < 1e-300:
        assert_same(new, parameters)


# -- in training ----------------------------------------------------------------------------


def problem():
    parameters = reference.make("tree")
    return NumbaBackend(parameters.program, np.float64, 1), parameters, rows_of(parameters, 40)


def test_a_sequence_is_walked_through_during_the_training():
    backend, parameters, X = problem()
    moving, still = (
        train(backend, parameters, ArraySource(X), whole(mu), max_iter=3).parameters
        for mu in ([5.0, 0.0], 5.0)
    )
    state = SolverState(horizon=3, total_weight=40.0)
    expected = parameters
    for mu in (5.0, 2.5, 0.0):
        statistics = backend.statistics(expected, X)
        _, expected = learn_batch(backend, expected, state, whole(mu), statistics, None)
    assert_same(moving, expected)
    assert np.abs(moving.weights - still.weights).max() > 1e-3


def test_the_automatic_strength_grows_with_overfitting_and_not_with_the_rows():
    _, parameters, X = problem()
    sums = sums_of(parameters, X)
    plain = updated(whole(0.0), parameters, sums).weights
    for form in ("published", "exact"):
        distance = []
        for overfitting in (-1.0, 0.5, None, 0.8, 1.0, 7.0):
            state = SolverState(total_weight=sums.weight, overfitting=overfitting)
            copied = sums.scaled(1.0)
            _, new = learn_batch(None, parameters, state, whole("auto", form), copied, None)
            distance.append(np.abs(new.weights - plain).sum())
        assert distance[0] < 1e-12
        assert distance[1] == distance[2]
        assert (np.diff(distance[1:]) >= 0).all() and distance[3] > 1.2 * distance[2]
        assert distance[4] == distance[5]
        many = updated(whole("auto", form), parameters, sums.scaled(100.0))
        assert_same(many, updated(whole("auto", form), parameters, sums))


def test_batches_count_as_the_rows_they_stand_for():
    """Half of the rows, all alike, teach what all of them teach."""
    backend, parameters, X = problem()
    X = np.repeat(X[1:2], 40, axis=0)
    solver = SharpnessEM(0.5, step_size=1.0, schedule="constant")
    rng = np.random.default_rng(0)
    once = train(backend, parameters, ArraySource(X), whole(0.5), max_iter=2).parameters
    halves = train(
        backend, parameters, ArraySource(X), solver, batch_size=20, max_iter=1, rng=rng
    ).parameters
    assert_same(halves, once)


def test_a_stream_learns_with_all_rows_so_far():
    X = np.random.default_rng(0).integers(0, 2, (400, 4)).astype(float)
    with pytest.raises(AttributeError, match="partial_fit"):
        PCDensityEstimator(solver=SharpnessEM(full_batch=True)).partial_fit(X)
    made = []
    for mu in (0.0, 20.0):
        solver = SharpnessEM(mu, step_size=0.1, schedule="constant")
        model = PCDensityEstimator(
            "hclt", solver, n_components=3, random_state=0, structure_rows=100, n_jobs=1
        )
        for part in (X[:150], X[150:]):
            model.partial_fit(part)
        made.append(model.parameters_)
    assert np.abs(made[0].weights - made[1].weights).max() > 1e-3


def test_the_name_stands_for_a_training_that_gets_as_far_as_others():
    """One damped update a pass would hardly move."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 4, 1500)
    X = (rng.random((1500, 12)) < rng.random((4, 12))[z]).astype(np.uint8)
    common = {"n_components": 4, "max_iter": 10, "random_state": 0, "n_jobs": 1}
    usual, named = (
        PCDensityEstimator("hclt", solver, **common).fit(X[:1000]).score(X[1000:])
        for solver in ("anemone", "sharpness_em")
    )
    assert named == pytest.approx(usual, abs=0.03)
    published = SharpnessEM(0.1, step_size=0.1, schedule="constant", full_batch=True)
    with pytest.warns(UserWarning, match="still rises"):
        few = PCDensityEstimator("hclt", published, **common).fit(X[:1000]).score(X[1000:])
    assert few < usual - 0.1


# -- refusals -------------------------------------------------------------------------------


def test_shared_weights_are_refused_before_any_work():
    tied = reference.hmm()
    with pytest.raises(
        ValueError, match=r"SharpnessEM cannot learn .* with shared weights.*homogeneous=False"
    ):
        PCDensityEstimator(tied, SharpnessEM()).fit(np.zeros((10, 5)))
    parameters = reference.make("hmm")
    backend = NumbaBackend(parameters.program, np.float64, 1)
    with pytest.raises(ValueError, match="shared weights"):
        train(backend, parameters, ArraySource(np.zeros((3, 5))), SharpnessEM())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mu": -0.1}, "mu=-0.1 must be"),
        ({"mu": [0.1, -1]}, "mu=.* must be"),
        ({"mu": []}, "mu=.* must be"),
        ({"mu": np.nan}, "mu=nan must be"),
        ({"mu": "large"}, "mu='large' must be"),
        ({"form": "closed"}, "form='closed' is not known"),
        ({"step_size": 0}, "step_size=0 must be"),
        ({"full_batch": "no"}, "full_batch='no' must be"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        resolve_solver(SharpnessEM(**changed))
