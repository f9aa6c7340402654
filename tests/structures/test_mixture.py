from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV

import skpc
from skpc import PCDensityEstimator
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Parameters, Program
from skpc.distributions import (
    Bernoulli,
    Categorical,
    FactorGaussian,
    Gaussian,
    MultivariateGaussian,
)
from skpc.solvers import EM, SolverState
from skpc.structures import Mixture, resolve_structure
from skpc.structures.mixture import sum_sizes
from skpc.training import covariance_shrinkage, initial_parameters, leaf_priors
from tests import reference


@pytest.fixture(scope="module")
def wine():
    X = load_wine().data
    return (X - X.mean(axis=0)) / X.std(axis=0)


@pytest.fixture(scope="module")
def rival(wine):
    """A Gaussian mixture, and the circuit with its parameters."""
    model = GaussianMixture(3, reg_covar=1e-3, random_state=0, max_iter=3, tol=0)
    with pytest.warns(UserWarning, match="did not converge"):
        model.fit(wine)
    families = [Gaussian(1e-3)] * wine.shape[1]
    program = Program(Mixture().build(wine, families, n_components=3))
    leaf = program.families[0]
    return model, Parameters(
        program, model.weights_.copy(), [leaf.pack(model.means_, model.covariances_)]
    )


def test_with_full_covariances_it_is_a_gaussian_mixture(wine, rival):
    model, parameters = rival
    backend = NumbaBackend(parameters.program, np.float64)
    np.testing.assert_allclose(
        backend.log_likelihood(parameters, wine), model.score_samples(wine), rtol=0, atol=1e-10
    )


def test_a_step_of_em_is_one_of_the_gaussian_mixture(wine, rival):
    model, parameters = rival
    statistics = NumbaBackend(parameters.program, np.float64).statistics(parameters, wine)
    _, new = EM().update(SolverState(), parameters, statistics.mean(), None)
    next_model = GaussianMixture(
        3, reg_covar=1e-3, max_iter=1, weights_init=model.weights_, means_init=model.means_,
        precisions_init=model.precisions_,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="did not converge"):
        next_model.fit(wine)
    location, covariance = parameters.program.families[0].unpack(new.leaves[0])
    np.testing.assert_allclose(new.weights, next_model.weights_, atol=1e-8)
    np.testing.assert_allclose(location, next_model.means_, atol=1e-8)
    np.testing.assert_allclose(covariance, next_model.covariances_, atol=1e-8)


def test_a_step_of_em_with_a_third_of_the_cells_missing(wine, rival):
    """Against EM written down row by row."""
    _, parameters = rival
    leaf = parameters.program.families[0]
    X = wine.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    backend = NumbaBackend(parameters.program, np.float64)
    statistics = backend.statistics(parameters, X)
    _, new = EM().update(SolverState(), parameters, statistics.mean(), None)
    location, covariance = leaf.unpack(parameters.leaves[0])
    n, d = X.shape
    log_joint, filled, rest = np.zeros((n, 3)), np.zeros((n, 3, d)), np.zeros((n, 3, d, d))
    for i, x in enumerate(X):
        o = ~np.isnan(x)
        for k in range(3):
            own = covariance[k][np.ix_(o, o)]
            shift = x[o] - location[k][o]
            solved = np.linalg.solve(own, shift)
            log_joint[i, k] = np.log(parameters.weights[k]) - 0.5 * (
                shift @ solved + np.linalg.slogdet(2 * np.pi * own)[1]
            )
            gain = covariance[k][:, o] @ np.linalg.inv(own)
            filled[i, k] = np.where(o, np.nan_to_num(x), location[k] + gain @ shift)
            rest[i, k] = np.where(np.outer(~o, ~o), covariance[k] - gain @ covariance[k][o], 0)
    log_density = np.logaddexp.reduce(log_joint, axis=1)
    np.testing.assert_allclose(
        backend.log_likelihood(parameters, X), log_density, rtol=0, atol=1e-8
    )
    share = np.exp(log_joint - log_density[:, None])
    total = share.sum(axis=0)
    means = np.einsum("nk,nki->ki", share, filled) / total[:, None]
    second = np.einsum("nk,nki,nkj->kij", share, filled, filled)
    second += np.einsum("nk,nkij->kij", share, rest)
    covariances = second / total[:, None, None] - means[:, :, None] * means[:, None, :]
    found = leaf.unpack(new.leaves[0])
    np.testing.assert_allclose(new.weights, total / n, atol=1e-8)
    np.testing.assert_allclose(found[0], means, atol=1e-8)
    np.testing.assert_allclose(found[1], covariances + 1e-3 * np.eye(d), atol=1e-8)


def test_columns_of_other_kinds_are_independent_within_a_component():
    families = [Gaussian(), Bernoulli(), Gaussian(), Categorical(3)]
    circuit = Mixture().build(np.zeros((2, 4)), families, n_components=5)
    assert sorted(leaf.variables for leaf in circuit.inputs) == [(0, 2), (1,), (3,)]
    assert len(circuit.sums) == 1
    apart = Mixture(covariance="diag", n_components=2).build(
        np.zeros((2, 4)), families, n_components=5
    )
    assert [leaf.n_units for leaf in apart.inputs] == [2] * 4
    single = Mixture().build(np.zeros((2, 1)), [Gaussian()], n_components=2)
    assert [leaf.distribution for leaf in single.inputs] == [Gaussian()]


@pytest.mark.parametrize(("n_components", "depth", "sizes"), [
    (8, 1, [1]), (8, 2, [2, 1]), (8, 3, [4, 2, 1]), (7, 1, [1]), (30, 3, [6, 3, 1]), (1, 1, [1]),
    (28, 3, [4, 2, 1]), (56, 4, [8, 4, 2, 1]),
])  # fmt: skip
def test_sizes_of_consecutive_sums(n_components, depth, sizes):
    assert sum_sizes(n_components, depth) == sizes


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_every_product_of_so_many_numbers_has_sizes(depth):
    products = {1}
    for _ in range(depth):
        products = {p * f for p in products for f in range(2, 100) if p * f < 200}
    for n_components in products:
        sizes = [n_components, *sum_sizes(n_components, depth)]
        assert len(sizes) == depth + 1
        assert all(below % above == 0 and below > above for below, above in pairwise(sizes))
    for n_components in set(range(1, 200)) - products:
        with pytest.raises(ValueError, match=f"which {n_components} is not"):
            sum_sizes(n_components, depth)


def test_consecutive_sums_are_the_mixture_of_their_path_products():
    families = [Bernoulli()] * 3
    deep = Mixture(depth=3).build(np.zeros((2, 3)), families, n_components=8)
    program = Program(deep)
    rng = np.random.default_rng(0)
    parameters = Parameters.uniform(program)
    parameters.weights[:] = rng.random(program.n_weights)
    parameters.weights /= program.spread_rows(parameters.row_sums())
    parameters.leaves[0][:] = rng.random(parameters.leaves[0].shape)
    matrices = [program.read_matrix(node, parameters.weights) for node in deep.sums]
    paths = np.array([[1.0]])
    for matrix in matrices[::-1]:
        paths = np.array([[paths[0, u] * w for u in range(len(matrix)) for w in matrix[u]]])
    shallow = Program(Mixture().build(np.zeros((2, 3)), families, n_components=8))
    flat = Parameters(shallow, paths.ravel(), [parameters.leaves[0]])
    X = reference.random_rows(deep, rng, 20)
    np.testing.assert_allclose(
        reference.log_likelihood(parameters, X), reference.log_likelihood(flat, X), atol=1e-12
    )


@pytest.mark.parametrize(("params", "message"), [
    ({"covariance": "tied"}, "covariance='tied' is not known"),
    ({"depth": 0}, "depth=0 must be an integer of at least 1"),
    ({"n_components": 0}, "n_components=0"),
    ({"n_components": 7, "depth": 2}, "product of 2 numbers .* 7 is not"),
    ({"n_factors": 0}, "n_factors=0 must be 'auto' or an integer of at least 1"),
    ({"n_factors": 1.5}, "n_factors=1.5 must be"),
    ({"n_factors": None}, "n_factors=None must be"),
])  # fmt: skip
def test_bad_settings(params, message):
    with pytest.raises(ValueError, match=message):
        resolve_structure(Mixture(**params))


def test_components_that_are_no_such_product():
    with pytest.raises(ValueError, match="n_components to be a product of 2 numbers .* 7 is not"):
        sum_sizes(7, 2)


def test_the_estimator_takes_it_by_name(wine):
    X = wine.copy()
    X[::7, 3] = np.nan
    model = PCDensityEstimator("mixture", n_components=2, random_state=0).fit(X)
    assert model.circuit_.inputs[0].variables == tuple(range(13))
    assert model.score(X) > PCDensityEstimator(
        Mixture(covariance="diag"), n_components=2, random_state=0
    ).fit(X).score(X)
    assert np.isfinite(model.sample(5)).all()
    model.partial_fit(X[:50])
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize(("n_factors", "leaf"), [
    ("auto", FactorGaussian(5, n_factors=2)), (3, FactorGaussian(5, n_factors=3)),
    (4, MultivariateGaussian(5)), (9, MultivariateGaussian(5)),
])  # fmt: skip
def test_factors(n_factors, leaf):
    structure = Mixture(covariance="factor", n_factors=n_factors)
    circuit = structure.build(np.zeros((2, 6)), [Gaussian()] * 5 + [Bernoulli()], n_components=2)
    assert [node.distribution for node in circuit.inputs] == [leaf, Bernoulli()]


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_em_of_factor_analysers_never_lowers_the_likelihood(wine, missing):
    X = wine.copy()
    X[np.random.default_rng(0).random(X.shape) < missing] = np.nan
    structure = Mixture(covariance="factor", n_factors=2)
    program = Program(structure.build(X, [Gaussian(1e-9)] * 13, n_components=2))
    backend = NumbaBackend(program, np.float64)
    parameters = initial_parameters(
        program, "random", leaf_priors(program, X), np.random.default_rng(1)
    )
    curve = []
    for _ in range(25):
        statistics = backend.statistics(parameters, X)
        curve.append(statistics.log_likelihood / len(X))
        _, parameters = EM().update(SolverState(), parameters, statistics.mean(), None)
    # What the floor adds is within this.
    assert (np.diff(curve) > -1e-7).all()
    assert curve[-1] > curve[1] + 0.2


def test_the_prior_of_covariances_leaves_factor_models(wine):
    X = wine[:100]
    program = Program(Mixture(covariance="factor").build(X, [Gaussian()] * 13, n_components=4))
    priors = leaf_priors(program, X)
    parameters = initial_parameters(program, "random", priors, np.random.default_rng(0))
    backend = NumbaBackend(program, np.float64)
    _, parameters = EM().update(
        SolverState(), parameters, backend.statistics(parameters, X).mean(), None
    )
    shown = covariance_shrinkage(program, priors, 100)(parameters, backend.top_down(parameters))
    leaf = program.families[0]
    np.testing.assert_array_equal(leaf.project(shown.leaves[0]), shown.leaves[0])
    raw, drawn = (np.linalg.slogdet(leaf.unpack(p.leaves[0])[1])[1] for p in (parameters, shown))
    assert raw.min() < drawn.min()


def test_factors_in_a_grid_search_and_a_file(wine, tmp_path):
    search = GridSearchCV(
        PCDensityEstimator(
            Mixture(covariance="factor"), n_components=2, max_iter=3, random_state=0, n_jobs=1
        ),
        {"structure__n_factors": [1, 3]},
        cv=2,
    ).fit(wine)
    model = search.best_estimator_
    assert model.circuit_.inputs[0].distribution.n_factors in (1, 3)
    model.save(tmp_path / "model")
    again = skpc.load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(wine), model.score_samples(wine))
