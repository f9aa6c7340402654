"""The pseudocount as evidence: a few rows spread evenly over every unit's children."""

from __future__ import annotations

import numpy as np

from ..circuit import Program, Statistics


def smoothing_statistics(
    program: Program, alpha: float, total_weight: float, leaf_priors: list[np.ndarray]
) -> Statistics:
    """Mean statistics to add to a batch's: α₀/(N·|ch n|) an edge, α₀/N a leaf unit.

    They enter before any mixing of old and new, and N is the weight of all training rows:
    added after the mixing their effect would be multiplied by 1/step.

    Parameters
    ----------
    program : Program
    alpha : float
        α₀, in rows.
    total_weight : float
        N.
    leaf_priors : list of ndarray of shape (family units, n_statistics)
        Mean parameters towards which every leaf unit is drawn.
    """
    rate = alpha / total_weight if total_weight > 0 else 0.0
    flows = rate / program.spread_rows(program.row_length.astype(np.float64))
    # Covariances of groups have a prior of their own: see shrinkage.py.
    single = [
        0.0 if family.n_variables > 1 or family.is_fixed else rate for family in program.families
    ]
    leaves = [np.column_stack([np.full(len(m), r), r * m]) for r, m in zip(single, leaf_priors)]
    return Statistics(0.0, 0.0, flows, leaves)
