"""Circuits whose weights need not sum to one: partition functions, and their gradient.

Data-free passes over all weights; a backend's compiled loops do the work, whatever backend the
data go through.
"""

from __future__ import annotations

import numpy as np

from ..circuit import Parameters, Program
from .weights import row_sums


def log_partition(parameters: Parameters) -> list[np.ndarray]:
    """log Z of every unit of every vector, bottom-up; inputs integrate to one.

    Returns
    -------
    list of ndarray of shape (units,), nats
    """
    return np.split(_log_partitions(parameters), _starts(parameters.program)[1:])


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
    if not isinstance(parameters.weights, np.ndarray):
        from .torch.normalise import passes_of

        new = passes_of(program, parameters.weights.device).renormalised(parameters.weights)
        return Parameters(program, new, parameters.leaves)
    from .numba_cpu.log_weights import renormalised_weights

    weights = np.empty_like(parameters.weights)
    z = _log_partitions(parameters)
    renormalised_weights(*_arrays(program), parameters.weights, _scratch(program), z, weights)
    return Parameters(program, weights, [mean.copy() for mean in parameters.leaves])


def log_weight_gradient(parameters: Parameters, flows: np.ndarray) -> np.ndarray:
    """Gradient of log(p / Z) in the logarithms of the weights, summed over rows.

    F_nc - TD(n) θ_nc for each row, at weights that sum to one. Flows may hold a pseudocount a_nc
    besides: the result is then the gradient of Σ log(p / Z) + Σ a_nc log θ'_nc with the
    renormalised weights θ'. No data and no autograd are needed.

    Parameters
    ----------
    parameters : Parameters
        Normalised, of a circuit without shared weights.
    flows : ndarray of shape (n_weights,)

    Returns
    -------
    ndarray of shape (n_weights,)
    """
    program = parameters.program
    if not isinstance(flows, np.ndarray):
        from .torch.normalise import passes_of

        passes = passes_of(program, flows.device)
        return passes.gradient(parameters.weights, flows, row_sums(program, flows))
    from .numba_cpu import log_weights

    op, units, arg_start, args, starts = _arrays(program)
    gradient = np.empty_like(flows)
    log_weights.log_weight_gradient(
        op,
        units,
        arg_start,
        args,
        program.row_start,
        starts,
        parameters.weights,
        flows,
        program.row_sums(flows),
        np.zeros(int(units.sum())),
        gradient,
    )
    return gradient


def _log_partitions(parameters: Parameters) -> np.ndarray:
    from .numba_cpu.log_weights import log_partitions

    program = parameters.program
    z = np.empty(int(program.units.sum()))
    log_partitions(*_arrays(program), parameters.weights, _scratch(program), z)
    return z


def _arrays(program: Program) -> tuple[np.ndarray, ...]:
    return program.op, program.units, program.arg_start, program.args, _starts(program)


def _starts(program: Program) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(program.units)[:-1]]).astype(np.int64)


def _scratch(program: Program) -> np.ndarray:
    return np.empty(int(program.units.max()))
