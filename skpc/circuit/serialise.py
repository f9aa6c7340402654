"""A circuit as plain arrays and JSON, and back: no code is stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..distributions import resolve_distribution
from .circuit import Circuit
from .nodes import SUM_KINDS, Input, Node, Product, Sum

NODE_INPUT, NODE_PRODUCT, NODE_KRONECKER, NODE_SUM, NODE_TRANSPOSE = range(5)


def circuit_to_arrays(circuit: Circuit) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays (one row a node, children before parents) and a JSON-able header.

    Start values that nodes were given by hand are not kept: parameters are stored apart.
    """
    number = {id(n): i for i, n in enumerate(circuit.nodes)}
    families: list[Any] = []
    rows, children, starts = [], [], [0]
    columns: list[int] = []
    for node in circuit.nodes:
        share = -1
        if isinstance(node, Input):
            if node.distribution not in families:
                families.append(node.distribution)
            share = -1 if node.share is None else number[id(node.share)]
            family = families.index(node.distribution)
            rows.append((NODE_INPUT, node.n_units, len(columns), family, share))
            columns += node.variables
        elif isinstance(node, Product) and node.grid:
            rows.append((NODE_TRANSPOSE, node.n_units, *node.grid, share))
        elif isinstance(node, Product):
            rows.append(
                (NODE_KRONECKER if node.kronecker else NODE_PRODUCT, node.n_units, 0, 0, share)
            )
        elif isinstance(node, Sum):
            share = -1 if node.share is None else number[id(node.share)]
            rows.append((NODE_SUM, node.n_units, SUM_KINDS.index(node.kind), node.n_blocks, share))
        children += [number[id(c)] for c in node.children]
        starts.append(len(children))
    arrays = {
        "nodes": np.array(rows, dtype=np.int64),
        "children": np.array(children, dtype=np.int64),
        "starts": np.array(starts, dtype=np.int64),
        "columns": np.array(columns, dtype=np.int64),
    }
    header = {
        "n_variables": circuit.n_variables,
        "distributions": [family.to_config() for family in families],
    }
    return arrays, header


def circuit_from_arrays(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Circuit:
    """The circuit that :func:`circuit_to_arrays` wrote."""
    families = [resolve_distribution(config) for config in header["distributions"]]
    rows = arrays["nodes"].tolist()
    starts, children = arrays["starts"].tolist(), arrays["children"].tolist()
    columns = arrays["columns"].tolist()
    nodes: list[Any] = [None] * len(rows)

    def make(i: int) -> Node:
        kind, units, a, b, share = rows[i]
        below = [nodes[c] for c in children[starts[i] : starts[i + 1]]]
        tied: Any = None if share < 0 else nodes[share]
        if kind == NODE_INPUT:
            mine = columns[a : a + families[b].n_variables]
            return Input(mine, families[b], units, share=tied)
        if kind == NODE_SUM:
            return Sum(below, units, kind=SUM_KINDS[a], n_blocks=b, share=tied)
        if kind == NODE_TRANSPOSE:
            return Product(below, grid=(a, b))
        return Product(below, kronecker=kind == NODE_KRONECKER)

    # A node whose owner of parameters comes later waits for it: owners first, in order.
    waiting = list(range(len(rows)))
    while waiting:
        later = []
        for i in waiting:
            needed = children[starts[i] : starts[i + 1]]
            needed = needed + [rows[i][4]] * (rows[i][4] >= 0)
            if any(nodes[j] is None for j in needed):
                later.append(i)
            else:
                nodes[i] = make(i)
        if len(later) == len(waiting):
            raise ValueError("The stored circuit refers to nodes that it does not hold.")
        waiting = later
    return Circuit(nodes[-1], header["n_variables"])
