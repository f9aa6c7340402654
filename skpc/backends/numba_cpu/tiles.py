"""The interpreter: one tile of rows through the whole circuit, up and down."""

from __future__ import annotations

import numpy as np

from . import plan as P
from .dense import ADD, STORE, TIMES, add_outer_products, matrix_times_panels
from .kernel_cache import entry_kernel, kernel
from .leaves import exponential_backward, exponential_forward, table_backward, table_forward
from .mixing import kronecker_backward, kronecker_forward, mix_backward, mix_forward
from .products import common_scale, measure, multiply, scale_rows
from .simd import (
    LANES,
    PANEL,
    flush_subnormals,
    load,
    never_inline,
    pointer,
    restore_rounding,
    store,
    vadd,
    vdivide_or_zero,
    vfill,
    vload,
    vmul,
    vstore,
)

#: A row whose share of lost mass may exceed this is evaluated again in float64 logs.
LOST_SHARE = 1e-6
LN2 = 0.6931471805599453

(OP, UNITS, VALUE, SCALE, ARG, ARG_END, MEASURE, DIRECT, FACTOR) = (
    P.OP, P.UNITS, P.VALUE, P.SCALE, P.ARG, P.ARG_END, P.MEASURE, P.DIRECT, P.FACTOR,
)
(LEAF, DATA, LEAF_OUT, WIDTH, KEPT, LOG_SCALE, PULL, PULL_END, SLOT) = (
    P.LEAF, P.DATA, P.LEAF_OUT, P.WIDTH, P.KEPT, P.LOG_SCALE, P.PULL, P.PULL_END, P.SLOT,
)
(CHILD, WEIGHTS, HEIGHT, COLUMNS, OUT, IN, CHILD_VALUE, CHILD_UNITS) = (
    P.CHILD, P.WEIGHTS, P.HEIGHT, P.COLUMNS, P.OUT, P.IN, P.CHILD_VALUE, P.CHILD_UNITS,
)
CHILD_SCALE, PUSH, TARGET, FACTOR_ROW = P.CHILD_SCALE, P.PUSH, P.TARGET, P.FACTOR_ROW
PARENT, PARENT_ARG = P.PARENT, P.PARENT_ARG
PRODUCT, SUM, MIXING, KRONECKER = P.PRODUCT, P.SUM, P.MIXING, P.KRONECKER
TABLE, EXPONENTIAL = P.TABLE, P.EXPONENTIAL
PUSH_DIVIDED, PUSH_FIRST, PUSH_MORE, PUSH_LEAF = (
    P.PUSH_DIVIDED, P.PUSH_FIRST, P.PUSH_MORE, P.PUSH_LEAF,
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
        units = step[UNITS]
        out = step[VALUE] * rows
        scale = step[SCALE] * rows
        first = step[ARG]
        last = step[ARG_END]
        if op == TABLE or op == EXPONENTIAL:
            at = step[DATA] * n_rows + first_row
            if op == TABLE:
                table_forward(
                    table, step[LEAF], log2_scale, step[LOG_SCALE], step[WIDTH], codes, at, values,
                    out, units, n_panels, exponent, scale,
                )
            else:
                exponential_forward(
                    coefficients, step[LEAF], step[WIDTH], floats, at, n_rows, values, out, units,
                    n_panels, exponent, scale,
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
                multiply(
                    values, a, b, c, units, n_panels, scales, sa, sb, sc, out, scale, lost
                )
                a = out
                sa = scale
                j += 2
        elif op == KRONECKER:
            kronecker_forward(
                weights, args[first, WEIGHTS], values, args[first, CHILD_VALUE] * rows,
                args[first, CHILD_UNITS], args[first, CHILD_SCALE] * rows,
                args[first + 1, CHILD_VALUE] * rows, args[first + 1, CHILD_UNITS],
                args[first + 1, CHILD_SCALE] * rows, out, units, n_panels, scales, scale, factors,
                step[FACTOR] * rows, scratch, lost,
            )
        elif step[DIRECT]:
            for j in range(first, last):
                matrix_times_panels(
                    weights, args[j, WEIGHTS], args[j, COLUMNS], 1, values,
                    args[j, CHILD_VALUE] * rows + args[j, IN] * PANEL,
                    args[j, CHILD_UNITS] * PANEL, values, out + args[j, OUT] * PANEL,
                    units * PANEL, args[j, HEIGHT], args[j, COLUMNS], n_panels, STORE, values, out,
                    0,
                )
            if step[MEASURE]:
                measure(
                    values, out, units, n_panels, scales, args[first, CHILD_SCALE] * rows, scale,
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
                weights, args[j, WEIGHTS], values, source, factors, factor, values, out, units,
                n_panels, opening,
            )
        else:
            width = args[j, COLUMNS]
            scale_rows(
                values, source, factors, factor, scratch, 0, width, n_panels, child_step,
                width * PANEL,
            )
            matrix_times_panels(
                weights, args[j, WEIGHTS], width, 1, scratch, 0, width * PANEL, values,
                out + args[j, OUT] * PANEL, units * PANEL, args[j, HEIGHT], width, n_panels,
                STORE if opening else ADD, values, out, 0,
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


@kernel
def _leaf_flow(step, flow, data, first_row, n_panels, leaf_out):
    never_inline()
    codes, floats, n_rows = data
    at = step[DATA] * n_rows + first_row
    if step[OP] == TABLE:
        table_backward(
            flow, 0, step[UNITS], n_panels, codes, at, step[WIDTH], step[KEPT], leaf_out,
            step[LEAF_OUT],
        )
    else:
        exponential_backward(
            flow, 0, step[UNITS], n_panels, floats, at, n_rows, step[KEPT], leaf_out,
            step[LEAF_OUT],
        )


@kernel
def _pull(step, tables, weights, values, factors, scratch, flow, edges, rows, n_panels):
    """Add to ``flow`` the derivative that the sums above pass down, and their edge flows."""
    never_inline()
    instructions, args, pulls = tables
    units = step[UNITS]
    for q in range(step[PULL], step[PULL_END]):
        parent = instructions[pulls[q, PARENT]]
        arg = args[pulls[q, PARENT_ARG]]
        up = parent[VALUE] * rows + arg[OUT] * PANEL
        up_step = parent[UNITS] * PANEL
        value = step[VALUE] * rows + arg[IN] * PANEL
        factor = arg[FACTOR_ROW] * rows
        if parent[OP] == MIXING:
            mix_backward(
                weights, arg[WEIGHTS], values, up, values, value, factors, factor, flow, 0, units,
                n_panels, edges,
            )
            continue
        if factor < 0:
            add_outer_products(
                values, up, up_step, values, value, units * PANEL, arg[HEIGHT], arg[COLUMNS],
                n_panels, edges, arg[WEIGHTS],
            )
            matrix_times_panels(
                weights, arg[WEIGHTS], 1, arg[COLUMNS], values, up, up_step, flow,
                arg[IN] * PANEL, units * PANEL, arg[COLUMNS], arg[HEIGHT], n_panels, ADD, values,
                value, 0,
            )
        else:
            scaled_step = arg[HEIGHT] * PANEL
            scale_rows(
                values, up, factors, factor, scratch, 0, arg[HEIGHT], n_panels, up_step,
                scaled_step,
            )
            add_outer_products(
                scratch, 0, scaled_step, values, value, units * PANEL, arg[HEIGHT], arg[COLUMNS],
                n_panels, edges, arg[WEIGHTS],
            )
            matrix_times_panels(
                weights, arg[WEIGHTS], 1, arg[COLUMNS], scratch, 0, scaled_step, flow,
                arg[IN] * PANEL, units * PANEL, arg[COLUMNS], arg[HEIGHT], n_panels, ADD, values,
                value, 0,
            )


@kernel
def backward_tile(
    tables, model, data, first_row, n_panels, values, factors, scratch, flow, slots, edges,
    leaf_out,
):
    """Flows of every vector, root first; edge and leaf flows are added up.

    A sum's values are overwritten by its derivative ∂ log p / ∂ value: flow / value. Edge
    flows are stored without the factor θ, which is common to all rows.
    """
    instructions, args, pulls = tables
    weights = model[0]
    rows = n_panels * PANEL
    for back in range(instructions.shape[0]):
        v = instructions.shape[0] - 1 - back
        step = instructions[v]
        op = step[OP]
        units = step[UNITS]
        size = units * rows
        value = step[VALUE] * rows
        n_pulls = step[PULL_END] - step[PULL]
        slot = step[SLOT] * rows
        is_sum = op == SUM or op == MIXING or op == KRONECKER
        single = False
        if n_pulls == 1 and slot < 0:
            parent = instructions[pulls[step[PULL], PARENT]]
            arg = args[pulls[step[PULL], PARENT_ARG]]
            single = parent[DIRECT] and arg[COLUMNS] == units and arg[HEIGHT] == parent[UNITS]
            if single:
                up = parent[VALUE] * rows
                up_step = parent[UNITS] * PANEL
                add_outer_products(
                    values, up, up_step, values, value, units * PANEL, arg[HEIGHT], units,
                    n_panels, edges, arg[WEIGHTS],
                )
                if is_sum:
                    matrix_times_panels(
                        weights, arg[WEIGHTS], 1, units, values, up, up_step, values, value,
                        units * PANEL, units, arg[HEIGHT], n_panels, STORE, values, value, 0,
                    )
                else:
                    matrix_times_panels(
                        weights, arg[WEIGHTS], 1, units, values, up, up_step, flow, 0,
                        units * PANEL, units, arg[HEIGHT], n_panels, TIMES, values, value,
                        units * PANEL,
                    )
        if not single and (n_pulls > 0 or slot >= 0):
            zero = vfill(flow, 0)
            for i in range(0, size, LANES):
                vstore(flow, i, zero)
            _pull(step, tables, weights, values, factors, scratch, flow, edges, rows, n_panels)
            for i in range(0, size, LANES):
                x = vload(values, value + i)
                down = vload(flow, i)
                if is_sum:
                    if slot >= 0:
                        down = vadd(down, vdivide_or_zero(vload(slots, slot + i), x))
                    vstore(values, value + i, down)
                else:
                    down = vmul(down, x)
                    if slot >= 0:
                        down = vadd(down, vload(slots, slot + i))
                    vstore(flow, i, down)
        if op == PRODUCT:
            for j in range(step[ARG], step[ARG_END]):
                push = args[j, PUSH]
                if push == PUSH_LEAF:
                    _leaf_flow(
                        instructions[args[j, CHILD]], flow, data, first_row, n_panels, leaf_out
                    )
                    continue
                target = args[j, TARGET] * rows
                if push == PUSH_DIVIDED:
                    for i in range(0, size, LANES):
                        x = vload(values, target + i)
                        vstore(values, target + i, vdivide_or_zero(vload(flow, i), x))
                elif push == PUSH_FIRST:
                    for i in range(0, size, LANES):
                        vstore(slots, target + i, vload(flow, i))
                elif push == PUSH_MORE:
                    for i in range(0, size, LANES):
                        x = vload(slots, target + i)
                        vstore(slots, target + i, vadd(x, vload(flow, i)))
        elif op == KRONECKER:
            a = step[ARG]
            b = a + 1
            for j in range(a, b + 1):
                if args[j, PUSH] == PUSH_FIRST:
                    zero = vfill(slots, 0)
                    start = args[j, TARGET] * rows
                    for i in range(start, start + args[j, CHILD_UNITS] * rows, LANES):
                        vstore(slots, i, zero)
            kronecker_backward(
                weights, args[a, WEIGHTS], values, value, units, args[a, CHILD_VALUE] * rows,
                args[a, CHILD_UNITS], args[b, CHILD_VALUE] * rows, args[b, CHILD_UNITS], factors,
                step[FACTOR] * rows, n_panels, slots, args[a, TARGET] * rows,
                args[b, TARGET] * rows, edges, scratch, flow,
            )
        elif not is_sum and (n_pulls > 0 or slot >= 0):
            _leaf_flow(step, flow, data, first_row, n_panels, leaf_out)


@kernel
def _pointers(model, data, buffers):
    """Arrays of the call as bare pointers."""
    weights, table, log2_scale, coefficients = model
    codes, floats, n_rows = data
    values, scales, factors, scratch = buffers
    inverse, exponent, relative, absolute = scales
    return (
        (pointer(weights), pointer(table), pointer(log2_scale), pointer(coefficients)),
        (pointer(codes), pointer(floats), n_rows),
        (pointer(inverse), pointer(exponent), pointer(relative), pointer(absolute)),
        (pointer(values), pointer(factors), pointer(scratch)),
    )


@entry_kernel
def score_tiles(tables, model, data, first_tile, last_tile, n_panels, buffers, lost,
                log_likelihood, bound):
    """Log-likelihoods of the rows of some tiles."""
    model, data, scales, (values, factors, scratch) = _pointers(model, data, buffers)
    log_likelihood = pointer(log_likelihood)
    bound = pointer(bound)
    before = flush_subnormals()
    for tile in range(first_tile, last_tile):
        row = tile * n_panels * PANEL
        forward_tile(
            tables, model, data, row, n_panels, values, scales, factors, scratch, lost
        )
        root_result(tables, row, n_panels, values, scales, log_likelihood, bound)
    restore_rounding(before)


@entry_kernel
def learn_tiles(tables, model, data, first_tile, last_tile, n_panels, buffers, lost,
                log_likelihood, bound, row_weights, flow, slots, edges, leaf_out):
    """Log-likelihoods and flows of the rows of some tiles; damaged rows get no flow."""
    model, data, scales, (values, factors, scratch) = _pointers(model, data, buffers)
    log_likelihood = pointer(log_likelihood)
    bound = pointer(bound)
    row_weights = pointer(row_weights)
    flow = pointer(flow)
    slots = pointer(slots)
    edges = pointer(edges)
    leaf_out = pointer(leaf_out)
    instructions = tables[0]
    rows = n_panels * PANEL
    root_slot = instructions[instructions.shape[0] - 1, SLOT] * rows
    before = flush_subnormals()
    for tile in range(first_tile, last_tile):
        row = tile * rows
        forward_tile(
            tables, model, data, row, n_panels, values, scales, factors, scratch, lost
        )
        root_result(tables, row, n_panels, values, scales, log_likelihood, bound)
        for t in range(rows):
            whole = load(bound, row + t) <= LOST_SHARE
            store(slots, root_slot + t, load(row_weights, row + t) if whole else 0.0)
        backward_tile(
            tables, model, data, row, n_panels, values, factors, scratch, flow, slots, edges,
            leaf_out,
        )
    restore_rounding(before)
