import numpy as np
import pytest

from skpc.circuit import Product
from skpc.distributions import Bernoulli, Categorical
from skpc.structures import RAT


def build(structure, n_variables, n_components=4, family=None, seed=0):
    families = [family or Bernoulli()] * n_variables
    X = np.zeros((1, n_variables))
    return structure.build(X, families, n_components=n_components, random_state=seed)


@pytest.mark.parametrize("repetitions", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_number_of_parameters(depth, repetitions):
    """Sixteen columns: every repetition has 2^d regions at depth d, and leaves of its own."""
    k, categories = 5, 3
    structure = RAT(depth=depth, n_repetitions=repetitions)
    circuit = build(structure, 16, k, Categorical(categories))
    inner = 2**depth - 2
    leaves = 16 * k * categories
    assert circuit.n_parameters == repetitions * (inner * k**2 + k + leaves)
    wide = RAT(depth=depth, n_repetitions=repetitions, product="kronecker")
    mixing = repetitions if repetitions > 1 else 0
    expected = repetitions * (inner * k**3 + k**2 + leaves) + mixing
    assert build(wide, 16, k, Categorical(categories)).n_parameters == expected


def test_number_of_leaf_units():
    elementwise = build(RAT(depth=1, n_repetitions=2, n_leaf_units=7), 8, 3)
    assert {leaf.n_units for leaf in elementwise.inputs} == {7}
    assert elementwise.n_edges == 2 * (2 * 7 * 3 + 3)
    kronecker = build(RAT(depth=1, n_repetitions=2, n_leaf_units=7, product="kronecker"), 8, 3)
    assert kronecker.n_edges == 2 * 7 * 7 + 2


def halves(circuit):
    """The cuts of all columns, one a repetition."""
    return [{child.scope for child in product.children} for product in circuit.root.children]


def test_halves_differ_by_one_column_at_most():
    circuit = build(RAT(depth=None), 11)
    for node in circuit.products:
        sizes = [len(child.scope) for child in node.children]
        assert len(sizes) == 2
        assert abs(sizes[0] - sizes[1]) <= 1
    assert all(len(leaf.variables) == 1 for leaf in circuit.inputs)


def test_cuts_are_random_and_seeded():
    cuts = halves(build(RAT(), 12))
    assert len({frozenset(cut) for cut in cuts}) == 10
    assert cuts == halves(build(RAT(), 12))
    assert cuts != halves(build(RAT(), 12, seed=1))


def test_depth_ends_at_single_columns():
    assert repr(build(RAT(depth=99), 20)) == repr(build(RAT(depth=None), 20))
    shallow = build(RAT(depth=1, n_repetitions=1), 6)
    (product,) = shallow.root.children
    assert isinstance(product, Product)
    assert len(product.children) == 6


@pytest.mark.parametrize(
    "setting",
    [
        {"depth": 0}, {"depth": 1.5}, {"n_repetitions": 0}, {"n_repetitions": None},
        {"n_leaf_units": -1}, {"product": "outer"}, {"n_components": 0},
    ],
)  # fmt: skip
def test_bad_settings(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"^{name}="):
        build(RAT(**setting), 4)
