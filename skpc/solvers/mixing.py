"""The one step that the EM family shares: old parameters mixed with what a batch says."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import TopDown
from ..backends.weights import mix_leaves, mix_rows, row_sums
from ..circuit import Parameters, Statistics
from ..utils.arrays import full, namespace, of_family

#: Below the smallest normal number, quotients lose their digits and reciprocals overflow.
SMALLEST = np.finfo(np.float64).tiny

#: A number, and what it is multiplied by in the layout of top-down probabilities; None: nothing.
Coefficients = tuple[Any, TopDown | None]


def mix(
    parameters: Parameters,
    keep: Coefficients,
    learn: Coefficients,
    statistics: Statistics,
) -> Parameters:
    """θ'_nc ∝ keep_n θ_nc + learn_n F̄_nc, and the same for mean parameters of leaves.

    A leaf's m' = (keep m + learn Σ F s) / (keep + learn Σ F). A unit for which old and new
    together weigh nothing (or less than the smallest normal number, which cannot be divided
    by) keeps its parameters.

    Parameters
    ----------
    parameters : Parameters
    keep, learn : tuple of (number, TopDown or None)
        Coefficients: the number times that of every unit of every sum and leaf family, or alone.
    statistics : Statistics
        Means over a batch.

    Returns
    -------
    Parameters
    """
    program = parameters.program
    weights = mix_rows(
        program, parameters.weights, statistics.flows, _of_rows(keep), _of_rows(learn), SMALLEST
    )
    leaves = []
    for f, mean in enumerate(parameters.leaves):
        coefficients = _of_leaves(keep, f), _of_leaves(learn, f)
        new = mix_leaves(mean, statistics.leaves[f], *coefficients, SMALLEST)
        family = program.families[f]
        leaves.append(of_family(family, family.project, new))
    return Parameters(program, weights, leaves)


def _of_rows(coefficients: Coefficients) -> tuple[Any, Any]:
    scale, values = coefficients
    return scale, None if values is None else values.rows


def _of_leaves(coefficients: Coefficients, family: int) -> tuple[Any, Any]:
    scale, values = coefficients
    return scale, None if values is None else values.leaves[family]


def unit_flows(statistics: Statistics, parameters: Parameters):
    """F̄_n of every unit of every sum (by row) and of every leaf family."""
    rows = row_sums(parameters.program, statistics.flows)
    return rows, [leaf[:, 0] for leaf in statistics.leaves]


def move_towards(parameters: Parameters, statistics: Statistics, step: Any) -> Parameters:
    """θ' = (1 - s) θ + s F̄_nc / F̄_n, and the same for leaves; units without flow stay."""
    rows, leaves = unit_flows(statistics, parameters)
    keep = TopDown(_share(rows, 1 - step), [_share(x, 1 - step) for x in leaves])
    learn = TopDown(_inverse(rows, step), [_inverse(x, step) for x in leaves])
    return mix(parameters, (1.0, keep), (1.0, learn), statistics)


def _share(flow, value):
    return namespace(flow).where(flow >= SMALLEST, value, full(flow, len(flow), 1.0))


def _inverse(flow, value):
    used = flow >= SMALLEST
    where = namespace(flow).where
    return where(used, value / where(used, flow, 1.0), 0.0)
