"""Weights row by row, wherever they lie: each backend's own loops do the work."""

from __future__ import annotations

from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..circuit import Program, Statistics
from ..utils.arrays import full, namespace, of_family
from .base import SMALLEST, Mixing


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


#: A number, and an array it is multiplied by, or None.
Coefficients = tuple[Any, Any]


def mix_rows(
    program: Program,
    weights: Any,
    flows: Any,
    keep: Coefficients,
    learn: Coefficients,
) -> Any:
    """New weights ∝ keep · weights + learn · flows, row by row; rows without mass stay.

    Parameters
    ----------
    program : Program
    weights, flows : arrays of shape (n_weights,)
    keep, learn : tuple of (number, array of shape (n_rows,) or None)
        Coefficients: the number times that of every row, or alone.
    """
    if not isinstance(weights, np.ndarray):
        from .torch.weights import rows_of

        old, more = (_spread(c, weights, program.n_rows) for c in (keep, learn))
        return rows_of(program, weights.device).mixed(weights, flows, old, more, SMALLEST)
    cpu = _cpu()
    new = np.empty_like(weights)
    loop = program.segments, weights, flows, *keep, *learn, SMALLEST, new
    if len(program.segments) == program.n_rows:
        cpu.run_parts(partial(cpu.mix_rows, *loop), program.n_rows, len(weights))
    else:
        cpu.mix_scattered_rows(*loop, np.zeros(program.n_rows))
    return new


def mix_leaves(mean: Any, flows: Any, keep: Coefficients, learn: Coefficients) -> Any:
    """New means (keep · mean + learn · flows[:, 1:]) / (keep + learn · flows[:, 0]), unit by unit.

    Parameters
    ----------
    mean : array of shape (units, S)
    flows : array of shape (units, 1 + S)
    keep, learn : tuple of (number, array of shape (units,) or None)
        Coefficients: the number times that of every unit, or alone. A unit whose divisor is below
        ``SMALLEST`` keeps its mean.
    """
    if not isinstance(mean, np.ndarray):
        old, more = (_spread(c, mean, len(mean)) for c in (keep, learn))
        total = (old + more * flows[:, 0])[:, None]
        new = (old[:, None] * mean + more[:, None] * flows[:, 1:]) / total
        return new.where(total >= SMALLEST, mean)
    new = np.empty_like(mean)
    _cpu().mix_leaves(mean, flows, *keep, *learn, SMALLEST, new)
    return new


def shares(mixing: Mixing, use: Any, flow: Any) -> tuple[Coefficients, Coefficients]:
    """What a step keeps of old parameters, and what it learns of flows, unit by unit.

    ``use`` are top-down probabilities, ``flow`` flows of the batch; the one that the step does not
    go by may be None.
    """
    step = mixing.step
    if mixing.by_top_down:
        return (1 - step, use), (step, None)
    where, used = namespace(flow).where, flow >= SMALLEST
    keep = where(used, 1 - step, full(flow, len(flow), 1.0))
    return (1.0, keep), (1.0, where(used, step / where(used, flow, 1.0), 0.0))


def mixed_leaves(program: Program, means: list, flows: list, mixing: Mixing, use: list | None):
    """Mean parameters of all families after a step; ``use`` as in ``shares``, family by family."""
    found = []
    for f, (family, mean, flow) in enumerate(zip(program.families, means, flows, strict=True)):
        keep, learn = shares(mixing, None if use is None else use[f], flow[:, 0])
        found.append(of_family(family, family.project, mix_leaves(mean, flow, keep, learn)))
    return found


def _spread(coefficients: Coefficients, like: Any, n: int) -> Any:
    """Coefficients as one array."""
    scale, values = coefficients
    return full(like, n, scale) if values is None else scale * values


def smoothed_means(statistics: Statistics, smoothing: Statistics | None) -> Statistics:
    """Means a row plus the smoothing, in the arrays of the statistics, which are lost."""
    weight = statistics.weight
    plain = isinstance(statistics.flows, np.ndarray) and not statistics.extra
    if smoothing is None or not plain:
        means = statistics.mean(in_place=True)
        if smoothing is not None:
            means += smoothing
        return means
    if not weight > 0:
        return statistics.scaled(0.0) + smoothing
    cpu = _cpu()
    pairs = zip(
        [statistics.flows, *statistics.leaves], [smoothing.flows, *smoothing.leaves], strict=True
    )
    for sums, more in pairs:
        flat, other = sums.reshape(-1), more.reshape(-1)
        cpu.run_parts(partial(cpu.smooth_means, flat, weight, other), sums.size, sums.size)
    statistics.log_likelihood = statistics.log_likelihood / weight + smoothing.log_likelihood
    statistics.weight = 1.0 + smoothing.weight
    return statistics


@cache
def _cpu():
    """The compiled loops; imported late, for numba takes as long as the rest together."""
    from .numba_cpu import lanes, updates

    return SimpleNamespace(**vars(updates), run_parts=lanes.run_parts)
