"""Sums that were merged into the leaves below them: their tables and what their flows say.

With W the weights of such a sum, T[c, s] the probability of state s under leaf unit c (1
for a missing cell) and M = W T its own table, the kernels count C[n, s], the flow of unit
n over rows in state s. The edge n→c then had Σ_s W[n, c] T[c, s] C[n, s] / M[n, s], and
leaf unit c in state s had Σ_n of the same terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...circuit import Parameters
from .plan import MergedTables


class Factors(NamedTuple):
    """W (n, height, width), T (n, width, states + 1) and M = W T of a group."""

    weights: np.ndarray
    tables: np.ndarray
    values: np.ndarray


def merged_factors(group: MergedTables, parameters: Parameters, probability) -> Factors:
    """The matrices of a group; ``probability`` is (family units, states)."""
    tables = np.ones((len(group.sums), group.width, group.states + 1))
    tables[:, :, :-1] = probability[group.unit_index]
    if isinstance(group.weight_index, slice):
        weights = parameters.weights[group.weight_index]
    else:
        weights = parameters.weights[group.weight_index.ravel()]
    weights = weights.reshape(len(group.sums), group.height, group.width)
    return Factors(weights, tables, weights @ tables)


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


def unpack_merged(group: MergedTables, factors: Factors, leaf_out, flows, leaf_flows) -> None:
    """Add to the edge flows and to the leaf flows by state what the merged sums counted."""
    weights, tables, values = factors
    size = len(group.sums) * group.height * (group.states + 1)
    counted = leaf_out[group.out_start : group.out_start + size].reshape(values.shape)
    ratio = np.divide(counted, values, out=np.zeros_like(values), where=values > 0)
    edges = weights * (ratio @ tables.transpose(0, 2, 1))
    states = tables * (weights.transpose(0, 2, 1) @ ratio)
    if isinstance(group.weight_index, slice):
        flows[group.weight_index] += edges.ravel()
    else:
        np.add.at(flows, group.weight_index, edges.reshape(len(group.sums), -1))
    if group.units_differ:
        leaf_flows[group.unit_index] += states[:, :, :-1]
    else:
        np.add.at(leaf_flows, group.unit_index, states[:, :, :-1])
