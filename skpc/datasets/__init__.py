"""Data to learn densities from: binary benchmarks (``debd``), synthetic shapes (``synthetic``) and
mixed tables of known density (``mixed``).

Loaders and generators that return plain numpy arrays live here; models and figures may not.
Nothing else of skpc is imported here, and nothing else of skpc may import this package.
"""

from .debd import DEBD_NAMES, fetch_debd
from .mixed import MixedTable, make_mixed_chain, make_mixed_clusters, make_mixed_skewed
from .synthetic import (
    SYNTHETIC_NAMES,
    load_synthetic,
    make_helix,
    make_interlocked_circles,
    make_knotted,
    make_lissajous,
    make_pinwheel,
    make_spiral,
    make_twisted_eight,
    make_two_moons,
)

__all__ = [
    "DEBD_NAMES",
    "SYNTHETIC_NAMES",
    "MixedTable",
    "fetch_debd",
    "load_synthetic",
    "make_helix",
    "make_interlocked_circles",
    "make_knotted",
    "make_lissajous",
    "make_mixed_chain",
    "make_mixed_clusters",
    "make_mixed_skewed",
    "make_pinwheel",
    "make_spiral",
    "make_twisted_eight",
    "make_two_moons",
]
