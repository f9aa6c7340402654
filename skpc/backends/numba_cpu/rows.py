"""Rows of a batch as the kernels read them: codes and float64 statistics, variable-major."""

from __future__ import annotations

from typing import Any

import numpy as np

from .plan import Plan


def encode_rows(
    plan: Plan, families: list[Any], members: dict[int, Any], X: np.ndarray, n_padded: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Codes (n_codes · n_padded), floats (n_data · n_padded) and n_padded.

    A missing cell has code ``n_states``, one outside the support ``n_states + 1``; in float
    data all its rows are zero, so that log density and statistics are zero. Rows of padding
    are all missing.
    """
    n = len(X)
    codes = np.empty((plan.n_codes, n_padded), dtype=np.int32)
    floats = np.zeros((plan.n_data, n_padded))
    for leaf in plan.families:
        family = families[leaf.family]
        cells = X.T if _is_range(leaf.variables, X.shape[1]) else X.T[leaf.variables]
        if leaf.is_table:
            states = family.n_states
            part = codes[leaf.first_slot : leaf.first_slot + len(leaf.variables)]
            part[:, n:] = states
            _write_codes(cells, states, part[:, :n])
        else:
            height = 1 + leaf.n_terms
            block = floats[leaf.first_slot : leaf.first_slot + height * len(leaf.variables)]
            rows = block.reshape(len(leaf.variables), height, n_padded)[:, :, :n]
            x = np.asarray(cells, dtype=np.float64)
            rows[:, 0] = family.log_base_measure(x)
            rows[:, 1] = ~np.isnan(x)
            rows[:, 2:] = family.statistics(x).transpose(1, 0, 2)
    for group in plan.group_leaves:
        family = families[group.family]
        mine = type(members[group.family])(*(part[group.units] for part in members[group.family]))
        rows = floats[group.first_slot : group.first_slot + group.n_units, :n]
        cells = np.asarray(X[:, group.columns], dtype=np.float64)
        # Finite, so that a difference to the largest of them is a number.
        rows[...] = np.maximum(family.member_log_density(mine, cells), -1e290)
    return codes.reshape(-1), floats.reshape(-1), n_padded


def group_flows(
    plan: Plan,
    families: list[Any],
    members: dict[int, Any],
    X: np.ndarray,
    data: tuple[np.ndarray, np.ndarray, int],
) -> list[np.ndarray]:
    """Flow statistics (units, 1 + S) of every group leaf, from the flows in the data."""
    floats = data[1].reshape(plan.n_data, data[2])
    out = []
    for group in plan.group_leaves:
        mine = type(members[group.family])(*(part[group.units] for part in members[group.family]))
        start = group.first_slot + group.n_units
        flow = floats[start : start + group.n_units, : len(X)]
        cells = np.asarray(X[:, group.columns], dtype=np.float64)
        out.append(families[group.family].member_flow_statistics(mine, cells, flow))
    return out


def _is_range(variables: list[int], width: int) -> bool:
    return len(variables) == width and variables[0] == 0


def _write_codes(cells: np.ndarray, states: int, out: np.ndarray) -> None:
    if cells.dtype.kind in "ub" and (cells.size == 0 or cells.max() < states):
        out[...] = cells
        return
    x = np.asarray(cells, dtype=np.float64)
    missing = np.isnan(x)
    valid = (x >= 0) & (x < states) & (x == np.floor(x))
    out[...] = np.where(valid, x, np.where(missing, states, states + 1))
