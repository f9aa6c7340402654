"""Data to learn densities from: binary benchmarks (``debd``) and synthetic shapes (``synthetic``).

Loaders and generators that return plain numpy arrays live here; models and figures may not.
Nothing else of skpc is imported here, and nothing else of skpc may import this package.
"""

from .debd import DEBD_NAMES, fetch_debd
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
    "fetch_debd",
    "load_synthetic",
    "make_helix",
    "make_interlocked_circles",
    "make_knotted",
    "make_lissajous",
    "make_pinwheel",
    "make_spiral",
    "make_twisted_eight",
    "make_two_moons",
]
