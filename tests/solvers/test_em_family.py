"""What anemone, mini-batch EM and full-batch EM promise, on every circuit, by enumeration."""

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Product, Program, Statistics, Sum
from skpc.distributions import Bernoulli, Categorical
from skpc.solvers import EM, Anemone, MiniBatchEM, SolverState, unit_steps
from skpc.training import smoothing_statistics
from tests import reference

SOLVERS = {
    "em": EM(),
    "minibatch_em": MiniBatchEM(0.3, schedule="constant", min_step_size=0.1),
    "anemone": Anemone(0.3, schedule="constant", min_step_size=0.1),
}
every_circuit = pytest.mark.parametrize("name", sorted(reference.CIRCUITS))
every_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
#: Only finite leaves, so that all states can be listed.
FINITE = sorted(set(reference.CIRCUITS) - {"mixed_families"})


def constant(kind, step):
    return kind(step, schedule="constant", min_step_size=step)


def rows_of(parameters, n_rows=60, seed=2):
    rng = np.random.default_rng(seed)
    return reference.random_rows(parameters.program.circuit, rng, n_rows)


def backend_of(parameters):
    return NumbaBackend(parameters.program, np.float64)


def evidence_of(parameters, X, sample_weight=None):
    return backend_of(parameters).statistics(parameters, X, sample_weight).mean()


def updated(solver, parameters, evidence, state=None):
    top_down = backend_of(parameters).top_down(parameters)
    return solver.update(state or SolverState(), parameters, evidence, top_down)[1]


def log_likelihood(parameters, X):
    return reference.log_likelihood(parameters, X).mean()


def assert_same_parameters(actual, expected, rtol=1e-10, atol=1e-13):
    np.testing.assert_allclose(actual.weights, expected.weights, rtol, atol)
    for mine, other in zip(actual.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(mine, other, rtol, atol)


@every_circuit
def test_em_normalises_the_flows(name):
    parameters = reference.make(name)
    X = rows_of(parameters)
    flows = reference.statistics(parameters, X)
    new = updated(EM(), parameters, evidence_of(parameters, X))
    for node in reference.owners(parameters.program.circuit.sums):
        flow = parameters.program.read_matrix(node, flows.flows)
        expected = flow / flow.sum(axis=1, keepdims=True)
        actual = parameters.program.read_matrix(node, new.weights)
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-14)
    for family, leaf, mean in zip(parameters.program.families, flows.leaves, new.leaves):
        np.testing.assert_allclose(mean, family.project(leaf[:, 1:] / leaf[:, :1]), rtol=1e-9)


@every_circuit
def test_one_em_step_whole_is_anemone_and_minibatch_em_with_step_one(name):
    parameters = reference.make(name)
    evidence = evidence_of(parameters, rows_of(parameters))
    expected = updated(EM(), parameters, evidence)
    for kind in (Anemone, MiniBatchEM):
        assert_same_parameters(updated(constant(kind, 1.0), parameters, evidence), expected)


@every_circuit
@pytest.mark.parametrize("kind", [Anemone, MiniBatchEM])
def test_a_vanishing_step_changes_nothing(kind, name):
    parameters = reference.make(name)
    evidence = evidence_of(parameters, rows_of(parameters))
    moved = updated(constant(kind, 0.5), parameters, evidence)
    assert np.abs(moved.leaves[0] - parameters.leaves[0]).max() > 1e-3
    kept = updated(constant(kind, 1e-13), parameters, evidence)
    assert_same_parameters(kept, parameters, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["tree", "dag", "kronecker", "hmm", "mixed_families"])
def test_at_the_root_anemone_is_minibatch_em(name):
    parameters = reference.make(name)
    evidence = evidence_of(parameters, rows_of(parameters))
    one, other = (
        updated(constant(kind, 0.3), parameters, evidence) for kind in (Anemone, MiniBatchEM)
    )
    root, read = parameters.program.circuit.root, parameters.program.read_matrix
    np.testing.assert_allclose(read(root, one.weights), read(root, other.weights), rtol=1e-12)
    assert np.abs(one.weights - other.weights).max() > 1e-4


@every_circuit
def test_anemone_is_minibatch_em_with_a_rate_for_every_unit(name):
    """a_n = αF̄_n / ((1 - α) TD(n) + αF̄_n)."""
    parameters = reference.make(name)
    program = parameters.program
    evidence = evidence_of(parameters, rows_of(parameters))
    new = updated(constant(Anemone, 0.3), parameters, evidence)
    flow = program.row_sums(evidence.flows)
    top_down = backend_of(parameters).top_down(parameters)
    rate = 0.3 * flow / (0.7 * top_down.rows + 0.3 * flow)
    steps = unit_steps(0.3, parameters, evidence, top_down)
    np.testing.assert_allclose(steps.rows, rate, rtol=1e-12)
    for own, leaf, use in zip(steps.leaves, evidence.leaves, top_down.leaves, strict=True):
        np.testing.assert_allclose(own, 0.3 * leaf[:, 0] / (0.7 * use + 0.3 * leaf[:, 0]))
    em = evidence.flows / program.spread_rows(flow)
    share = program.spread_rows(rate)
    expected = (1 - share) * parameters.weights + share * em
    np.testing.assert_allclose(new.weights, expected, rtol=1e-10, atol=1e-14)


@every_solver
@pytest.mark.parametrize("name", FINITE)
def test_the_circuits_own_distribution_is_a_fixed_point(solver, name):
    parameters = reference.make(name)
    states = reference.all_states(parameters.program.circuit)
    probability = np.exp(reference.log_likelihood(parameters, states))
    assert probability.sum() == pytest.approx(1)
    evidence = evidence_of(parameters, states, probability)
    assert_same_parameters(updated(solver, parameters, evidence), parameters, rtol=1e-9)


@every_solver
@every_circuit
@pytest.mark.parametrize("zero_fraction", [0.0, 0.4])
def test_no_solver_lowers_the_likelihood_of_the_batch_it_used(solver, name, zero_fraction):
    """The property of a generalised EM step; for EM on all rows, monotone learning."""
    parameters = reference.make(name, zero_fraction=zero_fraction)
    X = rows_of(parameters, 25)
    X = X[~np.isneginf(reference.log_likelihood(parameters, X))]
    before = log_likelihood(parameters, X)
    for _ in range(4):
        parameters = updated(solver, parameters, evidence_of(parameters, X))
        after = log_likelihood(parameters, X)
        assert after >= before - 1e-12
        before = after


@pytest.mark.parametrize("name", ["tree", "dag", "block", "mixing", "kronecker", "hmm", "scalar"])
def test_joint_divergence_is_a_sum_over_units(name):
    """KL(p(X,Z) || p'(X,Z)) = Σ TD(n) KL(θ_n || θ'_n) + Σ TD(leaf) KL(leaf || leaf')."""
    old = reference.make(name)
    top_down = backend_of(old).top_down(old)
    evidence = evidence_of(old, rows_of(old))
    new = updated(constant(Anemone, 0.3), old, evidence)
    by_unit = top_down.rows @ old.program.row_sums(
        old.weights * (np.log(old.weights) - np.log(new.weights))
    )
    for f, family in enumerate(old.program.families):
        by_unit += top_down.leaves[f] @ family.kl(old.leaves[f], new.leaves[f])

    trees, others = reference.induced_trees(old), reference.induced_trees(new)
    assert trees.edges == others.edges
    by_tree = 0.0
    for log_weight, other, leaves in zip(trees.log_weight, others.log_weight, trees.leaves):
        divergence = log_weight - other
        for leaf, k in leaves:
            family, where = old.program.input_slice(reference.owner(leaf))
            mean, moved = old.leaves[family][where][k], new.leaves[family][where][k]
            divergence += leaf.distribution.kl(mean, moved)
        by_tree += np.exp(log_weight) * divergence
    assert by_unit > 1e-3
    assert by_unit == pytest.approx(by_tree, rel=1e-9)


def expected_log_joint(trees, posterior, parameters, X):
    """Mean over rows of Σ_z posterior(z | x) log p'(x, z), z the induced trees."""
    density = {
        leaf: reference.leaf_log_density(parameters, leaf, X)
        for leaf in parameters.program.circuit.inputs
    }
    total = 0.0
    for share, edges, leaves in zip(posterior, trees.edges, trees.leaves):
        log_joint = sum(density[leaf][k] for leaf, k in leaves)
        for node, k, c in edges:
            log_joint = log_joint + np.log(reference.weights_of(parameters, node)[k, c])
        total += (share * log_joint).mean()
    return total


@pytest.mark.parametrize("name", ["tree", "scalar", "kronecker", "hmm"])
def test_anemone_is_the_best_trade_between_batch_and_joint_divergence(name):
    """max over p' of α E_posterior log p'(x, z) - (1 - α) KL(p(X, Z) || p'(X, Z))."""
    old, alpha = reference.make(name), 0.3
    X, trees = rows_of(old, 12), reference.induced_trees(old)
    states = reference.all_states(old.program.circuit)

    def masses(rows):
        density = {i: reference.leaf_log_density(old, i, rows) for i in old.program.circuit.inputs}
        return [
            np.exp(log_weight + sum(density[leaf][k] for leaf, k in leaves))
            for log_weight, leaves in zip(trees.log_weight, trees.leaves)
        ]

    joint, mass = masses(states), masses(X)
    total = np.sum(mass, axis=0)
    posterior = [part / total for part in mass]

    def objective(new):
        batch = expected_log_joint(trees, posterior, new, X)
        # The divergence, but for what does not depend on p'.
        itself = len(states) * expected_log_joint(trees, joint, new, states)
        return alpha * batch + (1 - alpha) * itself

    best = updated(constant(Anemone, alpha), old, evidence_of(old, X))
    highest, rng = objective(best), np.random.default_rng(0)
    assert highest > objective(old) + 1e-4
    for _ in range(5):
        other = best.copy()
        other.weights *= np.exp(0.1 * rng.normal(size=other.weights.shape))
        other.weights /= other.program.spread_rows(other.row_sums())
        assert objective(other) < highest
        other = best.copy()
        for f, family in enumerate(other.program.families):
            coordinates = family.to_unconstrained(other.leaves[f])
            coordinates += 0.1 * rng.normal(size=coordinates.shape)
            other.leaves[f] = family.from_unconstrained(coordinates)
        assert objective(other) < highest


@pytest.mark.parametrize("name", ["tree", "dag", "mixing", "kronecker", "hmm"])
def test_with_a_pseudocount_em_raises_the_penalised_likelihood(name):
    """mean log p + Σ a_nc log θ_nc + Σ a E_prior[log leaf]; that of the data alone may fall."""
    parameters = reference.make(name)
    X, program = rows_of(parameters, 15), parameters.program
    priors = [np.tile(f.uniform_prior(), (n, 1))
              for f, n in zip(program.families, program.family_units)]  # fmt: skip
    smoothing = smoothing_statistics(program, 5.0, len(X), priors)

    def objective(new):
        total = log_likelihood(new, X) + smoothing.flows @ np.log(new.weights)
        for family, mean, a, prior in zip(program.families, new.leaves, smoothing.leaves, priors):
            log_p = family.log_probabilities(mean)
            total += (a[:, :1] * family.probabilities(prior) * log_p).sum()
        return total

    before = start = objective(parameters)
    for _ in range(5):
        parameters = updated(EM(), parameters, evidence_of(parameters, X) + smoothing)
        after = objective(parameters)
        assert after >= before - 1e-12
        before = after
    assert before > start + 1e-2


@every_solver
@pytest.mark.parametrize("name", ["tree", "kronecker", "mixed_families"])
def test_weights_are_repeated_rows_and_only_means_count(solver, name):
    parameters = reference.make(name)
    X = rows_of(parameters, 20)
    weight = np.random.default_rng(0).integers(0, 4, 20).astype(float)
    expected = updated(solver, parameters, evidence_of(parameters, X, weight))
    repeated = np.repeat(X, weight.astype(int), axis=0)
    assert_same_parameters(updated(solver, parameters, evidence_of(parameters, repeated)), expected)
    many = np.tile(repeated, (7, 1))
    assert_same_parameters(updated(solver, parameters, evidence_of(parameters, many)), expected)


@every_solver
@every_circuit
def test_zero_weights_stay_zero_and_rows_stay_normalised(solver, name):
    parameters = reference.make(name, zero_fraction=0.4)
    X = rows_of(parameters)
    new = updated(solver, parameters, evidence_of(parameters, X))
    assert (new.weights[parameters.weights == 0] == 0).all()
    np.testing.assert_allclose(new.row_sums(), 1.0, rtol=1e-12)


def unreachable_unit():
    """The second unit of the lower sum has weight zero above it."""
    leaf = Input(0, Bernoulli(), 2, mean=[0.2, 0.9])
    low = Sum(leaf, 2, weights=[[0.5, 0.5], [0.3, 0.7]])
    other = Input(0, Bernoulli(), 1, mean=[0.4])
    return Circuit(Sum([low, other], 1, weights=[[0.6, 0.0, 0.4]])), low


@every_solver
def test_a_unit_without_use_or_flow_keeps_its_parameters(solver):
    circuit, low = unreachable_unit()
    parameters = reference.make(circuit)
    parameters.take_node_values()
    evidence = evidence_of(parameters, np.array([[1.0], [1.0], [0.0]]))
    new = parameters.program.read_matrix(low, updated(solver, parameters, evidence).weights)
    np.testing.assert_array_equal(new[1], [0.3, 0.7])
    assert abs(new[0, 0] - 0.5) > 0.01


@every_solver
@pytest.mark.parametrize("scale", [1e-305, 1e-309, 5e-324])
def test_flows_too_small_to_divide_by_leave_finite_parameters(solver, scale):
    parameters = reference.make("tree")
    evidence = evidence_of(parameters, rows_of(parameters)).scaled(scale)
    new = updated(solver, parameters, evidence)
    np.testing.assert_allclose(new.row_sums(), 1.0, rtol=1e-9)
    assert ((new.leaves[0] >= 0) & (new.leaves[0] <= 1)).all()


@every_solver
def test_no_evidence_at_all_keeps_everything(solver):
    parameters = reference.make("mixed_families")
    nothing = Statistics.zeros(parameters.program).mean()
    assert_same_parameters(updated(solver, parameters, nothing), parameters)


@every_solver
def test_arguments_are_left_alone(solver):
    parameters = reference.make("tree")
    evidence, state = evidence_of(parameters, rows_of(parameters)), SolverState(3, 10)
    copies = parameters.copy(), evidence.scaled(1.0)
    updated(solver, parameters, evidence, state)
    np.testing.assert_array_equal(parameters.weights, copies[0].weights)
    np.testing.assert_array_equal(parameters.leaves[0], copies[0].leaves[0])
    np.testing.assert_array_equal(evidence.flows, copies[1].flows)
    np.testing.assert_array_equal(evidence.leaves[0], copies[1].leaves[0])
    assert state == SolverState(3, 10)


@every_solver
def test_the_state_counts_updates_and_keeps_the_horizon(solver):
    parameters = reference.make("tree")
    evidence = evidence_of(parameters, rows_of(parameters))
    top_down = backend_of(parameters).top_down(parameters)
    state, _ = solver.update(SolverState(3, 10), parameters, evidence, top_down)
    assert (state.step, state.horizon) == (4, 10)


# -- tied parameters ----------------------------------------------------------------------


def untied_twin(parameters):
    """The HMM with a transition matrix and an emission of its own at every step."""
    tied = parameters.program.circuit
    copy = reference.chain(5, 2, lambda i, k: Input(i, Categorical(3), k))
    twin = reference.make(copy)
    for node, source in zip(copy.sums, tied.sums, strict=True):
        matrix = parameters.program.read_matrix(source, parameters.weights)
        twin.program.write_matrix(node, matrix, twin.weights)
    for leaf, source in zip(copy.inputs, tied.inputs, strict=True):
        family, where = parameters.program.input_slice(source)
        mine, there = twin.program.input_slice(leaf)
        twin.leaves[mine][there] = parameters.leaves[family][where]
    return twin


@every_solver
def test_tied_copies_are_added_before_they_are_normalised(solver):
    parameters = reference.make("hmm")
    twin = untied_twin(parameters)
    X = rows_of(parameters)
    np.testing.assert_allclose(
        reference.log_likelihood(parameters, X), reference.log_likelihood(twin, X)
    )
    new = updated(solver, parameters, evidence_of(parameters, X))

    evidence, top_down = evidence_of(twin, X), backend_of(twin).top_down(twin)
    transitions = [node for node in twin.program.circuit.sums if node.n_units == 2]
    assert len(transitions) == 4
    flow = sum(twin.program.read_matrix(node, evidence.flows) for node in transitions)
    spread = twin.program.spread_rows(top_down.rows)
    used = sum(twin.program.read_matrix(node, spread) for node in transitions)
    old = twin.program.read_matrix(transitions[0], twin.weights)
    expected = {
        "EM": flow,
        "MiniBatchEM": 0.7 * old + 0.3 * flow / flow.sum(axis=1, keepdims=True),
        "Anemone": 0.7 * used * old + 0.3 * flow,
    }[type(solver).__name__]
    expected = expected / expected.sum(axis=1, keepdims=True)
    for node in parameters.program.circuit.sums:
        if node.n_units == 2:
            actual = parameters.program.read_matrix(node, new.weights)
            np.testing.assert_allclose(actual, expected, rtol=1e-10)

    leaf = sum(evidence.leaves[0][2 * i : 2 * i + 2] for i in range(5))
    used = sum(top_down.leaves[0][2 * i : 2 * i + 2] for i in range(5))[:, None]
    mean, flow, statistic = twin.leaves[0][:2], leaf[:, :1], leaf[:, 1:]
    expected = {
        "EM": statistic / flow,
        "MiniBatchEM": 0.7 * mean + 0.3 * statistic / flow,
        "Anemone": (0.7 * used * mean + 0.3 * statistic) / (0.7 * used + 0.3 * flow),
    }[type(solver).__name__]
    np.testing.assert_allclose(new.leaves[0], expected, rtol=1e-10)


# -- leaves -------------------------------------------------------------------------------


def test_gaussian_leaves_learn_weighted_moments():
    parameters = reference.make("mixed_families")
    X = rows_of(parameters, 40)
    new = updated(EM(), parameters, evidence_of(parameters, X))
    flows = reference.flows(parameters, X)
    leaf = next(i for i in parameters.program.circuit.inputs if i.variable == 0)
    family, where = parameters.program.input_slice(leaf)
    seen = ~np.isnan(X[:, 0])
    for k, mean in enumerate(new.leaves[family][where]):
        share = flows.units[leaf, k][seen]
        location = np.average(X[seen, 0], weights=share)
        variance = np.average((X[seen, 0] - location) ** 2, weights=share)
        variance = max(variance, leaf.distribution.variance_floor)
        np.testing.assert_allclose(mean, [location, variance + location**2], rtol=1e-8)


def test_a_missing_cell_teaches_its_leaf_nothing():
    leaf = [Input(i, Bernoulli(), 1, mean=[0.3]) for i in range(2)]
    parameters = reference.make(Circuit(Product(leaf)))
    parameters.take_node_values()
    X = np.array([[1.0, np.nan], [0.0, np.nan]])
    program = Program(parameters.program.circuit)
    for solver in SOLVERS.values():
        new = updated(solver, parameters, evidence_of(parameters, X))
        learnt, kept = (new.leaves[0][program.input_slice(i)[1]] for i in leaf)
        np.testing.assert_allclose(kept, [[0.3]], rtol=1e-14)
        step = getattr(solver, "step_size", 1.0)
        np.testing.assert_allclose(learnt, [[0.3 + 0.2 * step]], rtol=1e-12)
