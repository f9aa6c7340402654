"""What computing rows scope by scope needs: tables for its kernels, and arrays for threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...circuit import Program
from ...utils.lazy import lazy
from . import lines
from .chunks import TOLD
from .columns import (
    ABOVE,
    ARG,
    ARG_END,
    CODE,
    COLUMNS,
    DATA,
    FIRST,
    HEIGHT,
    INPUT,
    KRONECKER,
    LAST,
    MIXING,
    N_DISTINCT,
    N_PLACE_COLUMNS,
    OFFERS,
    OP,
    POSITION,
    RUN,
    RUN_END,
    SKIP,
    STATES,
    SUBTREE_FROM,
    SUM,
    UNITS,
    UNLIKE,
    VALUES,
    WEIGHTS,
    WIDTH,
    WORK,
)
from .forward import NUMBERS_AT_ONCE, ROWS_AT_ONCE
from .owners import MOST_SUBTREES, MOST_THREADS, N_SUBTREE_COLUMNS
from .plan import make_plan
from .scopes import Scoped
from .simd import PANEL

#: Rows of a chunk: in more of them more parts are equal, but what is computed leaves the cache.
CHUNK_ROWS = 1024
#: Bytes of the values of a chunk. Rows have so many times as many, most of which are expected to be
#: equal to others; if they are not, rows are computed one by one.
CHUNK_BYTES, ALIKE = 1 << 28, 8
#: Share of the work of all rows above which scopes do not pay, and where one thread does it all.
MOST_WORK, MOST_WORK_ALONE = 0.7, 0.4
#: Numbers between the rows of a scope and those of the next.
APART = 80
#: Columns that one thread encodes at a time.
CELL_COLUMNS = 16
#: Least work of a scope on average: with less, numbering its rows would be felt.
LEAST_WORK = 64
#: Panels from which on a scope's rows are halved, where scopes have so much work on average: with
#: less, fetching what the other thread has computed takes as long.
HALVED, HALVED_WORK = 4, 600
#: Weights that a unit of a vector costs as much as.
UNIT_WORK = 4


def may_share(program: Program, dtype: np.dtype) -> bool:
    """Whether scopes are worth a look: columns of few values, and room for many rows."""
    finite = any(family.n_states is not None for family in program.families)
    inner = program.op != INPUT
    work = program.n_weights + UNIT_WORK * int(program.units[inner].sum())
    # About two vectors a scope.
    large = work >= LEAST_WORK * int(inner.sum()) / 4
    return finite and large and _chunk_rows(int(program.units.sum()), dtype, True) > 0


def _chunk_rows(units: int, dtype: np.dtype, training: bool) -> int:
    """Rows of a chunk that has so many values a row; 0 if these would be too few.

    For scoring alone they should all fit: row by row the values of the moment stay in the cache,
    and where those of a chunk lie in memory that is faster.
    """
    size = (ALIKE if training else 1) * CHUNK_BYTES
    most = min(CHUNK_ROWS, size // (dtype.itemsize * max(1, units)))
    return 0 if most < CHUNK_ROWS // 4 else most - most % PANEL


class Sharing:
    """A program laid out by scopes.

    Parameters
    ----------
    scoped : Scoped
    training : bool
    dtype : dtype

    Attributes
    ----------
    n_rows : int
        Of a chunk, at most.
    is_of_use, pays : bool
        Whether scopes are, and also whether chunks have room for enough rows.
    scopes : ndarray
        What kernels know of each.
    scope_of : ndarray of shape (n_vectors,)
        Of every vector of the program.
    for_many : bool
        Whether several threads can compute a chunk together: no two scopes have weights, leaves
        or flows in common.
    """

    def __init__(self, scoped: Scoped, training: bool, dtype: np.dtype) -> None:
        self.plan = plan = make_plan(scoped, training)
        self.dtype = dtype
        self.n_rows = _chunk_rows(plan.n_values + plan.n_offers, dtype, training)
        self.scopes, self.scope_of = scoped.scopes.copy(), scoped.scope_of
        self.scopes[:, VALUES : OFFERS + 1] = plan.sizes
        self._parts = scoped.parts
        self._below = np.array([m.below for m in scoped.maps], dtype=np.int64)
        self.is_of_use = self._describe_scopes(scoped)
        self.pays = self.is_of_use and self.n_rows > 0
        self.for_many = self.pays and scoped.is_tree and self._is_untied(scoped)

    def _describe_scopes(self, scoped: Scoped) -> bool:
        """Tell the kernels about inputs and work; whether there is any use in that."""
        scopes, table, args = self.scopes, self.plan.instructions, self.plan.args
        scopes[:, CODE] = -1
        read: dict[bool, set[int]] = {True: set(), False: set()}
        for v in range(len(table)):
            s, op, units = scoped.scope[v], table[v, OP], int(table[v, UNITS])
            if scoped.op[v] == INPUT:
                finite = scoped.families[scoped.family[v]].n_states is not None
                read[finite].update(scoped.columns[v].tolist())
                if not finite:
                    scopes[s, UNLIKE] = 1
                elif scopes[s, CODE] not in (-1, table[v, DATA]):
                    return False  # two families read the column
                else:
                    scopes[s, CODE], scopes[s, STATES] = table[v, DATA], table[v, WIDTH] - 2
            if op == SKIP:
                continue
            scopes[s, WORK] += UNIT_WORK * units
            mine = args[table[v, ARG] : table[v, ARG_END]]
            scopes[s, WORK] += sum(n for _, n in _runs_of(op, units, mine))
        if read[True] & read[False]:
            return False  # cells that are alike for one of them differ for the other
        self._runs = _find_runs(scopes, table, args)
        inner = scopes[:, CODE] < 0
        return bool(inner.any() and not inner.all() and scopes[inner, WORK].mean() >= LEAST_WORK)

    def _is_untied(self, scoped: Scoped) -> bool:
        """Whether every weight and every leaf unit belongs to one scope."""
        args = self.plan.args
        owner = np.repeat(np.arange(len(scoped.op)), np.diff(scoped.arg_start))
        for of_scope, key in (
            (scoped.scope[owner], args[:, WEIGHTS]),
            (scoped.scope, scoped.family * (1 << 40) + scoped.unit_start),
        ):
            used = key >= 0
            pairs = np.unique(np.column_stack([key[used], of_scope[used]]), axis=0)
            if len(np.unique(pairs[:, 0])) < len(pairs):
                return False
        return True

    @lazy
    def _blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns that are encoded together, and the list of all columns."""
        blocks, columns = [], []
        for leaf in self.plan.families:
            if leaf.is_table:
                for i in range(0, len(leaf.variables), CELL_COLUMNS):
                    mine = leaf.variables[i : i + CELL_COLUMNS]
                    blocks.append((len(columns), len(mine), leaf.n_terms, leaf.first_slot + i))
                    columns += mine
        return np.array(blocks, dtype=np.int64), np.array(columns, dtype=np.int64)

    @lazy
    def _active(self) -> np.ndarray:
        """Scopes with something to do."""
        order = np.flatnonzero(self.scopes[:, WORK] > 0)
        self.scopes[order, POSITION] = self.scopes[order, SUBTREE_FROM] = np.arange(len(order))
        for s in order:
            above = self.scopes[s, ABOVE]
            if above >= 0:
                first = min(self.scopes[above, SUBTREE_FROM], self.scopes[s, SUBTREE_FROM])
                self.scopes[above, SUBTREE_FROM] = first
        return order

    @lazy
    def most_weights(self) -> int:
        """Of a scope whose weights lie side by side."""
        runs = [self._runs[scope[RUN] : scope[RUN_END], 1] for scope in self.scopes]
        return max((int(mine[0]) for mine in runs if len(mine) == 1), default=0)

    @lazy
    def _halved_from(self) -> int:
        # Where one thread does everything there is no use in halves; nor would all that reads one
        # be halved where several scopes do.
        work = self.scopes[self._active, WORK]
        return HALVED if self.for_many and work.mean() >= HALVED_WORK else self.n_rows

    def space(self) -> Any:
        """Arrays for the threads at work on one chunk, and all else that the kernels need."""
        plan, n, dtype = self.plan, self.n_rows, self.dtype
        most = MOST_WORK if self.for_many else MOST_WORK_ALONE
        limit = CHUNK_BYTES // dtype.itemsize
        values, scales, factors, slots, offers = (
            int(min(most * n * size, limit) + max(n * largest, PANEL * size, 1))
            for size, largest in zip(plan.sizes.sum(axis=0), plan.sizes.max(axis=0))
        )
        n_scopes, n_maps = len(self.scopes), len(self._below)
        active = self._active

        def empty(size: int) -> np.ndarray:
            return lines.zeros(size, dtype=dtype)

        # Behind the maps, for so many states and two more, those of which every one is a row.
        # A step that is a power of two would put all of them in the same places of the caches.
        step = n + APART
        mapped = lines.zeros((n_maps + PANEL + 1, step), dtype=plan.code_dtype)
        for width in range(2, PANEL + 1):
            mapped[n_maps + width, :width] = np.arange(width)
            mapped[n_maps + width, width:] = width - 2
        places = lines.zeros((n_scopes, N_PLACE_COLUMNS), dtype=np.int64)
        places[:, N_DISTINCT] = self.scopes[:, STATES] + 2
        return (
            (plan.instructions, plan.args, plan.pulls),
            (
                self.scopes,
                self._parts,
                self._below,
                active,
                self._runs,
                *self._blocks,
            ),
            (*lines.zeros((2, n_scopes, step), dtype=plan.code_dtype), mapped),
            (
                places,
                (
                    lines.zeros(2 * MOST_THREADS + 1 + 2 * n_scopes, dtype=np.int64),
                    (
                        *lines.zeros((2, MOST_SUBTREES, N_SUBTREE_COLUMNS), dtype=np.int64),
                        lines.zeros(MOST_THREADS, dtype=np.int64),
                    ),
                ),
            ),
            (
                empty(values),
                (empty(scales), lines.zeros(scales), empty(scales), empty(scales)),
                empty(factors) if plan.n_factors else None,
            ),
            (lines.zeros((2, n)), empty(slots), most, self.for_many, self._halved_from),
            # Flows come back from both halves of a scope, each to rows of its own.
            (empty(offers), empty(2 * offers)),
            lines.zeros(TOLD + 3 * n_scopes, dtype=np.int64),
        )

    def own_space(self) -> Any:
        """Arrays for one thread: flows, scratch, keys of rows, their hash table, what passes, and
        down to where values and offers were fetched."""
        rows = self.plan.max_units * self.n_rows
        return (
            lines.zeros(rows, dtype=self.dtype),
            lines.zeros(rows, dtype=self.dtype),
            lines.zeros(self.n_rows, dtype=np.int32),
            lines.zeros(1 << (4 * self.n_rows - 1).bit_length(), dtype=np.int32),
            # For pointers of these kinds.
            (lines.zeros(1, dtype=np.uint8), lines.zeros(1)),
            (
                lines.zeros(
                    3 * max(NUMBERS_AT_ONCE, self.plan.max_units * PANEL), dtype=self.dtype
                ),
                tuple(
                    lines.zeros(3 * ROWS_AT_ONCE, dtype=kind)
                    for kind in (self.dtype, np.float64, self.dtype, self.dtype)
                ),
            ),
            lines.zeros(2, dtype=np.int64),
        )


def _runs_of(op: int, units: int, args: np.ndarray) -> list[tuple[int, int]]:
    """First weight and number of weights of every block of an instruction."""
    if op == SUM:
        return [(int(a[WEIGHTS]), int(a[HEIGHT] * a[COLUMNS])) for a in args]
    if op == MIXING:
        return [(int(a[WEIGHTS]), units) for a in args]
    if op == KRONECKER:
        return [(int(args[0, WEIGHTS]), units * int(args[:, COLUMNS].prod()))]
    return []


def _find_runs(scopes, table, args) -> np.ndarray:
    """Weights of every scope as (first, number), neighbours joined."""
    found: list[list[int]] = []
    for s, scope in enumerate(scopes):
        runs = set()
        for v in range(scope[FIRST], scope[LAST]):
            mine = args[table[v, ARG] : table[v, ARG_END]]
            runs.update(_runs_of(table[v, OP], int(table[v, UNITS]), mine))
        scopes[s, RUN] = len(found)
        for start, n in sorted(runs):
            if len(found) > scopes[s, RUN] and sum(found[-1]) == start:
                found[-1][1] += n
            else:
                found.append([start, n])
        scopes[s, RUN_END] = len(found)
    return np.array(found, dtype=np.int64).reshape(-1, 2)
