"""The upward pass of a tile: values and scales of every vector."""

from __future__ import annotations

import numpy as np

from .columns import (
    ARG,
    ARG_END,
    CHILD_SCALE,
    CHILD_UNITS,
    CHILD_VALUE,
    COLUMNS,
    DATA,
    DIRECT,
    EXPONENTIAL,
    FACTOR,
    FACTOR_ROW,
    GIVEN,
    HEIGHT,
    IN,
    KRONECKER,
    LEAF,
    LOG_SCALE,
    MEASURE,
    MIXING,
    OP,
    OUT,
    PRODUCT,
    SCALE,
    SKIP,
    SUM,
    TABLE,
    TRANSPOSE,
    UNITS,
    VALUE,
    WEIGHTS,
    WIDTH,
)
from .dense import ADD, STORE, matrix_times_panels
from .kernel_cache import kernel
from .leaves import exponential_forward, given_forward, table_forward
from .mixing import kronecker_forward, mix_forward
from .products import LN2, common_scale, copy_scale, measure, multiply, scale_rows, transpose
from .simd import (
    LANES,
    PANEL,
    never_inline,
    vfill,
    vstore,
)


@kernel
def forward_tile(tables, model, data, first_row, n_panels, values, scales, factors, scratch, lost):
    """Values and scales of every vector for the rows from ``first_row``."""
    instructions, args, _ = tables
    weights, table, log2_scale, coefficients = model
    codes, floats, n_rows = data
    rows = n_panels * PANEL
    inverse, exponent, relative, absolute = scales
    for v in range(instructions.shape[0]):
        step = instructions[v]
        op = step[OP]
        if op == SKIP:
            continue
        units = step[UNITS]
        out = step[VALUE] * rows
        scale = step[SCALE] * rows
        first = step[ARG]
        last = step[ARG_END]
        if op == TABLE or op == EXPONENTIAL or op == GIVEN:
            at = step[DATA] * n_rows + first_row
            if op == TABLE:
                table_forward(
                    table,
                    step[LEAF],
                    log2_scale,
                    step[LOG_SCALE],
                    step[WIDTH],
                    codes,
                    at,
                    values,
                    out,
                    units,
                    n_panels,
                    exponent,
                    scale,
                )
            elif op == GIVEN:
                given_forward(floats, at, n_rows, values, out, units, n_panels, exponent, scale)
            else:
                exponential_forward(
                    coefficients,
                    step[LEAF],
                    step[WIDTH],
                    floats,
                    at,
                    n_rows,
                    values,
                    out,
                    units,
                    n_panels,
                    exponent,
                    scale,
                )
            for t in range(scale, scale + rows, LANES):
                vstore(inverse, t, vfill(inverse, 1))
                vstore(relative, t, vfill(inverse, 0))
                vstore(absolute, t, vfill(inverse, lost))
        elif op == PRODUCT:
            a = args[first, CHILD_VALUE] * rows
            sa = args[first, CHILD_SCALE] * rows
            j = first + 1
            while j < last:
                b = args[j, CHILD_VALUE] * rows
                sb = args[j, CHILD_SCALE] * rows
                c = sc = -1
                if j + 1 < last:
                    c = args[j + 1, CHILD_VALUE] * rows
                    sc = args[j + 1, CHILD_SCALE] * rows
                multiply(values, a, b, c, units, n_panels, scales, sa, sb, sc, out, scale, lost)
                a = out
                sa = scale
                j += 2
        elif op == TRANSPOSE:
            a = args[first, CHILD_VALUE] * rows
            height = args[first, HEIGHT]
            transpose(values, a, values, out, height, args[first, COLUMNS], n_panels)
            copy_scale(scales, args[first, CHILD_SCALE] * rows, scale, rows)
        elif op == SUM and step[DIRECT]:
            for j in range(first, last):
                matrix_times_panels(
                    weights,
                    args[j, WEIGHTS],
                    args[j, COLUMNS],
                    1,
                    values,
                    args[j, CHILD_VALUE] * rows + args[j, IN] * PANEL,
                    args[j, CHILD_UNITS] * PANEL,
                    values,
                    out + args[j, OUT] * PANEL,
                    units * PANEL,
                    args[j, HEIGHT],
                    args[j, COLUMNS],
                    n_panels,
                    STORE,
                    values,
                    out,
                    0,
                )
            if step[MEASURE]:
                measure(
                    values,
                    out,
                    units,
                    n_panels,
                    scales,
                    args[first, CHILD_SCALE] * rows,
                    scale,
                    lost,
                )
        elif factors is not None:
            if op == KRONECKER:
                kronecker_forward(
                    weights,
                    args[first, WEIGHTS],
                    values,
                    args[first, CHILD_VALUE] * rows,
                    args[first, CHILD_UNITS],
                    args[first, CHILD_SCALE] * rows,
                    args[first + 1, CHILD_VALUE] * rows,
                    args[first + 1, CHILD_UNITS],
                    args[first + 1, CHILD_SCALE] * rows,
                    out,
                    units,
                    n_panels,
                    scales,
                    scale,
                    factors,
                    step[FACTOR] * rows,
                    scratch,
                    lost,
                )
            else:
                _sum_over_children(
                    step, args, weights, values, scales, factors, scratch, rows, n_panels, lost
                )


@kernel
def _sum_over_children(step, args, weights, values, scales, factors, scratch, rows, n_panels, lost):
    never_inline()
    out = step[VALUE] * rows
    units = step[UNITS]
    first = step[ARG]
    last = step[ARG_END]
    scale = step[SCALE] * rows
    common_scale(
        scales, args, first, last, CHILD_SCALE, factors, step[FACTOR] * rows, rows, scale, lost
    )
    for j in range(first, last):
        source = args[j, CHILD_VALUE] * rows + args[j, IN] * PANEL
        child_step = args[j, CHILD_UNITS] * PANEL
        factor = args[j, FACTOR_ROW] * rows
        opening = (j - first) * args[first, HEIGHT] < units  # a block of the first child
        if step[OP] == MIXING:
            mix_forward(
                weights,
                args[j, WEIGHTS],
                values,
                source,
                factors,
                factor,
                values,
                out,
                units,
                n_panels,
                opening,
            )
        else:
            width = args[j, COLUMNS]
            scale_rows(
                values,
                source,
                factors,
                factor,
                scratch,
                0,
                width,
                n_panels,
                child_step,
                width * PANEL,
            )
            matrix_times_panels(
                weights,
                args[j, WEIGHTS],
                width,
                1,
                scratch,
                0,
                width * PANEL,
                values,
                out + args[j, OUT] * PANEL,
                units * PANEL,
                args[j, HEIGHT],
                width,
                n_panels,
                STORE if opening else ADD,
                values,
                out,
                0,
            )
    measure(values, out, units, n_panels, scales, scale, scale, lost)


@kernel
def root_result(tables, first_row, n_panels, values, scales, log_likelihood, bound):
    """log p of every row, nats, and the share of mass that may have been lost."""
    never_inline()
    instructions, _, _ = tables
    inverse, exponent, relative, absolute = scales
    rows = n_panels * PANEL
    step = instructions[instructions.shape[0] - 1]
    out = step[VALUE] * rows
    scale = step[SCALE] * rows
    for t in range(rows):
        value = np.float64(values[out + t]) * inverse[scale + t]
        log_value = np.log(value) + LN2 * exponent[scale + t]
        if np.isfinite(log_value):
            log_likelihood[first_row + t] = log_value
            bound[first_row + t] = relative[scale + t] + absolute[scale + t] / value
        else:
            log_likelihood[first_row + t] = -np.inf
            bound[first_row + t] = np.inf
