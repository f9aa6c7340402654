"""The whole Hessian of the log-likelihood by the sum weights, for circuits that are trees."""

from __future__ import annotations

import numpy as np

from ..backends import log_curvature
from ..backends.base import UNTIE
from ..backends.log_domain import row_chunks
from ..circuit import Parameters, Program
from ..circuit.program import INPUT, KRONECKER, MIXING, PRODUCT, TRANSPOSE

#: Weights of the largest Hessian: a matrix of 800 MB.
MOST_WEIGHTS = 10_000


def tree_hessian(
    parameters: Parameters, X: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Hessian of the mean log-likelihood by the linear sum weights of a tree circuit.

    For two edges with derivatives g_a and g_b it is g_a g_b (1 / F - 1) a row, with F the flow of
    the deepest product above both (or of the child of one edge, where the other lies below it),
    and -g_a g_b where the deepest node above both is a sum.

    Parameters
    ----------
    parameters : Parameters
        Of a circuit in which no unit with weights below it has two parents, such as a mixture of
        independent columns. A dense sum of several units shares the units of its child.
    X : ndarray of shape (n, n_variables)
        Encoded rows, NaN for missing cells.
    sample_weight : ndarray of shape (n,), optional

    Returns
    -------
    ndarray of shape (n_weights, n_weights), float64
        In the order of ``Parameters.weights``.

    Raises
    ------
    ValueError
        If a unit has several parents, weights are shared, or the matrix would be too large.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
    >>> leaves = [Input(i, "bernoulli", 2, mean=[0.9, 0.1]) for i in range(2)]
    >>> program = Program(Circuit(Sum(Product(leaves), weights=[0.5, 0.5])))
    >>> tree_hessian(Parameters.uniform(program), np.array([[1.0, 1.0]])).round(2)
    array([[-3.9 , -0.05],
           [-0.05, -0.  ]])
    """
    program = parameters.program
    if program.n_weights > MOST_WEIGHTS:
        raise ValueError(
            f"The circuit has {program.n_weights} weights; their Hessian is computed for at most "
            f"{MOST_WEIGHTS}. hessian_trace and hessian_diagonal have no such limit."
        )
    below = _edges_below(program)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
    share = weight / weight.sum() if weight.sum() > 0 else weight
    out = np.zeros((program.n_weights, program.n_weights))
    for rows in row_chunks(program, len(X)):
        passes = log_curvature.upward(parameters, X[rows])
        g = np.zeros((len(X[rows]), program.n_weights))
        for v in range(program.n_vectors):
            if program.op[v] not in log_curvature.NO_SUMS:
                for edge in log_curvature.ratios(parameters, v, passes.values):
                    above = passes.flows[v][:, edge.units, None]
                    g[:, edge.span] = (above * edge.ratio).reshape(len(g), -1)
        out -= (g * share[rows, None]).T @ g
        for v, unit, parts in below:
            flow = passes.flows[v][:, unit]
            scale = np.divide(share[rows], flow, out=np.zeros_like(flow), where=flow > 0)
            for i, one in enumerate(parts):
                for other in parts[:i]:
                    block = (g[:, one] * scale[:, None]).T @ g[:, other]
                    out[np.ix_(one, other)] += block
                    out[np.ix_(other, one)] += block.T
    return out


def hessian_spectrum(
    parameters: Parameters, X: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Eigenvalues of :func:`tree_hessian`, in rising order: the most negative are the sharpest
    directions.

    Returns
    -------
    ndarray of shape (n_weights,)
    """
    return np.linalg.eigvalsh(tree_hessian(parameters, X, sample_weight))


def _edges_below(program: Program) -> list[tuple[int, int, list[np.ndarray]]]:
    """Units under which pairs of edges are used together: (vector, unit, groups of edges).

    Edges of different groups are used together when the unit is. At a product a group is what
    lies below one child; at the child of an edge, one group is that edge, the other what lies
    below.
    """
    if any(node.share is not None for node in program.circuit.sums):
        raise ValueError(
            "The circuit has shared weights; the Hessian of a tree takes every weight to be used "
            f"at one place. {UNTIE}"
        )
    none = np.zeros(0, dtype=np.int64)
    below: list[list[np.ndarray]] = []
    parents = [np.zeros(n, dtype=np.int64) for n in program.units]
    found = []
    for v in range(program.n_vectors):
        args = program.args[program.arg_start[v] : program.arg_start[v + 1]]
        mine: list[np.ndarray] = [none] * int(program.units[v])
        if program.op[v] == PRODUCT:
            for k in range(len(mine)):
                parts = [below[c][k] for c in args[:, 0]]
                mine[k] = np.concatenate(parts)
                found.append((v, k, [p for p in parts if p.size]))
            for c in args[:, 0]:
                parents[c] += 1
        elif program.op[v] == TRANSPOSE:
            child, _, rows, cols = args[0, :4]
            order = np.arange(rows * cols).reshape(rows, cols).T.ravel()
            mine = [below[child][k] for k in order]
            parents[child] += 1
        elif program.op[v] == KRONECKER:
            raise ValueError(
                "The circuit has a sum over a Kronecker product: every unit of a factor is used "
                "in several pairs, and the formula of the Hessian holds for trees only."
            )
        elif program.op[v] != INPUT:
            for child, offset, rows, cols, first, start in args:
                for row in range(rows):
                    for col in range(1 if program.op[v] == MIXING else cols):
                        unit = row if program.op[v] == MIXING else start + col
                        edge = np.array([offset + row * cols + col])
                        if program.op[v] == MIXING:
                            edge = np.array([offset + row])
                        parents[child][unit] += 1
                        below_child = below[child][unit]
                        mine[first + row] = np.concatenate([mine[first + row], edge, below_child])
                        if below_child.size:
                            found.append((int(child), unit, [edge, below_child]))
        below.append(mine)
    for v, (count, edges) in enumerate(zip(parents, below)):
        shared = [k for k in np.flatnonzero(count > 1).tolist() if edges[k].size]
        if shared:
            raise ValueError(
                f"Unit {shared[0]} of vector {v} has {count[shared[0]]} parents; the whole Hessian "
                "is computed for trees only, where two weights are used together below one node "
                "that is the same for all rows. hessian_trace works for every circuit."
            )
    return [entry for entry in found if len(entry[2]) > 1]
