"""Rows of a batch as the kernels read them: codes and float64 statistics, variable-major."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from . import lines
from .kernel_cache import entry_kernel, kernel
from .plan import LeafFamily, Plan
from .simd import load, never_inline, offset, pointer, store

#: Cells that stay in the first cache while they are read column by column.
BLOCK_ROWS, BLOCK_COLUMNS = 16, 128
#: What the compiled loop reads; it is compiled once for each.
READ = (np.uint8, np.int64, np.float64)


Data = tuple[np.ndarray, np.ndarray, int]


def empty_data(plan: Plan, n_padded: int) -> Data:
    """Codes (n_codes · n_padded), floats (n_data · n_padded) and n_padded, to be encoded."""
    codes = lines.empty(plan.n_codes * n_padded, dtype=plan.code_dtype)
    return codes, lines.zeros(plan.n_data * n_padded), n_padded


def encode_rows(
    plan: Plan, families: list[Any], members: dict[int, Any], X: np.ndarray, data: Data
) -> None:
    """Write rows into empty data.

    A missing cell has code ``n_states``, one outside the support ``n_states + 1``; in float
    data all its rows are zero, so that log density and statistics are zero. Rows of padding
    are all missing.
    """
    n = len(X)
    if plan.n_codes:
        X = readable(X)
    codes, flat, n_padded = data
    floats = flat.reshape(plan.n_data, n_padded)
    for leaf in plan.families:
        family = families[leaf.family]
        if leaf.is_table:
            check_columns(leaf, X)
            start = leaf.first_slot * n_padded
            write_codes(X, leaf.columns, family.n_states, n_padded, codes, start)
        else:
            cells = X.T if _is_range(leaf.variables, X.shape[1]) else X.T[leaf.variables]
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


def group_flows(
    plan: Plan,
    families: list[Any],
    members: dict[int, Any],
    X: np.ndarray,
    data: Data,
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


def check_columns(leaf: LeafFamily, X: np.ndarray) -> None:
    """The loops read bare pointers."""
    if leaf.last_column >= X.shape[1]:
        raise IndexError(
            f"X has {X.shape[1]} columns, but the circuit reads column "
            f"{leaf.last_column}, counted from 0."
        )


def readable(X: np.ndarray) -> np.ndarray:
    """Rows as the compiled loop takes them: few types, so that it is compiled few times."""
    kind = X.dtype.kind
    if kind == "b":
        X = X.view(np.uint8)
    elif X.dtype not in READ:
        X = X.astype(np.int64 if kind in "iu" else np.float64)
    return np.ascontiguousarray(X)


def _is_range(variables: list[int], width: int) -> bool:
    return len(variables) == width and variables[0] == 0


def _code(x, states):
    """The code of a cell: its state, ``states`` if it is missing, else one more."""


@overload(_code)
def _code_of_type(x, states):
    if isinstance(x, types.Integer):
        return lambda x, states: x if 0 <= x < states else states + 1

    def found(x, states):
        if x >= 0 and x < states:
            state = np.int64(x)
            return state if state == x else states + 1
        return states if np.isnan(x) else states + 1

    return found


@entry_kernel
def write_codes(cells, columns, states, n_padded, codes, start):
    """Codes of some columns for every row of the cells, each column padded with missing ones.

    Column j of them is written from ``start + j · n_padded`` of ``codes``. A missing cell has
    code ``states``, one outside the support ``states + 1``.
    """
    n, width = cells.shape
    source, used, out = pointer(cells), pointer(columns), offset(pointer(codes), start)
    for first in range(0, columns.size, BLOCK_COLUMNS):
        here, count = offset(used, first), min(BLOCK_COLUMNS, columns.size - first)
        write_block(source, n, width, here, count, states, n_padded, offset(out, first * n_padded))


@kernel
def write_block(source, n, width, used, count, states, n_padded, out):
    """The same for a few columns, behind pointers."""
    never_inline()
    for top in range(0, n, BLOCK_ROWS):
        for j in range(count):
            at, cell = j * n_padded, top * width + load(used, j)
            for i in range(at + top, at + min(top + BLOCK_ROWS, n)):
                store(out, i, _code(load(source, cell), states))
                cell += width
    for j in range(count):
        for i in range(j * n_padded + n, (j + 1) * n_padded):
            store(out, i, states)
