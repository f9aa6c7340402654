"""What one pass over data says: sums that add, whatever the split of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .program import Program


class Statistics:
    """Expected sufficient statistics, in the layout of :class:`Parameters`.

    A monoid: statistics of two sets of rows add to those of both. All entries are sums
    over rows times their weights, never means.

    Attributes
    ----------
    log_likelihood : float
        Sum of w · log p(x), nats.
    weight : float
        Sum of w, rows.
    flows : ndarray of shape (n_weights,), float64
        Sum of w · F_nc(x): how often the edge is used [MATH: F = ∂ log p / ∂ log θ].
    leaves : list of ndarray of shape (family units, 1 + n_statistics), float64
        Column 0: the flow of the unit over rows where its cell is present. The others:
        that flow times the sufficient statistics of the cell.
    extra : dict of str to ndarray
        What was asked for beside these, by name; a name that is not there counts as zeros.
        "squares" (n_weights,): sums of w · g², with g the derivative of log p by a weight.
        "curvature" (n_weights,): the gradient of Σ w Σ g² by the weights, and "curvature_0",
        "curvature_1", …: the same for the log density of the leaves of every family, in the
        layout of ``leaves``.
    """

    def __init__(
        self,
        log_likelihood: float,
        weight: float,
        flows: np.ndarray,
        leaves: Sequence[np.ndarray],
        extra: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.log_likelihood = float(log_likelihood)
        self.weight = float(weight)
        self.flows = flows
        self.leaves = list(leaves)
        self.extra = {} if extra is None else extra

    @classmethod
    def zeros(cls, program: Program, flows: np.ndarray | None = None) -> Statistics:
        """The statistics of no rows; with these flows if they are given, whatever is in them."""
        leaves = [
            np.zeros((n, 1 + f.n_statistics))
            for f, n in zip(program.families, program.family_units, strict=True)
        ]
        return cls(0.0, 0.0, np.zeros(program.n_weights) if flows is None else flows, leaves)

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
            self.flows + other.flows,
            [a + b for a, b in zip(self.leaves, other.leaves, strict=True)],
            _joined(self.extra, other.extra),
        )

    def scaled(self, factor: float) -> Statistics:
        """Every sum times a factor."""
        return Statistics(
            factor * self.log_likelihood,
            factor * self.weight,
            factor * self.flows,
            [factor * a for a in self.leaves],
            {name: factor * a for name, a in self.extra.items()},
        )

    def mean(self, in_place: bool = False) -> Statistics:
        """Means a row: sums divided by the total weight (zeros when there is none).

        In place they take the arrays of the sums, which are lost: a large array costs more to
        get than to fill.
        """
        total = self.weight
        if not total > 0:
            return self.scaled(0.0)
        # Not times the inverse, which overflows for the smallest weights.

        def divided(sums: Any) -> Any:
            if not in_place:
                return sums / total
            sums /= total
            return sums

        return Statistics(
            self.log_likelihood / total,
            1.0,
            divided(self.flows),
            [divided(a) for a in self.leaves],
            {name: divided(a) for name, a in self.extra.items()},
        )

    def __iadd__(self, other: Statistics) -> Statistics:
        self.log_likelihood += other.log_likelihood
        self.weight += other.weight
        self.flows += other.flows
        for mine, more in zip(self.leaves, other.leaves, strict=True):
            mine += more
        self.extra = _joined(self.extra, other.extra)
        return self

    def __repr__(self) -> str:
        return f"Statistics(log_likelihood={self.log_likelihood:.6g}, weight={self.weight:.6g})"


def _joined(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sums by name; what is missing is zero."""
    both = {name: one[name] + other[name] for name in one if name in other}
    return {**one, **other, **both}
