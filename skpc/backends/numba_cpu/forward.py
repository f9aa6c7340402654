"""The upward pass of a tile: values and scales of every vector."""

from __future__ import annotations

import numpy as np

from .columns import (
    ARG,
    ARG_END,
    AT_OFFERS,
    AT_SCALES,
    BELOW,
    CHILD,
    CHILD_SCALE,
    CHILD_UNITS,
    CHILD_VALUE,
    COLUMNS,
    DATA,
    DIRECT,
    EXPONENTIAL,
    FACTOR,
    FACTOR_ROW,
    GATHER,
    GIVEN,
    HEIGHT,
    IN,
    KRONECKER,
    LEAF,
    LOG_SCALE,
    LOOKUP,
    MAP,
    MEASURE,
    MIXING,
    OFFER,
    OFFERS,
    OP,
    OUT,
    PRODUCT,
    SCALE,
    SCALES,
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
from .gather import gather, gather_scale, halves, offer
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

#: A row whose share of lost mass may exceed this is evaluated again in float64 logs.
LOST_SHARE = 1e-6


@kernel
def forward_tile(
    tables, first, last, model, data, first_row, n_panels, values, scales, factors, scratch, lost,
    gathered,
):  # fmt: skip
    """Values and scales of the vectors from ``first`` to ``last``, for the rows from ``first_row``.

    ``gathered`` is what gathers read: see ``chunks.py``; None if there are none.
    """
    never_inline()
    instructions, args, _ = tables
    weights, table, log2_scale, coefficients = model
    codes, floats, n_rows = data
    rows = n_panels * PANEL
    inverse, exponent, relative, absolute = scales
    for v in range(first, last):
        step = instructions[v]
        op = step[OP]
        if op == SKIP:
            continue
        units = step[UNITS]
        out = step[VALUE] * rows
        scale = step[SCALE] * rows
        arg = step[ARG]
        end = step[ARG_END]
        if op == TABLE or op == EXPONENTIAL or op == GIVEN or op == LOOKUP:
            at = step[DATA] * n_rows + first_row
            if op == TABLE or op == LOOKUP:
                numbers = codes
                if gathered is not None:
                    if op == LOOKUP:  # numbers of few states are codes
                        numbers, at = gathered[0], step[MAP] * gathered[1]
                table_forward(
                    table,
                    step[LEAF],
                    log2_scale,
                    step[LOG_SCALE],
                    step[WIDTH],
                    numbers,
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
        elif op == GATHER:
            if gathered is not None:
                rows_below, stride, scopes, places, offers, all_scales, _, _ = gathered
                s = step[BELOW]
                place, number = places[s], step[MAP] * stride
                at = place[AT_OFFERS] + instructions[args[arg, CHILD], OFFER]
                width = scopes[s, OFFERS]
                gather(rows_below, number, offers, at, width, values, out, units, n_panels)
                at = args[arg, CHILD_SCALE]
                where = halves(place, place[AT_SCALES], scopes[s, SCALES], at, 1)
                gather_scale(rows_below, number, all_scales, where, scales, scale, rows)
        elif op == PRODUCT:
            a = args[arg, CHILD_VALUE] * rows
            sa = args[arg, CHILD_SCALE] * rows
            j = arg + 1
            while j < end:
                b = args[j, CHILD_VALUE] * rows
                sb = args[j, CHILD_SCALE] * rows
                c = sc = -1
                if j + 1 < end:
                    c = args[j + 1, CHILD_VALUE] * rows
                    sc = args[j + 1, CHILD_SCALE] * rows
                multiply(values, a, b, c, units, n_panels, scales, sa, sb, sc, out, scale, lost)
                a = out
                sa = scale
                j += 2
        elif op == TRANSPOSE:
            a = args[arg, CHILD_VALUE] * rows
            height = args[arg, HEIGHT]
            transpose(values, a, values, out, height, args[arg, COLUMNS], n_panels)
            copy_scale(scales, args[arg, CHILD_SCALE] * rows, scale, rows)
        elif op == SUM and step[DIRECT]:
            for j in range(arg, end):
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
                    args[arg, CHILD_SCALE] * rows,
                    scale,
                    lost,
                )
        elif factors is not None:
            if op == KRONECKER:
                kronecker_forward(
                    weights,
                    args[arg, WEIGHTS],
                    values,
                    args[arg, CHILD_VALUE] * rows,
                    args[arg, CHILD_UNITS],
                    args[arg, CHILD_SCALE] * rows,
                    args[arg + 1, CHILD_VALUE] * rows,
                    args[arg + 1, CHILD_UNITS],
                    args[arg + 1, CHILD_SCALE] * rows,
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
        if gathered is not None:
            if step[OFFER] >= 0:
                _, _, _, _, _, _, mine, width = gathered
                offer(values, out, mine, step[OFFER], width, units, n_panels)


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
