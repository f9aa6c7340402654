import numpy as np
import pytest

from skpc.circuit import Sum
from skpc.distributions import Bernoulli
from skpc.structures import PD
from skpc.structures.poon_domingos import box_regions


def build(structure, n_variables, n_components=4, seed=0):
    X = np.zeros((1, n_variables))
    families = [Bernoulli()] * n_variables
    return structure.build(X, families, n_components=n_components, random_state=seed)


def boxes(shape, delta):
    """Number of boxes on the grid, and of their cuts in two."""
    ends = [
        [(i, j) for j in range(1, -(-s // d) + 1) for i in range(j)] for s, d in zip(shape, delta)
    ]
    n_boxes = np.prod([len(axis) for axis in ends])
    lengths = [np.array([j - i for i, j in axis]) for axis in ends]
    n_cuts = sum(
        (axis - 1).sum() * np.prod([len(o) for b, o in enumerate(lengths) if b != a])
        for a, axis in enumerate(lengths)
    )
    n_cells = np.prod([-(-s // d) for s, d in zip(shape, delta)])
    return n_boxes, n_cuts, n_cells


@pytest.mark.parametrize(
    ("shape", "delta"),
    [((6,), (1,)), ((7,), (2,)), ((4, 4), (1, 2)), ((5, 3), (2, 1)), ((2, 4, 3), (1, 2, 2))],
)
def test_number_of_boxes_cuts_and_parameters(shape, delta):
    k, n = 3, int(np.prod(shape))
    n_boxes, n_cuts, n_cells = boxes(shape, delta)
    whole = sum(-(-s // d) - 1 for s, d in zip(shape, delta))
    circuit = build(PD(shape, delta, max_partitions=None), n, k)
    assert len(circuit.sums) == n_boxes - n_cells
    assert circuit.n_edges == (n_cuts - whole) * k**2 + whole * k
    assert len(circuit.inputs) == n
    kronecker = build(PD(shape, delta, max_partitions=None, product="kronecker"), n, k)
    dense = [node for node in kronecker.sums if node.kind == "dense"]
    assert len(dense) == n_cuts


def test_cuts_lie_on_the_grid_and_cells_at_the_end_are_smaller():
    root = box_regions((5, 7), (2, 3), None, np.random.RandomState(0))
    leaves, seen, stack = [], set(), [root]
    while stack:
        region = stack.pop()
        if id(region) in seen:
            continue
        seen.add(id(region))
        stack += region.children
        if region.variables:
            leaves.append(region.variables)
    assert len(leaves) == 9
    assert sorted(sum(leaves, ())) == list(range(35))
    assert (0, 1, 2, 7, 8, 9) in leaves
    assert (34,) in leaves


def test_few_partitions_are_drawn_by_seed():
    def drawn(seed):
        circuit = build(PD(delta=1, max_partitions=3), 12, seed=seed)
        assert max(len(node.children) for node in circuit.sums) == 3
        return [sorted(len(c.scope) for c in p.children) for p in circuit.root.children]

    assert drawn(0) == drawn(0)
    assert len({str(drawn(seed)) for seed in range(5)}) > 1
    few, all_ = (build(PD(delta=1, max_partitions=most), 12) for most in (3, None))
    assert len(few.sums) < len(all_.sums)


def test_defaults_cut_a_line_into_8_and_an_image_into_4_x_4():
    assert len(build(PD(), 80).sums) == 8 * 9 // 2 - 8
    assert len(build(PD((8, 12)), 96).sums) == 10 * 10 - 16
    assert isinstance(build(PD(), 1).root, Sum)


def test_a_line_that_might_be_an_image_is_named():
    with pytest.warns(UserWarning, match=r"takes the 64 columns as a line.*shape=\(8, 8\)"):
        line = build(PD(), 64)
    assert repr(line) == repr(build(PD(64), 64)) == repr(build(PD((64,)), 64))
    assert repr(line) != repr(build(PD((8, 8)), 64))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shape": (3, 4)}, r"shape=\(3, 4\) has 12 cells, but there are 6 columns"),
        ({"shape": (1, 1, 1, 6)}, r"shape=\(1, 1, 1, 6\) must be 1 to 3 integers"),
        ({"shape": (2, 0)}, r"shape=\(2, 0\) must be 1 to 3 integers"),
        ({"shape": "image"}, r"shape='image' must be 1 to 3 integers"),
        ({"delta": 0}, "delta=0 must be 1 to 3 integers"),
        ({"delta": "fine"}, "delta='fine' must be 'auto'"),
        ({"delta": (1, 2)}, r"delta=\(1, 2\) has 2 axes, but .* shape \(6,\)"),
        ({"max_partitions": 0}, "max_partitions=0 must be an integer"),
        ({"product": "outer"}, "product='outer' is not known"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        build(PD(**setting), 6)
