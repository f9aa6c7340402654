import pytest

from skpc.structures import HCLT, STRUCTURES, Structure, resolve_structure


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_names(name):
    assert type(resolve_structure(name)) is STRUCTURES[name]


def test_objects_are_cloned():
    structure = HCLT(n_components=5, n_bins=4)
    resolved = resolve_structure(structure)
    assert resolved is not structure
    assert resolved.get_params() == structure.get_params()


@pytest.mark.parametrize("structure", ["hlct", None, HCLT, 3])
def test_unknown(structure):
    with pytest.raises(ValueError, match=r"structure=.* is unknown; give one of 'auto'"):
        resolve_structure(structure)


def test_build_is_required():
    with pytest.raises(TypeError, match="build"):
        Structure()
