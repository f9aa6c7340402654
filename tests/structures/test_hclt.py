from itertools import pairwise

import numpy as np
import pytest
from sklearn.base import clone

from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Bernoulli, Categorical, Gaussian, MultivariateGaussian
from skpc.structures import HCLT, Mixture
from skpc.structures.hclt import tree_circuit


def markov_chain(rng, n_rows, order):
    """Binary columns, each a copy of the one before it in 9 of 10 rows."""
    X = np.empty((n_rows, len(order)))
    state = rng.integers(0, 2, n_rows)
    for column in order:
        state = np.where(rng.uniform(size=n_rows) < 0.1, 1 - state, state)
        X[:, column] = state
    return X


def describe(node):
    """The circuit as nested tuples."""
    if isinstance(node, Input):
        return ("input", node.variable, repr(node.distribution), node.n_units)
    kind = type(node).__name__.lower()
    return (kind, node.n_units, *(describe(child) for child in node.children))


def tree_of(circuit):
    """Edges between the columns, read off the circuit."""
    edges = set()
    for product in circuit.products:
        (own,) = [child for child in product.children if isinstance(child, Input)]
        for child in product.children:
            if isinstance(child, Sum):
                (node,) = child.children
                leaf = node if isinstance(node, Input) else node.children[0]
                edges.add(frozenset((own.variable, leaf.variable)))
    return edges


def test_finds_the_chain():
    order = [3, 0, 4, 1, 2]
    X = markov_chain(np.random.default_rng(0), 2000, order)
    circuit = HCLT().build(X, [Bernoulli()] * 5, n_components=3)
    assert tree_of(circuit) == {frozenset(pair) for pair in pairwise(order)}
    # Rooted in the middle of the chain.
    (top,) = circuit.root.children
    assert isinstance(top, Product)
    assert top.children[0].variable == 4


def test_shape_of_the_circuit():
    edges = [[0, 1], [1, 2], [1, 3]]
    families = [Bernoulli(), Categorical(3), Gaussian(), Bernoulli()]
    circuit = tree_circuit(edges, [(v,) for v in range(len(families))], families, 2)
    leaves = [("input", v, repr(family), 2) for v, family in enumerate(families)]
    below = {v: ("sum", 2, leaves[v]) for v in (0, 2, 3)}
    (top,) = circuit.root.children
    assert describe(circuit.root)[:2] == ("sum", 1)
    assert describe(top)[:3] == ("product", 2, leaves[1])
    assert set(describe(top)[3:]) == set(below.values())


def test_mixed_columns_with_missing_cells_and_weights():
    rng = np.random.default_rng(1)
    latent = rng.normal(size=400)
    X = np.column_stack(
        [
            latent + 0.3 * rng.normal(size=400),
            rng.integers(0, 3, 400),
            latent > 0,
            np.full(400, np.nan),
            np.zeros(400),
        ]
    )
    X[rng.uniform(size=X.shape) < 0.2] = np.nan
    families = [Gaussian(), Categorical(3), Bernoulli(), Bernoulli(), Gaussian()]
    weight = rng.integers(0, 3, 400)
    circuit = HCLT().build(X, families, n_components=4, sample_weight=weight)
    assert isinstance(circuit, Circuit)
    assert circuit.scope == frozenset(range(5))
    assert frozenset((0, 2)) in tree_of(circuit)
    repeated = HCLT().build(X.repeat(weight, axis=0), families, n_components=4)
    assert describe(circuit.root) == describe(repeated.root)


def test_one_column():
    circuit = HCLT().build(np.array([[0.1], [0.2]]), [Gaussian()], n_components=3)
    assert describe(circuit.root) == ("sum", 1, ("input", 0, repr(Gaussian()), 3))


@pytest.mark.parametrize("X", [np.zeros((9, 4)), np.full((9, 4), np.nan)])
def test_no_information_makes_a_star(X):
    circuit = HCLT().build(X, [Bernoulli()] * 4, n_components=2)
    assert tree_of(circuit) == {frozenset((0, v)) for v in (1, 2, 3)}


def test_duplicated_columns_are_neighbours():
    rng = np.random.default_rng(2)
    X = rng.integers(0, 2, (200, 3)).astype(float)[:, [0, 1, 2, 0, 1, 2]]
    edges = tree_of(HCLT().build(X, [Bernoulli()] * 6, n_components=2))
    assert {frozenset((v, v + 3)) for v in range(3)} <= edges
    assert len(edges) == 5


def test_long_chain_needs_no_recursion():
    n = 5000
    edges = np.column_stack([np.arange(n - 1), np.arange(1, n)])
    circuit = tree_circuit(edges, [(v,) for v in range(n)], [Bernoulli()] * n, 1)
    assert len(circuit.inputs) == n
    assert len(circuit.sums) == n


def test_own_n_components_wins():
    X = np.random.default_rng(3).integers(0, 2, (50, 3)).astype(float)
    leaf = HCLT(n_components=7).build(X, [Bernoulli()] * 3, n_components=2).inputs[0]
    assert leaf.n_units == 7
    for structure, given in ((HCLT(n_components=0), 2), (HCLT(), 0), (HCLT(), 1.5)):
        with pytest.raises(ValueError, match="n_components=.* must be an integer"):
            structure.build(X, [Bernoulli()] * 3, n_components=given)


def test_same_seed_same_circuit_and_settings_stay():
    X = markov_chain(np.random.default_rng(4), 400, range(8))
    structure = HCLT(max_rows=50)
    before = structure.get_params()
    built = [
        describe(structure.build(X, [Bernoulli()] * 8, n_components=2, random_state=seed).root)
        for seed in (0, 0, 1, 2, 3)
    ]
    assert built[0] == built[1]
    assert len(set(built)) > 1
    assert structure.get_params() == before == clone(structure).get_params()
    assert vars(structure) == before


def test_max_rows_above_the_rows_changes_nothing():
    X = markov_chain(np.random.default_rng(5), 300, range(6))
    weight = np.random.default_rng(6).integers(0, 3, 300)
    trees = [HCLT(max_rows=m).learn_tree(X, [Bernoulli()] * 6, weight) for m in (None, "auto", 300)]
    np.testing.assert_array_equal(trees[0], trees[1])
    np.testing.assert_array_equal(trees[0], trees[2])


def test_sampled_rows_never_have_weight_0():
    X = markov_chain(np.random.default_rng(7), 600, [0, 1, 2, 3])
    X[:300] = markov_chain(np.random.default_rng(8), 300, [0, 2, 1, 3])
    weight = np.arange(600) >= 300
    tree = HCLT(max_rows=200).learn_tree(X, [Bernoulli()] * 4, weight, random_state=0)
    assert {frozenset(e) for e in tree.tolist()} == {frozenset(e) for e in [(0, 1), (1, 2), (2, 3)]}


@pytest.mark.parametrize(
    "setting",
    [{"max_rows": 0}, {"max_rows": "some"}, {"max_rows": 1.5}, {"n_bins": "few"}, {"n_bins": 1}],
)
def test_bad_settings(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"{name}=.* must be"):
        HCLT(**setting).build(np.zeros((2, 2)), [Bernoulli()] * 2, n_components=2)


# -- groups ---------------------------------------------------------------------------------


def correlated(n_rows=400):
    """Columns 0, 3 are nearly equal, so are 1, 4; 2 is binary and follows the first pair."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, n_rows))
    noise = 0.05 * rng.normal(size=(2, n_rows))
    return np.column_stack([a, b, a > 0, a + noise[0], b + 0.3 * a + noise[1]])


FAMILIES = [Gaussian(), Gaussian(), Bernoulli(), Gaussian(), Gaussian(0.01)]


def test_columns_of_a_group_share_a_leaf():
    circuit = HCLT(groups=[[3, 0], (1, 4)]).build(correlated(), FAMILIES, n_components=3)
    leaves = {leaf.variables: leaf.distribution for leaf in circuit.inputs}
    assert leaves == {
        (0, 3): MultivariateGaussian(2), (1, 4): MultivariateGaussian(2, (1e-3, 0.01)),
        (2,): Bernoulli(),
    }  # fmt: skip
    assert len(circuit.sums) == 3
    array = HCLT(groups=np.array([[3, 0], [1, 4]])).build(correlated(), FAMILIES, n_components=3)
    assert describe(array.root) == describe(circuit.root)


def test_the_tree_joins_the_groups_that_tell_most_of_each_other():
    groups = [(0, 3), (1, 4), (2,)]
    edges = HCLT().learn_tree(correlated(), FAMILIES, groups=groups)
    assert {frozenset(edge) for edge in edges.tolist()} == {frozenset((0, 1)), frozenset((0, 2))}


def test_one_group_of_all_columns_is_a_mixture():
    X = correlated()[:, [0, 1, 3]]
    families = [Gaussian()] * 3
    grouped = HCLT(groups=[[0, 1, 2]]).build(X, families, n_components=4)
    mixture = Mixture().build(X, families, n_components=4)
    assert repr(grouped) == repr(mixture)


@pytest.mark.parametrize(("groups", "message"), [
    ([[0, 2]], "names column 2, which is not continuous"), ([[0, 9]], "names column 9"),
    ([[0, 1], [1, 3]], "names a column twice"), (5, "must be None or a list of lists"),
    ([[0], 1], "must be None or a list of lists"), ([[0, 1.5]], "must be None or a list of lists"),
    ("01", "must be None or a list of lists"), ([["a"]], "must be None or a list of lists"),
])  # fmt: skip
def test_groups_that_cannot_be(groups, message):
    with pytest.raises(ValueError, match=message):
        HCLT(groups=groups).build(correlated(), FAMILIES, n_components=2)


# -- a sum above every leaf -------------------------------------------------------------------


def test_input_sums():
    X = markov_chain(np.random.default_rng(0), 300, [0, 1, 2, 3])
    families = [Bernoulli()] * 4
    plain = HCLT().build(X, families, n_components=3)
    summed = HCLT(input_sum=True).build(X, families, n_components=3)
    assert summed.n_parameters == plain.n_parameters + 4 * 3**2
    parents = [node for node in summed.nodes for child in node.children if isinstance(child, Input)]
    assert len(parents) == 4
    assert all(isinstance(node, Sum) for node in parents)
    with pytest.raises(ValueError, match="input_sum='yes' must be True or False"):
        HCLT(input_sum="yes").build(X, families, n_components=3)
