import numpy as np
import pytest

import skpc
from skpc import PCDensityEstimator
from skpc.distributions import Bernoulli
from skpc.structures import HCLT, RAT, MixedStructures, Mixture


def table():
    return np.random.default_rng(0).integers(0, 2, (40, 6)).astype(float)


def build(structures, own=None):
    mixed = MixedStructures(structures, n_components=own)
    return mixed.build(table(), [Bernoulli()] * 6, n_components=4, random_state=0)


def test_the_root_mixes_the_roots():
    circuit = build([HCLT(), "mixture", RAT(n_repetitions=2)])
    assert len(circuit.root.children) == 3
    assert all(child.scope == circuit.scope for child in circuit.root.children)
    parts = [build([part]).n_edges - 1 for part in (HCLT(), "mixture", RAT(n_repetitions=2))]
    assert circuit.n_edges == sum(parts) + 3


def test_random_parts_differ():
    one, other = build([RAT(n_repetitions=1), RAT(n_repetitions=1)]).root.children
    (first,), (second,) = one.children, other.children
    assert {child.scope for child in first.children} != {child.scope for child in second.children}


def test_numbers_of_components():
    """Of the part, else of the mixture, else the estimator's."""
    widths = [
        {leaf.n_units for leaf in build([HCLT(n_components=7), HCLT()], own).inputs}
        for own in (None, 5)
    ]
    assert widths == [{7, 4}, {7, 5}]


def test_a_file_keeps_the_parts(tmp_path):
    structure = MixedStructures([HCLT(input_sum=True), "rat", Mixture(3)])
    model = PCDensityEstimator(structure, n_components=2, max_iter=1, n_jobs=1).fit(table())
    model.save(tmp_path / "model")
    assert repr(skpc.load(tmp_path / "model").structure) == repr(structure)


@pytest.mark.parametrize("structures", ["hclt", HCLT(), [], None])
def test_no_list_of_structures(structures):
    with pytest.raises(ValueError, match="^structures=.* must be a list"):
        build(structures)


def test_what_cannot_be_a_part():
    """Sentences offer nothing that is refused."""
    for member in ("auto", build(["mixture"]), HCLT, "hlct", ["hclt"]):
        with pytest.raises(ValueError, match=r"^structures holds .*; each must be one of") as found:
            build(["hclt", member])
        offered = str(found.value).split("must be")[1].split("or a Structure")[0]
        assert "'hclt'" in offered
        assert "'auto'" not in offered


def test_settings_of_the_parts_are_checked():
    with pytest.raises(ValueError, match="depth=0"):
        build([HCLT(), RAT(depth=0)])
