"""Covariances of groups of columns, drawn towards each other and towards that of the data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..backends import TopDown
from ..circuit import Parameters, Program
from ..circuit.program import INPUT

#: Share of the whole group's covariance in the target; the rest is the mean within the units.
#: On eleven tables, a mixture of 8 to 12 units: with none of it small tables collapse (wine -17.8
#: instead of -14.5 nats with 32 units), with 0.1 to 0.3 their number hardly matters.
WHOLE_SHARE = 0.1

ReadOut = Callable[[Parameters, TopDown], Parameters]


def covariance_shrinkage(
    program: Program, leaf_priors: list[np.ndarray], total_weight: float
) -> ReadOut | None:
    """The rule by which parameters are read out for use, None where no group needs one.

    A unit that stands for n = N · TD rows gets Σ' = (n Σ + ν Ψ) / (n + ν) with ν = d + 2 rows
    of Ψ = 0.9 Σ_k TD_k Σ_k + 0.1 S, where S is the covariance of the group's columns: the
    posterior mode under an inverse Wishart prior (Fraley & Raftery 2007 [1]_) whose scale is mostly
    learnt from all units. The solver goes on from the parameters that were not shrunk, or
    every update would shrink again.

    Parameters
    ----------
    program : Program
    leaf_priors : list of ndarray of shape (family units, n_statistics)
    total_weight : float
        N, weight of the training rows.

    References
    ----------
    .. [1] Fraley and Raftery, "Bayesian regularization for normal mixture estimation and
       model-based clustering", Journal of Classification 24, 2007.
    """
    if all(family.n_variables == 1 for family in program.families):
        return None
    leaves = {}
    for v in np.flatnonzero(program.op == INPUT):
        f = int(program.family[v])
        if program.families[f].n_variables > 1:
            start = int(program.unit_start[v])
            leaves[f, start] = slice(start, start + int(program.units[v]))

    def read_out(parameters: Parameters, top_down: TopDown) -> Parameters:
        shown = [mean.copy() if f in {k[0] for k in leaves} else mean
                 for f, mean in enumerate(parameters.leaves)]  # fmt: skip
        for (f, start), units in leaves.items():
            family = program.families[f]
            use = top_down.leaves[f][units]
            total = use.sum()
            if not total > 0:
                continue
            location, covariance = family.unpack(parameters.leaves[f][units])
            _, whole = family.unpack(leaf_priors[f][start])
            within = np.tensordot(use / total, covariance, axes=1)
            # Within the units there is no more variance than in all rows, wild cells apart: one
            # unit that took such a row must not widen the others.
            inner, outer = np.diagonal(within), np.diagonal(whole)
            narrower = np.sqrt(np.minimum(1.0, outer / inner))
            within = within * narrower * narrower[:, None]
            target = (1 - WHOLE_SHARE) * within + WHOLE_SHARE * whole
            rows = (total_weight * use)[:, None, None]
            prior = family.n_variables + 2
            shown[f][units] = family.repack(
                parameters.leaves[f][units],
                location,
                (rows * covariance + prior * target) / (rows + prior),
            )
        return Parameters(program, parameters.weights, shown)

    return read_out
