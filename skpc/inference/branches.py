"""Where a draw goes from every unit of a program, as flat arrays.

The units of all vectors are numbered through. A *branch* leads from a unit to a unit below: a
product takes all of its branches, a sum draws one. A row of a block of weights is one branch, which
leads to the first unit of the child that its columns speak of.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..circuit import Program
from ..circuit.program import KRONECKER, MIXING, PRODUCT, SUM, TRANSPOSE
from ..utils.arrays import sent

#: What a draw does at a unit: draw a value, take every branch, or draw one of them.
LEAF, EVERY, ONE = range(3)


class Branches(NamedTuple):
    """Tables of a program; of all units, of all branches, and of the rows of all blocks.

    Attributes
    ----------
    kind, first, count : array of shape (units,)
        ``LEAF``, ``EVERY`` or ``ONE``; first branch and number of branches.
    family, member, place : array of shape (units,)
        Of leaves: the family, the unit in it, and the row of ``columns[family]``.
    owner, target, other, block_row : array of shape (branches,)
        The unit above; the unit that it leads to; a second one, of pairs of a Kronecker product;
        and the row of a block where a sum has its weights. -1 where there is none.
    block_first, block_last : array of shape (block rows,)
        First and last weight.
    columns : list of array of shape (inputs, columns)
        What the inputs of every family speak of.
    root : int
        First unit of the root.
    has_pairs : bool
        Whether there are Kronecker products.
    """

    kind: Any
    first: Any
    count: Any
    family: Any
    member: Any
    place: Any
    owner: Any
    target: Any
    other: Any
    block_row: Any
    block_first: Any
    block_last: Any
    columns: list[Any]
    root: int
    has_pairs: bool


def _make(program: Program) -> Branches:
    op, units = program.op, program.units
    base = np.cumsum(units) - units
    kind = np.array([LEAF, EVERY, ONE, ONE, ONE, EVERY], dtype=np.int8)[op].repeat(units)
    owner, target, other, block_row = _branches(program, base)
    count = np.bincount(owner, minlength=len(kind))
    place = np.zeros(len(op), dtype=np.int64)
    columns = []
    for f in range(len(program.families)):
        mine = np.flatnonzero(program.family == f)
        place[mine] = np.arange(len(mine))
        columns.append(np.array([program.columns[v] for v in mine.tolist()]))
    within = np.arange(len(kind)) - base.repeat(units)
    return Branches(
        kind,
        np.cumsum(count) - count,
        count,
        program.family.repeat(units),
        program.unit_start.repeat(units) + within,
        place.repeat(units),
        owner,
        target,
        other,
        block_row,
        program.segments[:, 0],
        program.segments[:, :2].sum(axis=1) - 1,
        columns,
        int(base[-1]),
        bool((op == KRONECKER).any()),
    )


def _branches(program: Program, base: np.ndarray) -> np.ndarray:
    """Owner, target, other and block row of all branches, by owner."""
    op, units, args = program.op, program.units, program.args
    above = np.arange(program.n_vectors).repeat(np.diff(program.arg_start))
    moves = np.isin(op[above], (PRODUCT, MIXING))
    used = np.flatnonzero(moves | (op[above] == SUM))
    child, offset, rows, _, first, start = args[used].T
    # A branch for every unit that an argument is read by.
    part = np.arange(len(used)).repeat(rows)
    row = np.arange(len(part)) - (np.cumsum(rows) - rows)[part]
    weighs = offset[part] >= 0
    block_row = np.searchsorted(program.segments[:, 0], offset)[part] + row
    found = [
        np.stack(
            [
                base[above[used]][part] + first[part] + row,
                base[child][part] + start[part] + np.where(moves[used][part], row, 0),
                np.full(len(part), -1),
                np.where(weighs, block_row, -1),
            ]
        )
    ]
    for v in np.flatnonzero(op == TRANSPOSE).tolist():
        child, _, n_rows, n_columns = args[program.arg_start[v], :4]
        order = np.arange(units[v]).reshape(n_rows, n_columns).T.ravel()
        nothing = np.full(len(order), -1)
        owner = base[v] + np.arange(len(order))
        found.append(np.stack([owner, base[child] + order, nothing, nothing]))
    for v in np.flatnonzero(op == KRONECKER).tolist():
        (a, offset, _, n_a, _, _), (b, *_) = args[program.arg_start[v] : program.arg_start[v + 1]]
        # A block for every unit of the first factor; its columns are units of the second.
        first, own = np.divmod(np.arange(n_a * units[v]), units[v])
        block_row = np.searchsorted(program.segments[:, 0], offset) + np.arange(len(own))
        target = np.full(len(own), base[b])
        found.append(np.stack([base[v] + own, target, base[a] + first, block_row]))
    branches = np.concatenate(found, axis=1)
    return branches[:, np.argsort(branches[0], kind="stable")]


_known: WeakKeyDictionary[Program, dict[str, Branches]] = WeakKeyDictionary()


def branches_of(program: Program, like: Any) -> Branches:
    """The tables of a program, where the array ``like`` lies; made once for every device."""
    known = _known.setdefault(program, {})
    device = "numpy" if isinstance(like, np.ndarray) else str(like.device)
    if device not in known:
        made = _make(program)
        tables = {
            name: sent(part, like)
            for name, part in made._asdict().items()
            if isinstance(part, np.ndarray)
        }
        columns = [sent(part, like) for part in made.columns]
        known[device] = made._replace(columns=columns, **tables)
    return known[device]
