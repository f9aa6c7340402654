import numpy as np
import pytest

from skpc import PCDensityEstimator
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Program
from skpc.distributions import Bernoulli, Categorical, Gaussian
from skpc.solvers import EM, SOLVERS, SolverState
from skpc.structures import HMM, MixedStructures, MonarchHMM
from skpc.training import leaf_priors
from tests import reference

N_STEPS, N_STATES, N_TOKENS = 5, 4, 3


def sequences(n_rows=40, seed=0):
    """Tokens, with missing tails and a few missing cells between."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, N_TOKENS, (n_rows, N_STEPS)).astype(float)
    for row, length in zip(X, rng.integers(1, N_STEPS + 1, n_rows)):
        row[length:] = np.nan
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def parameters_of(structure, families=None, seed=0):
    families = [Categorical(N_TOKENS)] * N_STEPS if families is None else families
    circuit = structure.build(np.zeros((1, len(families))), families, n_components=N_STATES)
    return reference.make(circuit, seed)


def parts(parameters):
    """Initial probabilities, and transitions and emissions by step, as plain matrices."""
    program = parameters.program
    matrices = {
        min(node.scope): program.read_matrix(node, parameters.weights)
        for node in program.circuit.sums[:-1]
    }
    initial = program.read_matrix(program.circuit.root, parameters.weights)[0]
    leaves = {leaf.variable: leaf for leaf in program.circuit.inputs}
    return initial, [matrices[step] for step in range(1, N_STEPS)], [
        leaves[step] for step in range(N_STEPS)
    ]  # fmt: skip


def emitted(parameters, leaf, x):
    return np.exp(reference.leaf_log_density(parameters, leaf, np.full((1, N_STEPS), x))[:, 0])


def forward_algorithm(parameters, row):
    """Rabiner's recursion over the probabilities of the states, step by step."""
    initial, transitions, leaves = parts(parameters)
    alpha = initial * emitted(parameters, leaves[0], row[0])
    for transition, leaf, x in zip(transitions, leaves[1:], row[1:]):
        alpha = (alpha @ transition) * emitted(parameters, leaf, x)
    return np.log(alpha.sum())


@pytest.mark.parametrize("homogeneous", [True, False])
def test_scores_are_those_of_the_forward_algorithm(homogeneous):
    parameters = parameters_of(HMM(homogeneous=homogeneous))
    X = sequences()
    scores = NumbaBackend(parameters.program, np.float64).log_likelihood(parameters, X)
    expected = [forward_algorithm(parameters, row) for row in X]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-10)


def test_a_missing_tail_is_summed_out():
    parameters = parameters_of(HMM())
    score = NumbaBackend(parameters.program, np.float64).log_likelihood
    head = np.array([[2.0, 0.0, 1.0, np.nan, np.nan]])
    whole = np.repeat(head, N_TOKENS**2, axis=0)
    whole[:, 3:] = np.array(np.meshgrid(range(N_TOKENS), range(N_TOKENS))).reshape(2, -1).T
    np.testing.assert_allclose(
        np.exp(score(parameters, head)), np.exp(score(parameters, whole)).sum(), rtol=1e-12
    )


def test_a_step_of_em_is_one_of_baum_and_welch():
    parameters, X = parameters_of(HMM()), sequences()
    initial, transitions, leaves = parts(parameters)
    starts = np.zeros(N_STATES)
    moves = np.zeros((N_STATES, N_STATES))
    tokens = np.zeros((N_STATES, N_TOKENS))
    for row in X:
        density = np.array([emitted(parameters, leaf, x) for leaf, x in zip(leaves, row)])
        alpha, beta = [initial * density[0]], [np.ones(N_STATES)]
        for t in range(1, N_STEPS):
            alpha.append((alpha[-1] @ transitions[0]) * density[t])
            beta.append(transitions[0] @ (density[-t] * beta[-1]))
        alpha, beta = np.array(alpha), np.array(beta[::-1])
        p = alpha[-1].sum()
        state = alpha * beta / p
        starts += state[0]
        for t in range(1, N_STEPS):
            moves += alpha[t - 1][:, None] * transitions[0] * (density[t] * beta[t]) / p
        for x, share in zip(row, state):
            if x == x:
                tokens[:, int(x)] += share
    statistics = NumbaBackend(parameters.program, np.float64).statistics(parameters, X)
    _, new = EM().update(SolverState(), parameters, statistics.mean(), None)
    first, moved, emissions = parts(new)
    np.testing.assert_allclose(first, starts / starts.sum(), rtol=1e-10)
    np.testing.assert_allclose(moved[2], moves / moves.sum(axis=1, keepdims=True), rtol=1e-10)
    found = [emitted(new, emissions[1], x) for x in range(N_TOKENS)]
    np.testing.assert_allclose(
        np.transpose(found), tokens / tokens.sum(axis=1, keepdims=True), rtol=1e-10
    )


@pytest.mark.filterwarnings("ignore:After 2 passes")
@pytest.mark.parametrize("structure", [HMM(), MonarchHMM()])
@pytest.mark.parametrize("solver", sorted(set(SOLVERS) - {"sharpness_em"}))
def test_tied_parameters_stay_tied(structure, solver):
    model = PCDensityEstimator(
        structure, solver, n_components=4, max_iter=2, tol=0.0, random_state=0,
        categorical_features=range(N_STEPS),
    )  # fmt: skip
    model.fit(sequences(200))
    program = model.parameters_.program
    n_sums = {HMM: 1, MonarchHMM: 2}[type(structure)]
    owners = [node for node in program.circuit.sums if node.share is None]
    assert len(owners) == n_sums + 1  # and the root
    assert program.family_units == [4]
    last = np.full((N_TOKENS, N_STEPS), np.nan)
    last[:, -1] = range(N_TOKENS)
    assert np.exp(model.score_samples(last)).sum() == pytest.approx(1, abs=0.05)


def test_the_penalty_on_sharpness_refuses_shared_weights():
    model = PCDensityEstimator(HMM(), "sharpness_em", categorical_features=range(N_STEPS))
    with pytest.raises(ValueError, match="SharpnessEM"):
        model.fit(sequences(20))


def test_steps_of_a_chain_that_is_not_homogeneous_have_their_own():
    circuit = HMM(homogeneous=False).build(
        np.zeros((1, 3)), [Gaussian(), Bernoulli(), Categorical(3)], n_components=2
    )
    assert not circuit.is_tied
    with pytest.raises(ValueError, match=r"column 0 is Gaussian.*HMM\(homogeneous=False\)"):
        HMM().build(np.zeros((1, 2)), [Gaussian(), Bernoulli()], n_components=2)


def test_shared_leaves_start_from_the_cells_of_all_columns():
    circuit = HMM().build(np.zeros((1, 3)), [Bernoulli()] * 3, n_components=2)
    X = np.array([[1.0, 1.0, np.nan], [1.0, 0.0, np.nan]])
    (prior,) = leaf_priors(Program(circuit), X, np.array([1.0, 2.0]))
    expected = Bernoulli().moments_prior([1.0, 1.0, 1.0, 0.0], [1.0, 2.0, 1.0, 2.0])
    np.testing.assert_allclose(prior, [expected, expected])


# -- one encoding for all columns -----------------------------------------------------------


def fitted(X, structure=None, **settings):
    structure = HMM(n_components=2) if structure is None else structure
    model = PCDensityEstimator(structure, max_iter=2, random_state=0, **settings)
    return model.fit(X)


def test_columns_of_numbers_share_place_and_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) + [0, 5, 10]
    encoder = fitted(X).encoder_
    assert np.ptp(encoder.shift) == np.ptp(encoder.scale) == 0
    assert encoder.shift[0] == pytest.approx(X.mean())
    apart = fitted(X, HMM(n_components=2, homogeneous=False)).encoder_
    np.testing.assert_allclose(apart.shift, X.mean(axis=0))
    assert np.ptp(fitted(X, MixedStructures(["hmm", "hclt"])).encoder_.shift) == 0


def test_columns_share_their_categories():
    X = np.array([[10, 20, 30], [20, 30, 40]] * 30)
    model = fitted(X)
    for known in model.encoder_.categories:
        np.testing.assert_array_equal(known, [10, 20, 30, 40])
    assert np.isfinite(model.score([[40, 40, 10]]))
    assert set(np.unique(model.sample(50))) <= {10, 20, 30, 40}


def test_missing_tails_of_tokens():
    X = sequences(60)
    model = fitted(X, categorical_features=np.ones(N_STEPS, dtype=bool))
    assert {type(family) for family in model.encoder_.distributions} == {Categorical}
    weight = np.tile([1.0, 2.0, 0.0], 20)
    assert np.isfinite(fitted(X, categorical_features=range(N_STEPS)).score(X, None, weight))
    with pytest.raises(ValueError, match="names 2 of 5 columns.*all or none"):
        fitted(X, categorical_features=[0, 1])


def test_binary_columns_are_seen_together():
    X = np.random.default_rng(0).integers(0, 2, (30, 4))
    X[:, 2] = 1
    model = fitted(X)
    assert set(model.encoder_.open_share) == {1 / (121 * 122)}


@pytest.mark.parametrize("structure", [HMM, MonarchHMM])
@pytest.mark.parametrize("homogeneous", ["no", None, 2])
def test_homogeneous_is_a_truth_value(structure, homogeneous):
    with pytest.raises(ValueError, match="homogeneous=.* must be True or False"):
        fitted(sequences(), structure(homogeneous=homogeneous))


def test_what_tokens_with_missing_tails_are_taken_for():
    """As the docstring of HMM says."""
    X = np.random.default_rng(0).integers(0, 100, (80, 10)).astype(float)
    X[::2, 8:] = np.nan
    taken = {"few": X % 50, "many": X, "none missing": X[:, :8] % 50}
    kinds = {name: type(fitted(rows).encoder_.distributions[0]) for name, rows in taken.items()}
    assert kinds["few"] is Categorical
    assert Categorical not in (kinds["many"], kinds["none missing"])


def test_words_need_one_dtype():
    pd = pytest.importorskip("pandas")
    words = pd.DataFrame({"t0": ["a", "b"] * 20, "t1": ["b", "c"] * 20, "t2": [None, "a"] * 20})
    with pytest.raises(ValueError, match=r"'t0' and 't1' hold.*astype.*homogeneous=False"):
        fitted(words)
    apart = fitted(words, HMM(n_components=2, homogeneous=False))
    assert set(apart.sample(30)["t0"]) <= {"a", "b"}
    shared = words.astype(pd.CategoricalDtype(["a", "b", "c"]))
    model = fitted(shared)
    assert len({len(known) for known in model.encoder_.categories}) == 1
    assert set(model.sample(30).to_numpy().ravel()) <= {"a", "b", "c"}
