"""Ancestral sampling: from the root down, every sum draws one of its children."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..circuit import Parameters, Program
from ..circuit.program import INPUT, KRONECKER, MIXING, PRODUCT, TRANSPOSE
from ..utils.random_generator import random_generator


def sample(parameters: Parameters, n_samples: int, random_state: Any = None) -> np.ndarray:
    """Draw rows from a normalised circuit.

    All rows descend together, a vector at a time, so the cost is a few array operations a
    node and one draw a (row, sum) pair.

    Parameters
    ----------
    parameters : Parameters
    n_samples : int
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ndarray of shape (n_samples, n_variables), float64
        Codes for finite families; NaN for variables that the circuit does not speak of.

    Examples
    --------
    >>> from skpc.circuit import Circuit, Input, Parameters, Product, Program
    >>> coins = [Input(i, "bernoulli", mean=[0.5]) for i in range(2)]
    >>> sample(Parameters.uniform(Program(Circuit(Product(coins)))), 3, random_state=0).shape
    (3, 2)
    """
    rng = random_generator(random_state)
    program = parameters.program
    X = np.full((n_samples, program.n_variables), np.nan)
    arrived: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(program.n_vectors)]
    arrived[-1].append((np.arange(n_samples), np.zeros(n_samples, dtype=np.int64)))
    for v in range(program.n_vectors - 1, -1, -1):
        if not arrived[v]:
            continue
        rows = np.concatenate([r for r, _ in arrived[v]])
        units = np.concatenate([u for _, u in arrived[v]])
        arrived[v] = []
        args = program.args[program.arg_start[v] : program.arg_start[v + 1]]
        if program.op[v] == INPUT:
            f = int(program.family[v])
            mean = parameters.leaves[f][program.unit_start[v] + units]
            drawn = program.families[f].sample(mean, rng)
            X[rows[:, None], program.columns[v]] = drawn.reshape(len(rows), -1)
        elif program.op[v] == PRODUCT:
            for child in args[:, 0]:
                arrived[child].append((rows, units))
        elif program.op[v] == TRANSPOSE:
            child, _, n_rows, n_columns = args[0, :4]
            arrived[child].append((rows, units % n_rows * n_columns + units // n_rows))
        else:
            matrix, places = choice_matrix(program, v, parameters.weights)
            drawn = _draw(matrix, units, rng)
            for child, chosen, start in places:
                picked = chosen[drawn]
                here = picked >= 0
                if here.any():
                    arrived[child].append((rows[here], picked[here] + start))
    return X


def choice_matrix(
    program: Program, v: int, weights: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, np.ndarray, int]]]:
    """All choices of a sum: weights (units, choices), and where each choice leads.

    Returns
    -------
    matrix : ndarray of shape (units, choices)
    places : list of (child vector, ndarray of shape (choices,), first unit)
        The unit of the child that a choice leads to, -1 where it leads elsewhere. A
        Kronecker sum leads to one unit of each factor.
    """
    args = program.args[program.arg_start[v] : program.arg_start[v + 1]]
    units = int(program.units[v])
    if program.op[v] == KRONECKER:
        (a, offset, _, n_a, _, _), (b, _, _, n_b, _, _) = args
        blocks = weights[offset : offset + n_a * units * n_b].reshape(n_a, units, n_b)
        matrix = blocks.transpose(1, 0, 2).reshape(units, n_a * n_b)
        choice = np.arange(n_a * n_b)
        return matrix, [(a, choice // n_b, 0), (b, choice % n_b, 0)]
    parts, places, width = [], [], 0
    total = len(args) * units if program.op[v] == MIXING else int(args[:, 3].sum())
    for child, offset, rows, cols, first, start in args:
        block = weights[offset : offset + rows * cols].reshape(rows, cols)
        if program.op[v] == MIXING:
            block, cols = np.diag(block[:, 0]), units
        part = np.zeros((units, cols))
        part[first : first + rows] = block
        parts.append(part)
        chosen = np.full(total, -1)
        chosen[width : width + cols] = np.arange(cols)
        places.append((int(child), chosen, 0 if program.op[v] == MIXING else int(start)))
        width += cols
    return np.concatenate(parts, axis=1), places


def _draw(matrix: np.ndarray, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One choice a row, from the matrix row of its unit."""
    cumulative = np.cumsum(matrix, axis=1)
    u = rng.random(len(units)) * cumulative[units, -1]
    out = np.empty(len(units), dtype=np.int64)
    order = np.argsort(units, kind="stable")
    cuts = np.searchsorted(units[order], np.arange(len(matrix) + 1))
    for k in np.flatnonzero(np.diff(cuts)):
        mine = order[cuts[k] : cuts[k + 1]]
        out[mine] = np.searchsorted(cumulative[k], u[mine], side="right")
    return np.minimum(out, matrix.shape[1] - 1)
