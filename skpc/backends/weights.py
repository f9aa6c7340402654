"""Weights row by row, wherever they lie: each backend's own loops do the work."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..circuit import Program


def row_sums(program: Program, weights: Any) -> Any:
    """Sum of the weights (or flows) of every normaliser row, shape (n_rows,)."""
    if isinstance(weights, np.ndarray):
        return program.row_sums(weights)
    from .torch.weights import rows_of

    return rows_of(program, weights.device).sums(weights)


def spread_rows(program: Program, values: Any) -> Any:
    """A value a row repeated for every weight of the row, shape (n_weights,)."""
    if isinstance(values, np.ndarray):
        return program.spread_rows(values)
    from .torch.weights import rows_of

    return rows_of(program, values.device).spread(values, program.n_weights)


def mix_rows(
    program: Program, weights: Any, flows: Any, keep: Any, learn: Any, smallest: float
) -> Any:
    """New weights ∝ keep · weights + learn · flows, row by row; rows without mass stay.

    Parameters
    ----------
    program : Program
    weights, flows : arrays of shape (n_weights,)
    keep, learn : arrays of shape (n_rows,)
    smallest : float
        Below it a row's total counts as no mass.
    """
    if not isinstance(weights, np.ndarray):
        from .torch.weights import rows_of

        return rows_of(program, weights.device).mixed(weights, flows, keep, learn, smallest)
    from .numba_cpu.updates import mix_rows

    new = np.empty_like(weights)
    zeros = np.zeros(program.n_rows)
    mix_rows(program.segments, weights, flows, keep, learn, smallest, zeros, new)
    return new


def mix_leaves(mean: Any, flows: Any, keep: Any, learn: Any, smallest: float) -> Any:
    """New means (keep · mean + learn · flows[:, 1:]) / (keep + learn · flows[:, 0]), unit by unit.

    Parameters
    ----------
    mean : array of shape (units, S)
    flows : array of shape (units, 1 + S)
    keep, learn : arrays of shape (units,)
    smallest : float
        A unit whose divisor is below it keeps its mean.
    """
    if not isinstance(mean, np.ndarray):
        total = (keep + learn * flows[:, 0])[:, None]
        new = (keep[:, None] * mean + learn[:, None] * flows[:, 1:]) / total
        return new.where(total >= smallest, mean)
    from .numba_cpu.updates import mix_leaves

    new = np.empty_like(mean)
    mix_leaves(mean, flows, keep, learn, smallest, new)
    return new
