"""Names of the columns and codes of a plan's tables, as kernels read them."""

from __future__ import annotations

from ...circuit.program import INPUT, KRONECKER, MIXING, PRODUCT, SUM, TRANSPOSE

__all__ = ["INPUT", "KRONECKER", "MIXING", "PRODUCT", "SUM", "TRANSPOSE"]

# Columns of the instruction table.
(
    OP,
    UNITS,
    VALUE,
    SCALE,
    ARG,
    ARG_END,
    MEASURE,
    DIRECT,
    FACTOR,
    LEAF,
    DATA,
    LEAF_OUT,
    WIDTH,
    KEPT,
    LOG_SCALE,
    PULL,
    PULL_END,
    SLOT,
    BELOW,
    MAP,
    OFFER,
    PASSING,
) = range(22)
N_INSTRUCTION_COLUMNS = 22
# MAP says whose rows a vector of another scope is read by, OFFER where a vector lies in the rows
# that others read, or -1. PASSING vectors are never kept: products read some of other scopes a few
# panels at a time, and some sums are only offered.
# Columns of the argument table.
(
    CHILD,
    WEIGHTS,
    HEIGHT,
    COLUMNS,
    OUT,
    IN,
    CHILD_VALUE,
    CHILD_UNITS,
    CHILD_SCALE,
    PUSH,
    TARGET,
    FACTOR_ROW,
) = range(12)
N_ARG_COLUMNS = 12
# Columns of the pull table: a sum's argument, seen from the child.
PARENT, PARENT_ARG = range(2)
# Columns of the scope table: its instructions, its parts (of the list of parts), its maps, its
# runs of weights, and the one scope that reads it, or -1; the codes it reads if it is one finite
# column, -1 otherwise, with their states, and whether it is another input; what of a row its
# values, scales, factors and slots need, and what it offers to other scopes; what a row of it
# costs; its place among those that have something to do, and that of the first of them that lies
# in its subtree.
(
    FIRST,
    LAST,
    PART,
    PART_END,
    FIRST_MAP,
    LAST_MAP,
    RUN,
    RUN_END,
    ABOVE,
    CODE,
    STATES,
    UNLIKE,
    VALUES,
    SCALES,
    FACTORS,
    SLOTS,
    OFFERS,
    WORK,
    POSITION,
    SUBTREE_FROM,
) = range(20)
N_SCOPE_COLUMNS = 20
# Columns of the places of a scope in a chunk of rows: how many rows it has, panels of them, and
# panels of their first half (all, if they are not halved); where values, scales, factors and
# slots begin, what it offers to other scopes, and the flows that come back for that; whether both
# halves of the scope above send it flows, each to rows of their own; what it costs together with
# all scopes below; which thread has it, see owners.py; room for the flows that come back to scopes
# below, what its children need of that, and what those of its siblings need that were met before
# it; which thread had it when there were several last, from 1, or 0; and the first of the scopes
# of the same thread that lie side by side, up to this one.
(
    N_DISTINCT,
    PANELS,
    CUT,
    AT_VALUES,
    AT_SCALES,
    AT_FACTORS,
    AT_SLOTS,
    AT_OFFERS,
    AT_RETURNS,
    TWOFOLD,
    SUBTREE,
    OWNER,
    ROOM,
    CHILDREN,
    BEFORE,
    HABIT,
    SIDE_FROM,
) = range(17)
N_PLACE_COLUMNS = 17

# Columns of the table of blocks of cells: their columns lie from COLUMN of a list, COUNT of them,
# with so many states; their codes are written from that row on.
COLUMN, COUNT, STATES_OF_BLOCK, CODE_ROW = range(4)

# Operations after the six of Program: two forms of leaves, nothing, leaves over groups of
# columns, whose log densities are given; then vectors of another scope, gathered, and those of
# them that are tables of few states, looked up: see scopes.py.
TABLE, EXPONENTIAL, SKIP, GIVEN, GATHER, LOOKUP = 6, 7, 8, 9, 10, 11
LEAVES = (TABLE, EXPONENTIAL, GIVEN, GATHER, LOOKUP)
#: Operations that hand their flow to their children as it is.
PRODUCTS = {PRODUCT, TRANSPOSE}
# What a product (or a Kronecker sum) does with the flow of a child.
PUSH_NOTHING, PUSH_DIVIDED, PUSH_FIRST, PUSH_MORE, PUSH_LEAF = range(5)
