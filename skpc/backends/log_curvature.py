"""Second derivatives of log p by the sum weights: float64, node by node in numpy.

With r = p_c / p_n on the edge n→c of a sum, g_nc = F_n r is the derivative of log p by the
linear weight θ_nc, and the trace of the Hessian is -Σ g². The gradient of Σ g² is 2 H g, a
product of the Hessian with the direction g itself. It takes two more passes over the circuit:
up, τ_n = Σ_c θ_nc r τ_c + F_n Σ_c r² at a sum and Σ_c τ_c at a product, the change of log p_n
when the weights move by g; and down, the change Ḟ of the flows, with (H g)_nc = r (Ḟ_n +
F_n (τ_c - τ_n)) and Ḟ_nc = F_n² r² + θ_nc (H g)_nc. τ at the root is Σ g² of the row.

Nothing here has a scale: a row may be as unlikely as it likes. Weights of zero are edges too;
a unit that says zero has no flow, and counts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..circuit import Parameters, Program, Statistics
from ..circuit.program import INPUT, KRONECKER, MIXING, PRODUCT, TRANSPOSE
from . import log_domain
from .log_domain import _blocks, _transposed, forward, row_chunks

#: Larger ratios, of a weight of next to zero to what it would bring, count as this: squares and
#: products of three stay numbers.
LARGEST = 1e75
#: Vectors without weights.
NO_SUMS = (INPUT, PRODUCT, TRANSPOSE)


class Passes(NamedTuple):
    """Of some rows: log values, flows F and changes τ of every vector, each (n, units)."""

    values: list[np.ndarray]
    flows: list[np.ndarray]
    changes: list[np.ndarray]


def sharpness(parameters: Parameters, X: np.ndarray) -> np.ndarray:
    """Σ_nc g_nc² of every row, shape (n,): minus the trace of the Hessian of log p."""
    out = np.empty(len(X))
    for rows in row_chunks(parameters.program, len(X)):
        out[rows] = upward(parameters, X[rows]).changes[-1][:, 0]
    return out


def statistics(
    parameters: Parameters,
    X: np.ndarray,
    sample_weight: np.ndarray | None = None,
    wanted: tuple[str, ...] = (),
) -> Statistics:
    """Statistics of some rows in logarithms, with "squares" and "curvature" if ``wanted``."""
    total = log_domain.statistics(parameters, X, sample_weight)
    if wanted:
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        add_curvature(parameters, X, weight, wanted, total)
    return total


def add_curvature(
    parameters: Parameters,
    X: np.ndarray,
    sample_weight: np.ndarray,
    wanted: tuple[str, ...],
    total: Statistics,
) -> None:
    """Add the statistics named in ``wanted``, "squares" and "curvature", to some others."""
    for rows in row_chunks(parameters.program, len(X)):
        passes = upward(parameters, X[rows])
        weight = np.asarray(sample_weight[rows], dtype=np.float64)
        if "squares" in wanted:
            _add_squares(parameters, passes, weight, total)
        if "curvature" in wanted:
            _add_gradient(parameters, X[rows], passes, weight, total)


def upward(parameters: Parameters, X: np.ndarray) -> Passes:
    """The first three passes: values, flows, and changes in the direction g."""
    program, weights = parameters.program, parameters.weights
    values = forward(parameters, X)
    flows = [np.zeros_like(v) for v in values]
    flows[-1][:, 0] = ~np.isneginf(values[-1][:, 0])
    for v in range(program.n_vectors - 1, -1, -1):
        if program.op[v] == PRODUCT:
            for c in _args(program, v)[:, 0]:
                flows[c] += flows[v]
        elif program.op[v] == TRANSPOSE:
            child, _, rows, cols = _args(program, v)[0, :4]
            flows[child] += _transposed(flows[v], cols, rows)
        elif program.op[v] != INPUT:
            for edge in ratios(parameters, v, values):
                above = flows[v][:, edge.units, None]
                _hand_down(program, v, edge, above * edge.ratio * edge.weights(weights), flows)
    changes = [np.zeros_like(v) for v in values]
    for v in range(program.n_vectors):
        if program.op[v] == PRODUCT:
            for c in _args(program, v)[:, 0]:
                changes[v] += changes[c]
        elif program.op[v] == TRANSPOSE:
            child, _, rows, cols = _args(program, v)[0, :4]
            changes[v] += _transposed(changes[child], rows, cols)
        elif program.op[v] != INPUT:
            below = _blocks(program, v, _args(program, v), changes)
            for edge, (_, _, _, change) in zip(ratios(parameters, v, values), below):
                above = flows[v][:, edge.units, None]
                share = edge.weights(weights) * edge.ratio
                changes[v][:, edge.units] += (share * change + above * edge.ratio**2).sum(axis=2)
    return Passes(values, flows, changes)


class Edges(NamedTuple):
    """A block of edges of a sum: which it is, its units, where its weights lie, and r."""

    block: int
    units: slice
    span: slice
    ratio: np.ndarray  # (n, rows, cols)

    def weights(self, flat: np.ndarray) -> np.ndarray:
        return flat[self.span].reshape(self.ratio.shape[1:])


def ratios(parameters: Parameters, v: int, values: list[np.ndarray]) -> Iterator[Edges]:
    """p_c / p_n on the edges of sum v, block by block; zero where p_n is zero."""
    program = parameters.program
    args = _args(program, v)
    zero = np.isneginf(values[v])
    base = np.where(zero, 0.0, values[v])
    # Shares of a unit add to one even where log p is so large that it swallows the weights.
    total = np.zeros_like(base)
    for where, offset, shape, child in _blocks(program, v, args, values):
        block = parameters.weights[offset : offset + shape[0] * shape[1]].reshape(shape)
        total[:, where] += (block * _exp(child - base[:, where, None])).sum(axis=2)
    total = np.where(zero | ~(total > 0), np.inf, total)
    for b, (where, offset, shape, child) in enumerate(_blocks(program, v, args, values)):
        span = slice(offset, offset + shape[0] * shape[1])
        ratio = np.minimum(_exp(child - base[:, where, None]) / total[:, where, None], LARGEST)
        yield Edges(b, where, span, np.broadcast_to(ratio, (len(base), *shape)))


def _add_squares(parameters, passes, weight, total) -> None:
    squares = total.extra.setdefault("squares", np.zeros(parameters.program.n_weights))
    for v in _sums(parameters.program):
        for edge in ratios(parameters, v, passes.values):
            g = passes.flows[v][:, edge.units, None] * edge.ratio
            squares[edge.span] += np.einsum("x,xnc->nc", weight, g**2).ravel()


def _add_gradient(parameters, X, passes, weight, total) -> None:
    program, (values, flows, changes) = parameters.program, passes
    gradient = total.extra.setdefault("curvature", np.zeros(program.n_weights))
    moved = [np.zeros_like(v) for v in values]
    for v in range(program.n_vectors - 1, -1, -1):
        args = _args(program, v)
        if program.op[v] == INPUT:
            f, start = program.family[v], program.unit_start[v]
            mine = slice(start, start + program.units[v])
            name = f"curvature_{f}"
            if name not in total.extra:
                total.extra[name] = np.zeros_like(total.leaves[f])
            total.extra[name][mine] += program.families[f].flow_statistics(
                parameters.leaves[f][mine],
                program.cells(v, X),
                2 * weight[:, None] * moved[v],
            )
        elif program.op[v] == PRODUCT:
            for c in args[:, 0]:
                moved[c] += moved[v]
        elif program.op[v] == TRANSPOSE:
            child, _, rows, cols = args[0, :4]
            moved[child] += _transposed(moved[v], cols, rows)
        else:
            below = _blocks(program, v, args, changes)
            for edge, (_, _, _, change) in zip(ratios(parameters, v, values), below):
                above = flows[v][:, edge.units, None]
                here = (moved[v] - flows[v] * changes[v])[:, edge.units, None]
                product = edge.ratio * (here + above * change)
                gradient[edge.span] += 2 * np.einsum("x,xnc->nc", weight, product).ravel()
                down = (above * edge.ratio) ** 2 + edge.weights(parameters.weights) * product
                _hand_down(program, v, edge, down, moved)


def _hand_down(program: Program, v: int, edge: Edges, down: np.ndarray, flows) -> None:
    """Add what a block of edges (n, rows, cols) hands to its children."""
    args = _args(program, v)
    if program.op[v] == MIXING:
        flows[args[edge.block, 0]] += down[:, :, 0]
    elif program.op[v] == KRONECKER:
        first, second = args[:, 0]
        part = down.sum(axis=1)
        flows[second] += part
        flows[first][:, edge.block] += part.sum(axis=1)
    else:
        child, start = args[edge.block, 0], args[edge.block, 5]
        flows[child][:, start : start + down.shape[2]] += down.sum(axis=1)


def _args(program: Program, v: int) -> np.ndarray:
    return program.args[program.arg_start[v] : program.arg_start[v + 1]]


def _sums(program: Program) -> list[int]:
    return [v for v in range(program.n_vectors) if program.op[v] not in NO_SUMS]


def _exp(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(np.exp(np.minimum(x, 700.0)), nan=0.0)
