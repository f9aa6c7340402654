"""The one step that the EM family shares: old parameters mixed with what a batch says."""

from __future__ import annotations

from ..backends import Mixing, TopDown
from ..backends.base import SMALLEST
from ..backends.weights import mix_rows, mixed_leaves, row_sums, shares
from ..circuit import Parameters, Statistics

__all__ = ["SMALLEST", "mix", "unit_flows"]


def mix(
    parameters: Parameters, mixing: Mixing, statistics: Statistics, top_down: TopDown | None
) -> Parameters:
    """θ'_nc ∝ (1 - α) u_n θ_nc + α F̄_nc, and the same for mean parameters of leaves.

    With u_n = F̄_n that is θ' = (1 - α) θ + α F̄_nc / F̄_n. A unit for which old and new together
    weigh nothing (or less than the smallest normal number, which cannot be divided by) keeps its
    parameters.

    Parameters
    ----------
    parameters : Parameters
    mixing : Mixing
    statistics : Statistics
        Means over a batch.
    top_down : TopDown or None
        Not read where the step goes by flows.

    Returns
    -------
    Parameters
    """
    program = parameters.program
    flow, use, of_leaves = None, None, None
    if mixing.by_top_down:
        assert top_down is not None
        use, of_leaves = top_down.rows, top_down.leaves
    else:
        flow = row_sums(program, statistics.flows)
    coefficients = shares(mixing, use, flow)
    weights = mix_rows(program, parameters.weights, statistics.flows, *coefficients)
    leaves = mixed_leaves(program, parameters.leaves, statistics.leaves, mixing, of_leaves)
    return Parameters(program, weights, leaves)


def unit_flows(statistics: Statistics, parameters: Parameters):
    """F̄_n of every unit of every sum (by row) and of every leaf family."""
    rows = row_sums(parameters.program, statistics.flows)
    return rows, [leaf[:, 0] for leaf in statistics.leaves]
