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
) = range(18)
N_INSTRUCTION_COLUMNS = 18
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

# Operations after the six of Program: two forms of leaves, nothing, and leaves over groups of
# columns, whose log densities are given.
TABLE, EXPONENTIAL, SKIP, GIVEN = 6, 7, 8, 9
LEAVES = (TABLE, EXPONENTIAL, GIVEN)
#: Operations that hand their flow to their children as it is.
PRODUCTS = {PRODUCT, TRANSPOSE}
# What a product (or a Kronecker sum) does with the flow of a child.
PUSH_NOTHING, PUSH_DIVIDED, PUSH_FIRST, PUSH_MORE, PUSH_LEAF = range(5)
