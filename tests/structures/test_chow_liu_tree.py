import warnings
from itertools import product

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skpc import PCDensityEstimator
from skpc.distributions import Bernoulli, Gaussian
from skpc.structures import CLTree, resolve_structure

N = 6


def chain_of_coins(n_rows=300, seed=0):
    """Six binary columns, every one a copy of an earlier one that is wrong now and then."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n_rows, N), dtype=np.uint8)
    X[:, 0] = rng.random(n_rows) < 0.4
    for v, (u, error) in enumerate([(0, 0.1), (0, 0.2), (2, 0.15), (1, 0.3), (4, 0.05)], start=1):
        X[:, v] = X[:, u] ^ (rng.random(n_rows) < error)
    return X


def tree_of(sequence):
    """Edges of the labelled tree with this Prüfer sequence."""
    degree = np.ones(N, dtype=int)
    for v in sequence:
        degree[v] += 1
    edges = []
    for v in sequence:
        leaf = int(np.flatnonzero(degree == 1)[0])
        edges.append((leaf, v))
        degree[leaf] -= 1
        degree[v] -= 1
    edges.append(tuple(np.flatnonzero(degree == 1).tolist()))
    return edges


def log_likelihood_of(edges, X):
    """Mean log-likelihood of the best parameters of a tree: entropies of pairs and columns."""

    def entropy(columns):
        _, counts = np.unique(X[:, columns], axis=0, return_counts=True)
        share = counts / len(X)
        return -(share * np.log(share)).sum()

    single = [entropy([v]) for v in range(N)]
    total = -sum(single)
    for u, v in edges:
        total += single[u] + single[v] - entropy([u, v])
    return total


def test_it_is_the_best_of_all_trees():
    X = chain_of_coins()
    best = max(log_likelihood_of(tree_of(s), X) for s in product(range(N), repeat=N - 2))
    params = {"alpha": 0, "max_iter": 2, "handle_unknown": "error", "random_state": 0}
    with pytest.warns(UserWarning, match="still rises"):
        model = PCDensityEstimator("cltree", solver="em", n_iter_no_change=1, **params).fit(X)
    assert model.score(X) == pytest.approx(best, abs=1e-10)


def test_probabilities_sum_to_one_and_missing_cells_are_integrated_out():
    X = chain_of_coins(80)
    model = PCDensityEstimator("cltree", handle_unknown="error", random_state=0).fit(X)
    states = np.array(list(product((0, 1), repeat=N)))
    scores = model.score_samples(states)
    assert np.exp(scores).sum() == pytest.approx(1)
    assert np.isfinite(scores).all()
    some = states.astype(float)
    some[:, 1:] = np.nan
    one = np.exp(scores[states[:, 0] == 1]).sum()
    assert np.exp(model.score_samples(some[-1:]))[0] == pytest.approx(one)


def test_continuous_columns_depend_on_the_column_that_tells_most():
    rng = np.random.default_rng(0)
    X = np.column_stack([chain_of_coins(), np.zeros(300)]).astype(float)
    X[:, 6] = 5 * X[:, 3] + rng.normal(size=300)
    circuit = CLTree().build(X, [Bernoulli()] * 6 + [Gaussian()], n_components=1)
    below = next(p for p in circuit.products if any(c.scope == {6} for c in p.children))
    assert any(child.scope == {3} for child in below.children)
    model = PCDensityEstimator("cltree", random_state=0).fit(X)
    assert model.score(X) > -6
    assert set(np.unique(model.sample(50)[:, :6])) == {0, 1}


@pytest.mark.parametrize("n_bins", [1, 2.0, True, "few", None])
def test_bins_are_checked_before_the_rows_are_looked_at(n_bins):
    with pytest.raises(ValueError, match="^n_bins=.* must be 'auto' or an integer of at least 2"):
        resolve_structure(CLTree(n_bins=n_bins))


def test_without_a_finite_column_it_names_the_way_out():
    with pytest.raises(ValueError, match="needs a binary or categorical column.*'hclt'"):
        PCDensityEstimator("cltree").fit(np.random.default_rng(0).normal(size=(30, 2)))


@pytest.mark.parametrize("solver", ["anemone", "minibatch_em", "em", "adam"])
@pytest.mark.parametrize("alpha", [0.3, 5.0, 50.0])
def test_rare_and_unseen_states_keep_a_probability(solver, alpha):
    """Indicators know their state: no pseudocount may draw them to another one."""
    rng = np.random.default_rng(0)
    rare = np.minimum(rng.geometric(0.3, 600) - 1, 12)
    X = np.column_stack([rng.integers(0, 2, 600), rare])
    model = PCDensityEstimator("cltree", solver, alpha=alpha, max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    share = np.exp(model.score_samples(np.column_stack([np.full(13, np.nan), np.arange(13)])))
    assert (share > 0).all()
    assert np.abs(share - np.bincount(rare) / 600).max() < 0.07
    assert np.isfinite(model.score_samples([[0, 77], [1, 3]])).all()
