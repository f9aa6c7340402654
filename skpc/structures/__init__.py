"""Structures: recipes that turn data into a circuit.

Here live structure learning (which nodes, over which columns) and the names of the structures.
Start values, training and anything that reads or writes parameters do not.
"""

from sklearn.base import clone

from .base import Structure
from .chow_liu_tree import CLTree
from .hclt import HCLT
from .hmm import HMM
from .learnspn import LearnSPN
from .mixed import MixedStructures
from .mixture import Mixture
from .monarch_hmm import MonarchHMM
from .pdhclt import PDHCLT
from .poon_domingos import PD
from .quad import Quad
from .rat import RAT

STRUCTURES = {
    "cltree": CLTree,
    "hclt": HCLT,
    "hmm": HMM,
    "learnspn": LearnSPN,
    "mixed": MixedStructures,
    "mixture": Mixture,
    "monarch_hmm": MonarchHMM,
    "pd": PD,
    "pdhclt": PDHCLT,
    "quad": Quad,
    "rat": RAT,
}

__all__ = [
    "HCLT",
    "HMM",
    "PD",
    "PDHCLT",
    "RAT",
    "STRUCTURES",
    "CLTree",
    "LearnSPN",
    "MixedStructures",
    "Mixture",
    "MonarchHMM",
    "Quad",
    "Structure",
    "learns_parameters",
    "resolve_structure",
]


def resolve_structure(structure):
    """A new structure object from a name or an object.

    Parameters
    ----------
    structure : str or Structure
        A name in `STRUCTURES`, or an object, which is cloned and never changed.

    Returns
    -------
    Structure

    Raises
    ------
    ValueError
        If it is neither, or has settings that cannot work.

    Examples
    --------
    >>> from skpc.structures import HCLT, resolve_structure
    >>> resolve_structure("hclt")
    HCLT()
    >>> resolve_structure(HCLT(n_components=8))
    HCLT(n_components=8)
    """
    if isinstance(structure, Structure):
        made = clone(structure)
        made.check()
        return made
    if isinstance(structure, str) and structure in STRUCTURES:
        return STRUCTURES[structure]()
    names = ", ".join(repr(name) for name in ["auto", *sorted(STRUCTURES)])
    raise ValueError(
        f"structure={structure!r} is unknown; give one of {names}, a Structure object or a Circuit."
    )


def learns_parameters(structure):
    """Whether a structure, by name or as an object, brings learnt parameters with its circuit.

    Parameters
    ----------
    structure : str, Structure or Circuit

    Returns
    -------
    bool

    Examples
    --------
    >>> from skpc.structures import learns_parameters
    >>> learns_parameters("learnspn"), learns_parameters("hclt")
    (True, False)
    """
    kind = STRUCTURES.get(structure) if isinstance(structure, str) else structure
    return getattr(kind, "learns_parameters", False)
