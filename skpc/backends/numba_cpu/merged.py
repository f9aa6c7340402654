"""Sums that were merged into the leaves below them: their tables and what their flows say.

With W the weights of such a sum, T[c, s] the probability of state s under leaf unit c (1
for a missing cell) and M = W T its own table, the kernels count C[n, s], the flow of unit
n over rows in state s. The edge n→c then had Σ_s W[n, c] T[c, s] C[n, s] / M[n, s], and
leaf unit c in state s had Σ_n of the same terms.
"""

from __future__ import annotations

import numpy as np

from ...circuit import Parameters
from .plan import MergedTables


def merged_factors(group: MergedTables, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """W (n, height, width) and T (n, width, states + 1)."""
    family = parameters.program.families[group.family]
    probability = family.probabilities(parameters.leaves[group.family])
    units = group.units[:, None] + np.arange(group.width)
    tables = np.ones((len(group.sums), group.width, group.states + 1))
    tables[:, :, :-1] = probability[units]
    return _weights(group, parameters.weights), tables


def pack_merged(group: MergedTables, values: np.ndarray, table, log2_scale) -> None:
    """Write M divided by its largest unit, and the logarithm of that, for the kernels."""
    top = values.max(axis=1)
    top[top <= 0] = 1.0
    size = len(group.sums) * group.height * (group.states + 2)
    out = table[group.packed_start : group.packed_start + size]
    out = out.reshape(len(group.sums), group.height, group.states + 2)
    np.divide(values, top[:, None, :], out=out[:, :, :-1], casting="same_kind")
    size = len(group.sums) * (group.states + 2)
    scale = log2_scale[group.scale_start : group.scale_start + size]
    scale.reshape(len(group.sums), group.states + 2)[:, :-1] = np.log2(top)


def unpack_merged(group: MergedTables, parameters: Parameters, leaf_out, flows, leaf_flows) -> None:
    """Add to the edge flows and to the leaf flows by state what the merged sums counted."""
    weights, tables = merged_factors(group, parameters)
    values = weights @ tables
    size = len(group.sums) * group.height * (group.states + 1)
    counted = leaf_out[group.out_start : group.out_start + size].reshape(values.shape)
    ratio = np.divide(counted, values, out=np.zeros_like(values), where=values > 0)
    edges = weights * (ratio @ tables.transpose(0, 2, 1))
    np.add.at(flows, _span(group), edges.reshape(len(group.sums), -1))
    states = tables * (weights.transpose(0, 2, 1) @ ratio)
    units = group.units[:, None] + np.arange(group.width)
    np.add.at(leaf_flows, units, states[:, :, :-1])


def _span(group: MergedTables) -> np.ndarray:
    return group.weights[:, None] + np.arange(group.height * group.width)


def _weights(group: MergedTables, weights: np.ndarray) -> np.ndarray:
    size = group.height * group.width
    first, count = int(group.weights[0]), len(group.weights)
    if np.array_equal(group.weights, first + size * np.arange(count)):
        part = weights[first : first + count * size]
    else:
        part = weights[_span(group)]
    return part.reshape(count, group.height, group.width)
