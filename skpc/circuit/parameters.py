"""The numbers of a circuit: all sum weights in one array, one array a leaf family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .program import Program


class Parameters:
    """Weights and mean parameters in the layout of a :class:`Program`.

    Attributes
    ----------
    program : Program
    weights : ndarray of shape (n_weights,), float64
    leaves : list of ndarray of shape (family units, n_statistics), float64
        Mean parameters E[s(x)] of every unit of every family.
    """

    def __init__(self, program: Program, weights: np.ndarray, leaves: Sequence[np.ndarray]) -> None:
        self.program = program
        self.weights = weights
        self.leaves = list(leaves)

    @classmethod
    def uniform(cls, program: Program) -> Parameters:
        """Equal weights and the flattest leaves; where nodes carry start values, these."""
        weights = 1.0 / program.spread_rows(program.row_length.astype(np.float64))
        leaves = [
            np.tile(f.uniform_prior(), (n, 1))
            for f, n in zip(program.families, program.family_units, strict=True)
        ]
        out = cls(program, weights, leaves)
        out.take_node_values()
        return out

    def take_node_values(self) -> None:
        """Overwrite by the start values that nodes were given by hand."""
        for node in self.program.circuit.sums:
            if node.weights is not None and node.share is None:
                self.program.write_matrix(node, node.weights, self.weights)
        for leaf in self.program.circuit.inputs:
            if leaf.mean is not None and leaf.share is None:
                family, where = self.program.input_slice(leaf)
                self.leaves[family][where] = leaf.mean

    def copy(self) -> Parameters:
        """A deep copy."""
        return Parameters(self.program, self.weights.copy(), [m.copy() for m in self.leaves])

    def row_sums(self) -> np.ndarray:
        """Sum of the weights of every unit; ones when the circuit is normalised."""
        return self.program.row_sums(self.weights)

    def __repr__(self) -> str:
        leaves = ", ".join(
            f"{f!r}: {m.shape}" for f, m in zip(self.program.families, self.leaves, strict=True)
        )
        return f"Parameters(weights={self.weights.shape}, leaves=[{leaves}])"
