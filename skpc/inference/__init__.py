"""Exact queries on a circuit with parameters.

Each query is one file over `Program` and `Parameters`; no query learns or reads a table.
"""

from .curvature import (
    SharpnessGradient,
    degree_of_overfitting,
    hessian_diagonal,
    hessian_trace,
    sharpness_gradient,
)
from .hessian import hessian_spectrum, tree_hessian
from .landscape import Landscape, loss_landscape
from .sample import sample

__all__ = [
    "Landscape",
    "SharpnessGradient",
    "degree_of_overfitting",
    "hessian_diagonal",
    "hessian_spectrum",
    "hessian_trace",
    "loss_landscape",
    "sample",
    "sharpness_gradient",
    "tree_hessian",
]
