"""Start values: they decide more than the solver does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends import renormalise
from ..circuit import Input, Parameters, Program

#: Weights start at exp(-SPREAD · U) with U uniform on (0, 1), normalised. Sparse starts help
#: large tables and make small ones overfit: with 4, 8, 16 plants (32 units) ends at -12.73,
#: -12.62, -12.53 nats on held-out rows, dna (64 units) with 4, 8 at -80.1, -80.4.
SPREAD = 6.0


def initial_parameters(
    program: Program,
    init_params: Any,
    leaf_priors: list[np.ndarray],
    rng: np.random.Generator,
) -> Parameters:
    """Parameters to start from.

    Parameters
    ----------
    program : Program
    init_params : {"random"}, Parameters, or callable
        "random": every row of weights is exp(-6 U), normalised, and leaves are spread
        around their column's distribution. A callable gets ``(program, leaf_priors, rng)``.
    leaf_priors : list of ndarray of shape (family units, n_statistics)
        Mean parameters of the column of every leaf unit.
    rng : numpy.random.Generator

    Returns
    -------
    Parameters
        Values that nodes were given by hand are kept, and normalised: globally, which keeps
        their distribution, or, in a tied circuit, by dividing every row by its sum.
    """
    if isinstance(init_params, Parameters):
        if not _same_layout(init_params.program, program):
            raise ValueError(
                f"init_params={init_params!r} are of another circuit: {init_params.program!r} "
                f"instead of {program!r}. Give Parameters of the circuit that is fitted."
            )
        return Parameters(
            program, init_params.weights.copy(), [m.copy() for m in init_params.leaves]
        )
    if isinstance(init_params, str):
        if init_params not in INIT_PARAMS:
            raise ValueError(
                f"init_params={init_params!r} is not known; use one of {sorted(INIT_PARAMS)}, "
                "Parameters, or a callable."
            )
        parameters = INIT_PARAMS[init_params](program, leaf_priors, rng)
        parameters.take_node_values()
        return _normalised(parameters)
    made = init_params(program, leaf_priors, rng)
    if not isinstance(made, Parameters):
        raise TypeError(
            f"init_params={init_params!r} returned {type(made).__name__}; it must return "
            "skpc.circuit.Parameters of the program that it is given."
        )
    return initial_parameters(program, made, leaf_priors, rng)


def _normalised(parameters: Parameters) -> Parameters:
    sums = parameters.row_sums()
    if np.allclose(sums, 1.0, rtol=0.0, atol=1e-9):
        return parameters
    program = parameters.program
    if not program.circuit.is_tied:
        return renormalise(parameters)
    # A row of zeros stays: its unit is never used.
    weights = parameters.weights / program.spread_rows(np.where(sums > 0, sums, 1.0))
    return Parameters(program, weights, parameters.leaves)


def _same_layout(one: Program, other: Program) -> bool:
    names = ("op", "units", "args", "family", "unit_start")
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
    return (
        same
        and one.families == other.families
        and all(map(np.array_equal, one.columns, other.columns))
    )


def leaf_priors(
    program: Program, rows: np.ndarray, sample_weight: np.ndarray | None = None
) -> list[np.ndarray]:
    """Mean parameters of the column's own distribution, for every leaf unit.

    Leaves that share their parameters share that of all their columns.

    Parameters
    ----------
    program : Program
    rows : ndarray of shape (n, n_variables)
        Encoded rows; a part of the data is enough for a prior.
    sample_weight : ndarray of shape (n,), optional

    Returns
    -------
    list of ndarray of shape (family units, n_statistics)
    """
    priors = [np.zeros((n, f.n_statistics)) for f, n in zip(program.families, program.family_units)]
    copies: dict[int, list[Input]] = {}
    for node in program.circuit.inputs:
        copies.setdefault(id(node if node.share is None else node.share), []).append(node)
    known: dict[tuple, np.ndarray] = {}
    for nodes in copies.values():
        family, units = program.input_slice(nodes[0])
        key = family, tuple(sorted({node.variables for node in nodes}))
        if key not in known:
            parts = {node.variables: program.vector_of(node) for node in nodes}
            cells = np.concatenate([program.cells(v, rows) for v in parts.values()])
            weight = None if sample_weight is None else np.tile(sample_weight, len(parts))
            known[key] = program.families[family].moments_prior(cells, weight)
        priors[family][units] = known[key]
    return priors


def random_parameters(
    program: Program, leaf_priors: list[np.ndarray], rng: np.random.Generator
) -> Parameters:
    """Random weights and leaves; see :func:`initial_parameters`."""
    weights = np.exp(-SPREAD * rng.random(program.n_weights))
    weights /= program.spread_rows(program.row_sums(weights))
    leaves = []
    for family, prior in zip(program.families, leaf_priors, strict=True):
        # By runs of equal priors, in the order of the units: were they sorted by value, the last
        # bits of the priors would decide which unit gets which draw.
        mean = np.empty_like(prior)
        cuts = np.flatnonzero((prior[1:] != prior[:-1]).any(axis=1)) + 1
        for start, stop in zip([0, *cuts], [*cuts, len(prior)], strict=True):
            mean[start:stop] = family.random_mean(prior[start], stop - start, rng)
        leaves.append(mean)
    return Parameters(program, weights, leaves)


INIT_PARAMS: dict[str, Callable[..., Parameters]] = {"random": random_parameters}
