"""A circuit in float64 logarithms, node by node in numpy: slow, and nothing underflows.

Rows whose scaled evaluation may have lost mass are evaluated here, up and down. A unit of
a sum costs one exponential an edge and row, 20 to 50 times the scaled product.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..circuit import Parameters, Program, Statistics
from ..circuit.program import INPUT, KRONECKER, MIXING, PRODUCT, TRANSPOSE

#: Largest number of (row, edge) entries held at once, 32 MB.
CHUNK = 1 << 22

#: Rows times weights from which on this takes longer than some tenths of a second, and how many of
#: them a node costs.
LONG, NODE = 1 << 20, 500


def takes_long(program: Program, n: int) -> bool:
    """Whether kernels of float64 should try so many rows before they are evaluated here.

    Most rows that float32 cannot hold lie within the range of float64: of deep circuits with many
    units, untrained ones above all, these can be all rows.
    """
    return n * program.n_weights + NODE * program.n_vectors >= LONG


def log_likelihood(parameters: Parameters, X: np.ndarray) -> np.ndarray:
    """Natural log density of every row, shape (n,)."""
    out = np.empty(len(X))
    for rows in row_chunks(parameters.program, len(X)):
        out[rows] = forward(parameters, X[rows])[-1][:, 0]
    return out


def statistics(
    parameters: Parameters,
    X: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> Statistics:
    """Statistics of some rows; rows of probability zero have no flow and log p = -inf."""
    total = Statistics.zeros(parameters.program)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
    for rows in row_chunks(parameters.program, len(X)):
        total = total + _chunk_statistics(parameters, X[rows], weight[rows])
    return total


def forward(parameters: Parameters, X: np.ndarray) -> list[np.ndarray]:
    """log value of every vector, each (n, units)."""
    program = parameters.program
    log_weights = _log(parameters.weights)
    values: list[np.ndarray] = []
    for v in range(program.n_vectors):
        args = program.args[program.arg_start[v] : program.arg_start[v + 1]]
        if program.op[v] == INPUT:
            f, start = program.family[v], program.unit_start[v]
            mean = parameters.leaves[f][start : start + program.units[v]]
            values.append(program.families[f].log_density(mean, program.cells(v, X)).T)
        elif program.op[v] == PRODUCT:
            values.append(np.sum([values[c] for c in args[:, 0]], axis=0))
        elif program.op[v] == TRANSPOSE:
            child, _, rows, cols = args[0, :4]
            values.append(_transposed(values[child], rows, cols))
        else:
            total = np.full((len(X), program.units[v]), -np.inf)
            for where, offset, shape, child in _blocks(program, v, args, values):
                block = log_weights[offset : offset + shape[0] * shape[1]].reshape(shape)
                total[:, where] = np.logaddexp(total[:, where], _log_sum(block + child))
            values.append(total)
    return values


def _chunk_statistics(parameters: Parameters, X: np.ndarray, weight: np.ndarray) -> Statistics:
    program = parameters.program
    log_weights = _log(parameters.weights)
    values = forward(parameters, X)
    out = Statistics.zeros(program)
    root = values[-1][:, 0]
    used = weight > 0
    out.weight = float(weight.sum())
    out.log_likelihood = float(np.dot(weight[used], root[used]))
    flows = [np.full(v.shape, -np.inf) for v in values]
    flows[-1][:, 0] = np.where(np.isneginf(root), -np.inf, _log(weight))
    for v in range(program.n_vectors - 1, -1, -1):
        args = program.args[program.arg_start[v] : program.arg_start[v + 1]]
        if program.op[v] == INPUT:
            f, start = program.family[v], program.unit_start[v]
            mine = slice(start, start + program.units[v])
            out.leaves[f][mine] += program.families[f].flow_statistics(
                parameters.leaves[f][mine], program.cells(v, X), np.exp(flows[v])
            )
        elif program.op[v] == PRODUCT:
            for c in args[:, 0]:
                flows[c] = np.logaddexp(flows[c], flows[v])
        elif program.op[v] == TRANSPOSE:
            child, _, rows, cols = args[0, :4]
            flows[child] = np.logaddexp(flows[child], _transposed(flows[v], cols, rows))
        else:
            # Shares of a unit add to one even where log p is so large (1e60 for a cell 1e30
            # deviations out) that it swallows the weights: they are divided by their sum.
            base = np.where(np.isneginf(values[v]), 0.0, values[v])
            total = np.full(base.shape, -np.inf)
            for where, offset, shape, child in _blocks(program, v, args, values):
                span = slice(offset, offset + shape[0] * shape[1])
                share = log_weights[span].reshape(shape) + child - base[:, where, None]
                total[:, where] = np.logaddexp(total[:, where], _log_sum(share))
            up = flows[v] - np.where(np.isneginf(total), 0.0, total)
            for b, (where, offset, shape, child) in enumerate(_blocks(program, v, args, values)):
                span = slice(offset, offset + shape[0] * shape[1])
                share = log_weights[span].reshape(shape) + child - base[:, where, None]
                edges = up[:, where, None] + share
                out.flows[span] += np.exp(edges).sum(axis=0).ravel()
                if program.op[v] == MIXING:
                    c = args[b, 0]
                    flows[c] = np.logaddexp(flows[c], edges[:, :, 0])
                    continue
                down = _log_sum(edges.transpose(0, 2, 1))
                if program.op[v] == KRONECKER:
                    first, second = args[:, 0]
                    flows[second] = np.logaddexp(flows[second], down)
                    one = np.logaddexp(flows[first][:, b], _log_sum(down[:, None, :])[:, 0])
                    flows[first][:, b] = one
                else:
                    c, start = args[b, 0], args[b, 5]
                    part = flows[c][:, start : start + shape[1]]
                    flows[c][:, start : start + shape[1]] = np.logaddexp(part, down)
    return out


def _blocks(program: Program, v: int, args, values) -> Iterator[tuple]:
    """Units of the sum, weight offset, shape, and log values (n, 1 or rows, cols) of a block."""
    if program.op[v] == KRONECKER:
        (a, offset, rows, n_a, _, _), (b, _, _, n_b, _, _) = args
        for i in range(n_a):
            child = values[a][:, i, None] + values[b]
            yield slice(0, rows), offset + i * rows * n_b, (rows, n_b), child[:, None, :]
        return
    for child, offset, rows, cols, first, start in args:
        if program.op[v] == MIXING:
            yield slice(0, rows), offset, (rows, 1), values[child][:, :, None]
        else:
            part = values[child][:, None, start : start + cols]
            yield slice(first, first + rows), offset, (rows, cols), part


def _transposed(x: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Units (n, rows · cols) of a grid in the order of its columns."""
    return x.reshape(-1, rows, cols).swapaxes(1, 2).reshape(x.shape)


def row_chunks(program: Program, n: int) -> Iterator[slice]:
    widest = 1
    for group in program.groups:
        widest = max(widest, group.rows * group.cols)
    size = max(1, CHUNK // (widest + int(program.units.sum())))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def _log(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(x)


def _log_sum(x: np.ndarray) -> np.ndarray:
    """log Σ exp over the last axis; -inf for none."""
    top = x.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    return _log(np.exp(x - top).sum(axis=-1)) + top[..., 0]
