"""Data to learn densities from: binary benchmarks (``debd``), MNIST, mixed tables of known density
and synthetic shapes.

Loaders and generators that return plain numpy arrays live here, and what makes rows of images and
of token sequences; models and figures may not.
Of skpc only ``utils`` is imported here, and nothing else of skpc may import this package.
"""

from .debd import DEBD_NAMES, fetch_debd
from .idx import read_idx
from .images import (
    assemble_patches,
    bits_per_dimension,
    extract_patches,
    rgb_to_ycocg,
    rgb_to_ycocg_r,
    ycocg_r_to_rgb,
    ycocg_to_rgb,
)
from .mixed import MixedTable, make_mixed_chain, make_mixed_clusters, make_mixed_skewed
from .mnist import fetch_mnist
from .sequences import chunk_tokens
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
    "assemble_patches",
    "bits_per_dimension",
    "chunk_tokens",
    "extract_patches",
    "fetch_debd",
    "fetch_mnist",
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
    "read_idx",
    "rgb_to_ycocg",
    "rgb_to_ycocg_r",
    "ycocg_r_to_rgb",
    "ycocg_to_rgb",
]
