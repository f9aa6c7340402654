"""Global renormalisation: an unnormalised circuit to the same distribution, rows summing to 1."""

from __future__ import annotations

import numpy as np

from .parameters import Parameters
from .program import INPUT, KRONECKER, MIXING, PRODUCT, TRANSPOSE


def log_partition(parameters: Parameters) -> list[np.ndarray]:
    """log Z of every unit of every vector, bottom-up; inputs integrate to one.

    Returns
    -------
    list of ndarray of shape (units,), nats
    """
    program = parameters.program
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.weights)
    z: list[np.ndarray] = []
    for v in range(program.n_vectors):
        args = program.args[program.arg_start[v] : program.arg_start[v + 1]]
        units = int(program.units[v])
        if program.op[v] == INPUT:
            z.append(np.zeros(units))
        elif program.op[v] == PRODUCT:
            z.append(np.sum([z[c] for c in args[:, 0]], axis=0))
        elif program.op[v] == TRANSPOSE:
            child, _, rows, cols = args[0, :4]
            z.append(z[child].reshape(rows, cols).T.ravel())
        else:
            total = np.full(units, -np.inf)
            for offset, rows, cols, first, zc in _weighted_children(program, v, args, z):
                block = log_weights[offset : offset + rows * cols].reshape(rows, cols)
                part = np.logaddexp.reduce(block + zc, axis=1)
                where = slice(first, first + rows)
                total[where] = np.logaddexp(total[where], part)
            z.append(total)
    return z


def renormalise(parameters: Parameters) -> Parameters:
    """θ'_nc = θ_nc Z_c / Z_n with the old Z everywhere [Liu et al. 2025, eq. 8].

    Every unit becomes its own normalised distribution, so densities are divided by the
    partition function and flows do not change. Idempotent; dividing each unit by its own
    sum of weights instead would change the distribution.

    Raises
    ------
    ValueError
        If the circuit is tied: each copy would need another result.
    """
    program = parameters.program
    if program.circuit.is_tied:
        raise ValueError(
            "A circuit with shared weights cannot be renormalised globally: every copy would "
            "need its own result. Normalise the rows of each weight matrix instead."
        )
    z = log_partition(parameters)
    out = parameters.copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        log_weights = np.log(parameters.weights)
        for v in range(program.n_vectors):
            if program.op[v] in (INPUT, PRODUCT, TRANSPOSE):
                continue
            args = program.args[program.arg_start[v] : program.arg_start[v + 1]]
            for offset, rows, cols, first, zc in _weighted_children(program, v, args, z):
                where = slice(offset, offset + rows * cols)
                block = log_weights[where].reshape(rows, cols)
                new = np.exp(block + zc - z[v][first : first + rows, None])
                out.weights[where] = np.where(np.isnan(new), 0.0, new).ravel()
    return out


def _weighted_children(program, v, args, z):
    """(offset, rows, cols, first unit, log Z of the columns) of every block of a sum."""
    if program.op[v] == KRONECKER:
        (a, offset, rows, n_a, _, _), (b, _, _, n_b, _, _) = args
        for i in range(n_a):
            yield offset + i * rows * n_b, rows, n_b, 0, z[a][i] + z[b]
        return
    for child, offset, rows, cols, first, in_start in args:
        if program.op[v] == MIXING:
            yield offset, rows, 1, 0, z[child][:, None]
        else:
            yield offset, rows, cols, first, z[child][in_start : in_start + cols]
