from itertools import pairwise

import numpy as np
import pytest

from skpc.circuit import Input, Sum
from skpc.distributions import Bernoulli, Categorical, DiscretisedLogistic
from skpc.structures import HCLT, PDHCLT, pdhclt
from skpc.structures.pdhclt import auto_chunk


def chains(n_rows=600, order=(2, 0, 3, 1)):
    """Chunks of four columns; in each a column is a noisy copy of the one before it in `order`."""
    rng = np.random.default_rng(0)
    X = np.empty((n_rows, 12), dtype=np.uint8)
    for start in (0, 4, 8):
        state = rng.integers(0, 2, n_rows)
        for column in order:
            state = np.where(rng.random(n_rows) < 0.1, 1 - state, state)
            X[:, start + column] = state
    return X


def build(structure, X, n_components=3, seed=0):
    families = [Bernoulli()] * X.shape[1]
    return structure.build(X, families, n_components=n_components, random_state=seed)


def test_trees_are_learnt_inside_chunks():
    circuit = build(PDHCLT(chunk=4), chains())
    pairs = set()
    for product in circuit.products:
        (own, *_) = [c.variable for c in product.children if isinstance(c, Input)] or [None]
        for child in product.children:
            if own is not None and isinstance(child, Sum) and len(child.children) == 1:
                (node,) = child.children
                leaf = node if isinstance(node, Input) else node.children[0]
                pairs.add(frozenset((own, leaf.variable)))
    expected = {
        frozenset((start + i, start + j)) for start in (0, 4, 8) for i, j in pairwise((2, 0, 3, 1))
    }
    assert pairs == expected


def test_number_of_parameters():
    """Three chunks of four columns: trees of three transitions, and two inner boxes of two."""
    k = 5
    circuit = build(PDHCLT(chunk=4), chains(), k)
    assert circuit.n_edges == 3 * 3 * k**2 + 2 * k**2 + 2 * k
    summed = build(PDHCLT(chunk=4, input_sum=True), chains(), k)
    assert summed.n_edges == circuit.n_edges + 12 * k**2


def test_chunks_share_the_rows_that_are_affordable(monkeypatch):
    monkeypatch.setattr(pdhclt, "affordable_rows", lambda n_states, n_bins: 900)
    monkeypatch.setattr(pdhclt, "FEWEST_ROWS", 20)
    counted = []
    learn_tree = HCLT.learn_tree
    monkeypatch.setattr(
        HCLT, "learn_tree", lambda self, *a: counted.append(self.max_rows) or learn_tree(self, *a)
    )
    build(PDHCLT(chunk=4), chains())
    build(PDHCLT(chunk=4, max_rows=50), chains())
    assert counted == [300] * 3 + [50] * 3


def test_levels_of_pixels_are_affordable_as_bins(monkeypatch):
    """Chunks are counted as trees are: ordered states in bins, not 256 by 256."""
    asked = []
    monkeypatch.setattr(
        pdhclt, "affordable_rows", lambda n_states, n_bins: asked.append(n_states) or 900
    )
    families = [Categorical(256), DiscretisedLogistic(256)] * 2
    PDHCLT(chunk=2).build(np.zeros((4, 4)), families, n_components=2)
    assert asked == [[256, None]] * 2


def test_one_chunk_is_a_hidden_chow_liu_tree():
    X = chains()[:, :4]
    assert repr(build(PDHCLT(), X)) == repr(build(HCLT(), X))


def test_chunks_of_the_published_settings():
    """Patches of 3 x 16 x 16: 16 chunks of 3 x 4 x 4, 100 boxes of at most 6 cuts."""
    assert auto_chunk((3, 16, 16)) == (3, 4, 4)
    X = np.random.default_rng(0).integers(0, 2, (30, 768), dtype=np.uint8)
    circuit = PDHCLT((3, 16, 16)).build(X, [Categorical(2)] * 768, n_components=2)
    widest = [node for node in circuit.sums if len(node.children) > 1]
    assert max(len(node.children) for node in circuit.sums) == 6
    assert len(circuit.sums) - len(widest) == 16 * 47 + 24
    assert len(widest) == 100 - 16 - 24


def test_the_shape_must_fit():
    with pytest.raises(ValueError, match=r"shape=\(2, 5\) has 10 cells, but there are 12 columns"):
        build(PDHCLT((2, 5)), chains())
    with pytest.raises(ValueError, match=r"chunk=\(2, 2\) has 2 axes"):
        build(PDHCLT((2, 2, 3), chunk=(2, 2)), chains())


@pytest.mark.parametrize(
    "setting",
    [
        {"chunk": "large"}, {"chunk": 0}, {"max_partitions": 0}, {"n_bins": 1}, {"max_rows": 0},
        {"input_sum": "yes"}, {"product": "outer"}, {"shape": (1, 2, 3, 2)},
    ],
)  # fmt: skip
def test_bad_settings(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"^{name}="):
        build(PDHCLT(**setting), chains())
