import numpy as np
import pytest

from skpc.circuit import Sum
from skpc.distributions import Bernoulli
from skpc.structures import Quad


def build(shape, kind="tree", n_components=3, **others):
    n = int(np.prod(shape))
    structure = Quad(shape, kind, **others)
    return structure.build(np.zeros((1, n)), [Bernoulli()] * n, n_components=n_components)


def test_a_tree_joins_four_quarters():
    circuit = build((4, 4))
    (top,) = circuit.root.children
    assert len(top.children) == 4
    assert {frozenset(child.scope) for child in top.children} == {
        frozenset({0, 1, 4, 5}), frozenset({2, 3, 6, 7}),
        frozenset({8, 9, 12, 13}), frozenset({10, 11, 14, 15}),
    }  # fmt: skip
    assert circuit.n_edges == 4 * 9 + 3


def test_a_graph_mixes_rows_first_and_columns_first_above_the_same_quarters():
    circuit = build((4, 4), "graph")
    rows, columns = circuit.root.children
    assert {child.scope for child in rows.children} == {
        frozenset(range(8)),
        frozenset(range(8, 16)),
    }
    left = frozenset({0, 1, 4, 5, 8, 9, 12, 13})
    assert {child.scope for child in columns.children} == {left, frozenset(range(16)) - left}
    # Four halves, and of each of the four quarters itself and its halves of one cut each.
    assert len(circuit.sums) == 1 + 4 + 4 * (1 + 4)
    k = 3
    assert circuit.n_edges == 2 * k + 4 * k**2 + 4 * (2 * k**2 + 4 * k**2)
    assert len(circuit.inputs) == 16


@pytest.mark.parametrize("kind", ["tree", "graph"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 5), (28, 6), (2, 3, 3)])
def test_any_size(shape, kind):
    circuit = build(shape, kind)
    assert circuit.scope == set(range(int(np.prod(shape))))
    assert isinstance(circuit.root, Sum)
    levels = {}
    for node in circuit.nodes:
        levels[node] = 1 + max((levels[child] for child in node.children), default=-1)
    steps = int(np.ceil(np.log2(max(shape[-2:])))) * (2 if kind == "tree" else 4)
    assert levels[circuit.root] <= steps + 2


@pytest.mark.parametrize("product", ["elementwise", "kronecker"])
def test_channels_of_a_pixel_stand_together(product):
    circuit = build((3, 2, 2), product=product)
    scopes = [node.scope for node in circuit.nodes]
    if product == "kronecker":
        assert {1, 5, 9} in scopes
        assert circuit.n_edges == 2 * 3**3 + 3**2
    assert len(circuit.inputs) == 12


def test_a_line_is_halved():
    circuit = build((8,))
    assert all(len(node.children) == 2 for node in circuit.products)
    assert repr(circuit) == repr(build((8,), "graph")) == repr(build((1, 8)))


def test_the_shape_must_fit():
    with pytest.raises(ValueError, match=r"shape=\(2, 2\) has 4 cells, but there are 6 columns"):
        Quad((2, 2)).build(np.zeros((1, 6)), [Bernoulli()] * 6, n_components=2)
    with pytest.warns(UserWarning, match="as a line"):
        Quad().build(np.zeros((1, 784)), [Bernoulli()] * 784, n_components=1)


@pytest.mark.parametrize(
    "setting",
    [{"kind": "forest"}, {"product": "outer"}, {"n_leaf_units": 0}, {"n_components": 0}],
)
def test_bad_settings(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"^{name}="):
        Quad(**setting).build(np.zeros((1, 4)), [Bernoulli()] * 4, n_components=2)
