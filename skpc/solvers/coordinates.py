"""Gradients from flows alone, and moves, in coordinates without bounds."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..backends import log_weight_gradient, renormalise
from ..backends.weights import row_sums, spread_rows
from ..circuit import Parameters, Statistics
from ..utils.arrays import namespace, of_family

#: No coordinate moves further in one update: a weight by a factor e, a location by one unit.
LARGEST_MOVE = 1.0


class Coordinates(NamedTuple):
    """A number for every free coordinate of Parameters: a gradient, a moment, a move.

    Attributes
    ----------
    weights : ndarray of shape (n_weights,)
        For the logarithms of the weights.
    leaves : list of ndarray of shape (family units, n_statistics)
        For the unconstrained coordinates of each family.
    """

    weights: np.ndarray
    leaves: list[np.ndarray]

    def named(self) -> dict[str, np.ndarray]:
        """As arrays with names, for a solver's state."""
        return {"weights": self.weights} | {f"leaves_{i}": x for i, x in enumerate(self.leaves)}

    @classmethod
    def from_named(cls, arrays: dict[str, np.ndarray]) -> Coordinates:
        """The inverse of ``named``."""
        leaves = [name for name in arrays if name.startswith("leaves_")]
        return cls(arrays["weights"], [arrays[f"leaves_{i}"] for i in range(len(leaves))])

    def norm(self) -> Any:
        """Euclidean length of all together, where they are."""
        xp = namespace(self.weights)
        parts = [xp.linalg.norm(x) for x in (self.weights, *self.leaves)]
        return xp.linalg.norm(xp.stack(parts))

    def scaled(self, factor: Any) -> Coordinates:
        """All times a factor."""
        return Coordinates(factor * self.weights, [factor * x for x in self.leaves])


def gradient(parameters: Parameters, statistics: Statistics) -> Coordinates:
    """Gradient of the log-likelihood, by which the pseudocount counts as rows.

    Without shared weights F_nc - TD(n) θ_nc, that of log(p / Z) in log θ; with them that of a
    softmax, F_nc - θ_nc F_n, the flows being sums over all copies. Zero for no rows, and for the
    weights, after rows whose cells are all missing.

    Parameters
    ----------
    parameters : Parameters
        Normalised.
    statistics : Statistics
    """
    program, flows = parameters.program, statistics.flows
    if program.circuit.is_tied:
        use = spread_rows(program, row_sums(program, flows))
        weights = flows - use * parameters.weights
    else:
        weights = log_weight_gradient(parameters, flows)
    leaves = [
        of_family(family, family.unconstrained_gradient, mean, flow[:, 0], flow[:, 1:])
        for family, mean, flow in zip(program.families, parameters.leaves, statistics.leaves)
    ]
    return Coordinates(weights, leaves)


def moved(parameters: Parameters, move: Coordinates) -> Parameters:
    """Parameters after a move, normalised: globally, or by row where weights are shared.

    Weights of zero stay zero, and so do probabilities of leaves that are zero or one.
    """
    program = parameters.program
    weights = parameters.weights * namespace(move.weights).exp(_bounded(move.weights))
    leaves = [
        of_family(family, partial(_moved_leaf, family), mean, _bounded(step))
        for family, mean, step in zip(program.families, parameters.leaves, move.leaves)
    ]
    new = Parameters(program, weights, leaves)
    if not program.circuit.is_tied:
        return renormalise(new)
    total = row_sums(program, weights)
    new.weights /= spread_rows(program, namespace(total).where(total > 0, total, 1.0))
    return new


def _moved_leaf(family, mean, step):
    return family.project(family.from_unconstrained(family.to_unconstrained(mean) + step))


def _bounded(move: Any) -> Any:
    return namespace(move).clip(move, -LARGEST_MOVE, LARGEST_MOVE)
