from itertools import combinations

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree

from skpc.structures.chow_liu import depths, maximum_spanning_tree, rooted_tree, tree_centre


def is_spanning_tree(edges, n_nodes):
    """By merging sets of nodes."""
    part = list(range(n_nodes))
    for a, b in edges:
        if part[a] == part[b]:
            return False
        part = [part[a] if p == part[b] else p for p in part]
    return len(edges) == n_nodes - 1


def random_weights(rng, n_nodes, values=None):
    weights = rng.normal(size=(n_nodes, n_nodes)) if values is None else values
    return weights + weights.T


def random_tree(rng, n_nodes):
    """Edges in random order and direction, over shuffled names."""
    names = rng.permutation(n_nodes)
    edges = [(names[rng.integers(node)], names[node]) for node in range(1, n_nodes)]
    return [edge[:: rng.choice([-1, 1])] for edge in rng.permutation(edges).tolist()]


@pytest.mark.parametrize("n_nodes", [2, 3, 5, 6])
@pytest.mark.parametrize("ties", [False, True])
def test_heaviest_of_all_trees(n_nodes, ties):
    rng = np.random.default_rng(n_nodes)
    values = rng.integers(-1, 2, (n_nodes, n_nodes)) if ties else None
    weights = random_weights(rng, n_nodes, values)
    pairs = list(combinations(range(n_nodes), 2))
    heaviest = max(
        sum(weights[a, b] for a, b in edges)
        for edges in combinations(pairs, n_nodes - 1)
        if is_spanning_tree(edges, n_nodes)
    )
    edges = maximum_spanning_tree(weights)
    assert is_spanning_tree(edges, n_nodes)
    np.testing.assert_allclose(weights[edges[:, 0], edges[:, 1]].sum(), heaviest, rtol=1e-12)


def test_same_weight_as_scipy():
    weights = np.abs(random_weights(np.random.default_rng(0), 300)) + 0.1
    edges = maximum_spanning_tree(weights)
    expected = -minimum_spanning_tree(-weights).sum()
    np.testing.assert_allclose(weights[edges[:, 0], edges[:, 1]].sum(), expected, rtol=1e-12)


def test_all_ties_make_a_star():
    edges = maximum_spanning_tree(np.zeros((5, 5)))
    assert edges.tolist() == [[0, 1], [0, 2], [0, 3], [0, 4]]


def test_zeros_are_edges():
    weights = np.zeros((4, 4))
    weights[1, 2] = weights[2, 1] = 1.0
    assert maximum_spanning_tree(weights).tolist() == [[0, 1], [1, 2], [0, 3]]


def test_edges_grow_from_node_0():
    edges = maximum_spanning_tree(random_weights(np.random.default_rng(1), 40))
    seen = {0}
    for old, new in edges:
        assert old in seen
        assert new not in seen
        seen.add(new)


def test_diagonal_is_ignored():
    weights = random_weights(np.random.default_rng(2), 6)
    expected = maximum_spanning_tree(weights)
    np.fill_diagonal(weights, 100.0)
    np.testing.assert_array_equal(maximum_spanning_tree(weights), expected)


def test_one_node():
    edges = maximum_spanning_tree(np.zeros((1, 1)))
    assert edges.shape == (0, 2)
    assert tree_centre(edges) == 0
    parents, order = rooted_tree(edges, 0)
    assert (parents.tolist(), order.tolist()) == ([-1], [0])


@pytest.mark.parametrize("weights", [np.zeros((2, 3)), np.zeros((0, 0)), np.full((2, 2), np.nan)])
def test_errors(weights):
    with pytest.raises(ValueError, match="weights has"):
        maximum_spanning_tree(weights)


def test_not_a_tree():
    with pytest.raises(ValueError, match="not a tree"):
        rooted_tree([[0, 1], [0, 1], [2, 3]], 0)


@pytest.mark.parametrize("seed", range(8))
def test_rooted_tree(seed):
    rng = np.random.default_rng(seed)
    edges = random_tree(rng, 12)
    root = int(rng.integers(12))
    parents, order = rooted_tree(edges, root)
    assert sorted(order) == list(range(12))
    assert order[0] == root
    assert parents[root] == -1
    position = np.argsort(order)
    directed = {(parents[v], v) for v in range(12) if v != root}
    assert all(position[parent] < position[child] for parent, child in directed)
    assert {frozenset(e) for e in directed} == {frozenset(e) for e in edges}


def test_order_of_edges_does_not_matter():
    rng = np.random.default_rng(3)
    edges = np.array(random_tree(rng, 30))
    again = edges[rng.permutation(29)][:, ::-1]
    for first, second in zip(rooted_tree(edges, 4), rooted_tree(again, 4)):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("n_nodes", [2, 3, 6, 7, 15])
@pytest.mark.parametrize("seed", range(4))
def test_centre(n_nodes, seed):
    edges = random_tree(np.random.default_rng(seed), n_nodes)
    eccentricity = [depths(edges, root).max() for root in range(n_nodes)]
    assert tree_centre(edges) == int(np.argmin(eccentricity))


def test_long_chain():
    n_nodes = 10_000
    edges = np.column_stack([np.arange(n_nodes - 1), np.arange(1, n_nodes)])
    assert tree_centre(edges) == n_nodes // 2 - 1
    parents, order = rooted_tree(edges, n_nodes - 1)
    np.testing.assert_array_equal(order, np.arange(n_nodes)[::-1])
    np.testing.assert_array_equal(parents[:-1], np.arange(1, n_nodes))
