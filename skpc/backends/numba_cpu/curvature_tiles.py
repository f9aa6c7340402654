"""Tiles of rows through the circuit four times, for second derivatives by the sum weights.

Up for values; down for flows F and slopes d = F / p; up for the changes τ of log p in the
direction of its own gradient g; down for the changes Ḟ of the flows (see log_curvature.py).
With x a child's values on the scale of the sum, x / p is the ratio r, and everything stays a
plain product with the weights W: g = d x, the numerator of τ is W (x τ) + d Σ x², the child's
share of F is x Wᵀd. With e = Ḟ / p - d τ the second derivative (H g) is e x + d (x τ), and the
child's share of Ḟ is x (Wᵀe + x Σ d²) + τ x Wᵀd. Seven products where learning has three.
"""

from __future__ import annotations

from .columns import (
    ARG,
    ARG_END,
    CHILD,
    CHILD_SCALE,
    CHILD_UNITS,
    CHILD_VALUE,
    COLUMNS,
    DATA,
    DIRECT,
    FACTOR,
    FACTOR_ROW,
    GIVEN,
    HEIGHT,
    IN,
    KEPT,
    KRONECKER,
    LEAF,
    LEAF_OUT,
    LEAVES,
    LOG_SCALE,
    MIXING,
    OP,
    OUT,
    PRODUCT,
    SKIP,
    TABLE,
    TRANSPOSE,
    UNITS,
    VALUE,
    WEIGHTS,
    WIDTH,
)
from .dense import ADD, STORE, TIMES, add_outer_products, matrix_times_panels
from .forward import forward_tile, root_result
from .kernel_cache import entry_kernel, kernel
from .leaves import exponential_backward, given_backward, table_backward, table_forward
from .mixing import pair_values
from .products import scale_rows, transpose
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
    vbroadcast,
    vdivide_or_zero,
    vfill,
    vfma,
    vload,
    vmul,
    vstore,
    vsub,
    vsum,
)
from .tiles import LOST_SHARE, bare_pointers, count_tiles, first_panel

# Columns of the layout, a row a vector: places (in units) of its flow, change, slope; whether
# its flow starts from zero; whether it is a sum merged with the leaf below.
FLOW, CHANGE, SLOPE, CLEAR, MERGED = range(5)
# And a row an argument: whether its flow is the first to arrive; the only one; already there.
FIRST, SOLE, SHARED = range(3)


@entry_kernel
def curve_tiles(
    tables, layout, pushes, model, ratios, data, more_data, all_panels, tile_panels, buffers,
    space, lost, log_likelihood, bound, roots, weighted, with_squares, with_gradient, sums,
    leaf_sums,
):  # fmt: skip
    """Log-likelihoods, flows and second derivatives of rows; damaged ones add nothing.

    ``roots`` are square roots of the row weights: with these as flows of the root, whatever is
    quadratic in flows is weighted. ``sums`` are flows, squares and second derivatives of the
    edges; ``leaf_sums`` those of the leaves.
    """
    model, data, scales, (values, factors, scratch) = bare_pointers(model, data, buffers)
    flow, moved, change, slope, x, y, t, u, z, row_sum, ignored = space
    work = (
        (values, factors, scales[0]),
        (pointer(flow), pointer(moved), pointer(change), pointer(slope)),
        (pointer(x), pointer(y), pointer(t), pointer(u), pointer(z)),
        pointer(row_sum),
    )
    log_likelihood = pointer(log_likelihood)
    bound = pointer(bound)
    roots = pointer(roots)
    ratios = pointer(ratios)
    ignored = pointer(ignored)
    edges, squares, second = sums
    edges, squares, second = pointer(edges), pointer(squares), pointer(second)
    leaf_flows, leaf_squares, leaf_second = leaf_sums
    leaf_flows, leaf_squares = pointer(leaf_flows), pointer(leaf_squares)
    leaf_second = pointer(leaf_second)
    more_data = (data[0], pointer(more_data), data[2])
    flow, moved = work[1][0], work[1][1]
    instructions = tables[0]
    last = instructions.shape[0] - 1
    before = flush_subnormals()
    n_tiles = count_tiles(all_panels, tile_panels)
    for tile in range(n_tiles):
        start = first_panel(tile, n_tiles, all_panels)
        n_panels = first_panel(tile + 1, n_tiles, all_panels) - start
        row, rows = start * PANEL, n_panels * PANEL
        forward_tile(
            tables, 0, last + 1, model, data, row, n_panels, values, scales, factors, scratch, lost,
            None,
        )  # fmt: skip
        root_result(tables, row, n_panels, values, scales, log_likelihood, bound)
        _clear(instructions, layout, flow, rows)
        top = layout[last, FLOW] * rows
        for i in range(rows):
            whole = load(bound, row + i) <= LOST_SHARE
            store(flow, top + i, load(roots, row + i) if whole else 0.0)
        for back in range(last + 1):
            v = last - back
            if instructions[v, OP] != SKIP:
                _flows_down(
                    v, tables, layout, pushes, model[0], data, row, n_panels, work, roots,
                    weighted, edges, squares, with_squares, leaf_flows, leaf_squares,
                )  # fmt: skip
        if with_gradient:
            for v in range(last + 1):
                if instructions[v, OP] != SKIP and layout[v, CHANGE] >= 0:
                    _changes_up(
                        v, tables, layout, model, ratios, data, row, n_panels, work, ignored
                    )
            _clear(instructions, layout, moved, rows)
            for i in range(rows):
                store(moved, top + i, 0.0)
            for back in range(last + 1):
                v = last - back
                if instructions[v, OP] != SKIP:
                    _changes_down(
                        v, tables, layout, pushes, model[0], more_data, data, row, n_panels, work,
                        second, leaf_second,
                    )  # fmt: skip
    restore_rounding(before)


# -- elementwise ------------------------------------------------------------------------------


@kernel
def _clear(instructions, layout, flow, rows):
    never_inline()
    zero = vfill(flow, 0)
    for v in range(instructions.shape[0]):
        if layout[v, CLEAR]:
            at = layout[v, FLOW] * rows
            for i in range(at, at + instructions[v, UNITS] * rows, LANES):
                vstore(flow, i, zero)


@kernel
def _over_values(above, a, values, v, gains, g, out, o, units, n_panels):
    """out = above / (value · gain of the row); no gain below zero."""
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            w = vload(gains, g + p * PANEL + h) if g >= 0 else vfill(values, 1)
            i = p * units * PANEL + h
            for _ in range(units):
                value = vmul(vload(values, v + i), w)
                vstore(out, o + i, vdivide_or_zero(vload(above, a + i), value))
                i += PANEL


@kernel
def _times(a, i, a_step, b, j, b_step, out, o, o_step, units, n_panels):
    """out = a · b"""
    never_inline()
    for p in range(n_panels):
        for k in range(0, units * PANEL, LANES):
            x = vmul(vload(a, i + p * a_step + k), vload(b, j + p * b_step + k))
            vstore(out, o + p * o_step + k, x)


@kernel
def _add_or_copy(source, s, s_step, out, o, o_step, units, n_panels, first):
    """out = source or out += source"""
    never_inline()
    for p in range(n_panels):
        for k in range(0, units * PANEL, LANES):
            value = vload(source, s + p * s_step + k)
            if not first:
                value = vadd(value, vload(out, o + p * o_step + k))
            vstore(out, o + p * o_step + k, value)


@kernel
def _sum_of_squares(a, i, step, units, n_panels, row_sum):
    """row_sum = Σ a² over the units."""
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            total = vfill(a, 0)
            k = i + p * step + h
            for _ in range(units):
                value = vload(a, k)
                total = vfma(value, value, total)
                k += PANEL
            vstore(row_sum, p * PANEL + h, total)


@kernel
def _times_row(a, i, a_step, row_sum, out, o, o_step, units, n_panels, first):
    """out = a · row_sum or out += a · row_sum"""
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            w = vload(row_sum, p * PANEL + h)
            k = h
            for _ in range(units):
                value = vmul(vload(a, i + p * a_step + k), w)
                if not first:
                    value = vadd(value, vload(out, o + p * o_step + k))
                vstore(out, o + p * o_step + k, value)
                k += PANEL


@kernel
def _less_product(a, i, b, j, c, k, out, o, size):
    """out = a - b · c"""
    never_inline()
    for n in range(0, size, LANES):
        product = vmul(vload(b, j + n), vload(c, k + n))
        vstore(out, o + n, vsub(vload(a, i + n), product))


# -- what is common to the passes ---------------------------------------------------------------


@kernel
def _gain(step, args, rows):
    """Where the gains of a sum's own values lie: those of its child, or none."""
    if step[DIRECT]:
        return args[step[ARG], CHILD_SCALE] * rows
    return -1


@kernel
def _child_values(step, arg, work, rows, n_panels):
    """x = the child's values that a block of edges sees, on the scale of the sum."""
    values, factors, inverse = work[0]
    x = work[2][0]
    width = arg[COLUMNS]
    source = arg[CHILD_VALUE] * rows + arg[IN] * PANEL
    child_step = arg[CHILD_UNITS] * PANEL
    if step[OP] == MIXING:
        width = step[UNITS]
        source = arg[CHILD_VALUE] * rows
    if step[DIRECT]:
        factor = arg[CHILD_SCALE] * rows
        scale_rows(values, source, inverse, factor, x, 0, width, n_panels, child_step,
                   width * PANEL)  # fmt: skip
    else:
        factor = arg[FACTOR_ROW] * rows
        scale_rows(values, source, factors, factor, x, 0, width, n_panels, child_step,
                   width * PANEL)  # fmt: skip


@kernel
def _pair_values(step, args, i, work, rows, n_panels):
    """x = (unit i of the first factor) · (every unit of the second)."""
    values, factors, _ = work[0]
    a = args[step[ARG]]
    b = args[step[ARG] + 1]
    f = step[FACTOR] * rows
    pair_values(
        values, a[CHILD_VALUE] * rows + i * PANEL, b[CHILD_VALUE] * rows, factors, f, f + rows,
        b[CHILD_UNITS], a[CHILD_UNITS] * PANEL, b[CHILD_UNITS] * PANEL, n_panels, work[2][0],
    )  # fmt: skip


@kernel
def _hand_pair(step, args, layout, i, target, source, rows, n_panels):
    """Add what a pair product receives to both of its factors."""
    never_inline()
    a = args[step[ARG]]
    b = args[step[ARG] + 1]
    units_b = b[CHILD_UNITS]
    ta = layout[a[CHILD], FLOW] * rows + i * PANEL
    tb = layout[b[CHILD], FLOW] * rows
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            k = p * units_b * PANEL + h
            total = vfill(source, 0)
            for _ in range(units_b):
                value = vload(source, k)
                total = vadd(total, value)
                vstore(target, tb + k, vadd(value, vload(target, tb + k)))
                k += PANEL
            k = ta + p * a[CHILD_UNITS] * PANEL + h
            vstore(target, k, vadd(total, vload(target, k)))


@kernel
def _push(v, step, args, layout, pushes, target, rows, n_panels):
    """A product hands its flow to its children."""
    never_inline()
    size = step[UNITS] * PANEL
    mine = layout[v, FLOW] * rows
    for j in range(step[ARG], step[ARG_END]):
        if not pushes[j, SHARED]:
            at = layout[args[j, CHILD], FLOW] * rows
            _add_or_copy(target, mine, size, target, at, size, step[UNITS], n_panels,
                         pushes[j, FIRST])  # fmt: skip


@kernel
def _push_transposed(v, step, args, layout, pushes, target, t, rows, n_panels):
    """A product with a grid hands its flow to its child, back in the child's order."""
    never_inline()
    j = step[ARG]
    size = step[UNITS] * PANEL
    at = layout[args[j, CHILD], FLOW] * rows
    transpose(target, layout[v, FLOW] * rows, t, 0, args[j, COLUMNS], args[j, HEIGHT], n_panels)
    _add_or_copy(t, 0, size, target, at, size, step[UNITS], n_panels, pushes[j, FIRST])


@kernel
def _leaf_sums(step, flow, f, data, first_row, n_panels, out):
    never_inline()
    codes, floats, n_rows = data
    at = step[DATA] * n_rows + first_row
    if step[OP] == TABLE:
        table_backward(flow, f, step[UNITS], n_panels, codes, at, step[WIDTH], step[KEPT], out,
                       step[LEAF_OUT])  # fmt: skip
    elif step[OP] == GIVEN:
        given_backward(flow, f, step[UNITS], n_panels, floats, at, n_rows)
    else:
        exponential_backward(flow, f, step[UNITS], n_panels, floats, at, n_rows, step[KEPT], out,
                             step[LEAF_OUT])  # fmt: skip


# -- down: flows and slopes ---------------------------------------------------------------------


@kernel
def _flows_down(
    v, tables, layout, pushes, weights, data, first_row, n_panels, work, roots, weighted, edges,
    squares, with_squares, leaf_flows, leaf_squares,
):  # fmt: skip
    """From the flow of a vector to that of its children; edge and leaf flows are added up."""
    never_inline()
    instructions, args, _ = tables
    step = instructions[v]
    op = step[OP]
    rows = n_panels * PANEL
    units = step[UNITS]
    values, factors, inverse = work[0]
    flow, _, _, slope = work[1]
    x, y, t, u, z = work[2]
    mine = layout[v, FLOW] * rows
    if op == PRODUCT:
        _push(v, step, args, layout, pushes, flow, rows, n_panels)
        return
    if op == TRANSPOSE:
        _push_transposed(v, step, args, layout, pushes, flow, t, rows, n_panels)
        return
    if op in LEAVES:
        if weighted:
            scale_rows(flow, mine, roots, first_row, t, 0, units, n_panels, units * PANEL,
                       units * PANEL)  # fmt: skip
            _leaf_sums(step, t, 0, data, first_row, n_panels, leaf_flows)
        else:
            _leaf_sums(step, flow, mine, data, first_row, n_panels, leaf_flows)
        if layout[v, MERGED]:
            _times(flow, mine, units * PANEL, flow, mine, units * PANEL, t, 0, units * PANEL,
                   units, n_panels)  # fmt: skip
            _leaf_sums(step, t, 0, data, first_row, n_panels, leaf_squares)
        return
    d = layout[v, SLOPE] * rows
    _over_values(flow, mine, values, step[VALUE] * rows, inverse, _gain(step, args, rows), slope,
                 d, units, n_panels)  # fmt: skip
    if op == KRONECKER:
        a = args[step[ARG]]
        cols = args[step[ARG] + 1, CHILD_UNITS]
        for i in range(a[CHILD_UNITS]):
            _pair_values(step, args, i, work, rows, n_panels)
            w = a[WEIGHTS] + i * units * cols
            _edge_flows(w, units, cols, slope, d, units * PANEL, work, n_panels, roots, first_row,
                        weighted, edges, squares, with_squares)  # fmt: skip
            matrix_times_panels(
                weights, w, 1, cols, slope, d, units * PANEL, t, 0, cols * PANEL, cols, units,
                n_panels, TIMES, x, 0, cols * PANEL, None,
            )  # fmt: skip
            _hand_pair(step, args, layout, i, flow, t, rows, n_panels)
        return
    for j in range(step[ARG], step[ARG_END]):
        arg = args[j]
        _child_values(step, arg, work, rows, n_panels)
        at = layout[arg[CHILD], FLOW] * rows
        if op == MIXING:
            _mixing_flows(weights, arg[WEIGHTS], slope, d, x, units, n_panels, roots, first_row,
                          edges, squares, with_squares, flow, at, pushes[j, FIRST])  # fmt: skip
            continue
        cols = arg[COLUMNS]
        left = d + arg[OUT] * PANEL
        _edge_flows(arg[WEIGHTS], arg[HEIGHT], cols, slope, left, units * PANEL, work, n_panels,
                    roots, first_row, weighted, edges, squares, with_squares)  # fmt: skip
        whole = pushes[j, FIRST]
        matrix_times_panels(
            weights, arg[WEIGHTS], 1, cols, slope, left, units * PANEL, flow if whole else t,
            at if whole else 0, cols * PANEL, cols, arg[HEIGHT], n_panels, TIMES, x, 0,
            cols * PANEL, None,
        )  # fmt: skip
        if not whole:
            _add_or_copy(t, 0, cols * PANEL, flow, at + arg[IN] * PANEL, arg[CHILD_UNITS] * PANEL,
                         cols, n_panels, False)  # fmt: skip


@kernel
def _edge_flows(
    w, height, cols, slope, d, d_step, work, n_panels, roots, first_row, weighted, edges, squares,
    with_squares,
):  # fmt: skip
    """Flows (without the factor θ) and squared derivatives of a block of edges."""
    never_inline()
    x, _, _, u, z = work[2]
    if weighted:
        scale_rows(slope, d, roots, first_row, u, 0, height, n_panels, d_step, height * PANEL)
        add_outer_products(u, 0, height * PANEL, x, 0, cols * PANEL, height, cols, n_panels,
                           edges, w, None)  # fmt: skip
    else:
        add_outer_products(
            slope, d, d_step, x, 0, cols * PANEL, height, cols, n_panels, edges, w, None
        )  # fmt: skip
    if with_squares:
        _times(slope, d, d_step, slope, d, d_step, u, 0, height * PANEL, height, n_panels)
        _times(x, 0, cols * PANEL, x, 0, cols * PANEL, z, 0, cols * PANEL, cols, n_panels)
        add_outer_products(u, 0, height * PANEL, z, 0, cols * PANEL, height, cols, n_panels,
                           squares, w, None)  # fmt: skip


@kernel
def _mixing_flows(
    weights, w, slope, d, x, units, n_panels, roots, first_row, edges, squares, with_squares, flow,
    f, first,
):  # fmt: skip
    """All of the above for one child of a mixing sum."""
    never_inline()
    for k in range(units):
        weight = vbroadcast(weights, w + k)
        linear = square = vfill(slope, 0)
        for p in range(n_panels):
            for h in range(0, PANEL, LANES):
                i = (p * units + k) * PANEL + h
                g = vmul(vload(slope, d + i), vload(x, i))
                linear = vfma(g, vload(roots, first_row + p * PANEL + h), linear)
                square = vfma(g, g, square)
                down = vmul(weight, g)
                if not first:
                    down = vadd(down, vload(flow, f + i))
                vstore(flow, f + i, down)
        store(edges, w + k, load(edges, w + k) + vsum(linear))
        if with_squares:
            store(squares, w + k, load(squares, w + k) + vsum(square))


# -- up: changes in the direction of the gradient -----------------------------------------------


@kernel
def _changes_up(v, tables, layout, model, ratios, data, first_row, n_panels, work, ignored):
    """The change τ of a vector from those of its children."""
    never_inline()
    instructions, args, _ = tables
    weights, _, log2_scale, _ = model
    step = instructions[v]
    op = step[OP]
    rows = n_panels * PANEL
    units = step[UNITS]
    size = units * PANEL
    values, factors, inverse = work[0]
    flow, _, change, slope = work[1]
    x, y, t, u, z = work[2]
    row_sum = work[3]
    mine = layout[v, CHANGE] * rows
    if op == PRODUCT:
        first = True
        for j in range(step[ARG], step[ARG_END]):
            at = layout[args[j, CHILD], CHANGE] * rows
            if at >= 0 and at != mine:
                _add_or_copy(change, at, size, change, mine, size, units, n_panels, first)
                first = False
        return
    if op == TRANSPOSE:
        j = step[ARG]
        below = layout[args[j, CHILD], CHANGE] * rows
        transpose(change, below, change, mine, args[j, HEIGHT], args[j, COLUMNS], n_panels)
        return
    if op == TABLE:
        codes, _, n_rows = data
        table_forward(
            ratios, step[LEAF], log2_scale, step[LOG_SCALE], step[WIDTH], codes,
            step[DATA] * n_rows + first_row, change, mine, units, n_panels, ignored, 0,
        )  # fmt: skip
        _times(change, mine, size, flow, layout[v, FLOW] * rows, size, change, mine, size, units,
               n_panels)  # fmt: skip
        return
    d = layout[v, SLOPE] * rows
    first = step[ARG]
    if op == KRONECKER:
        a = args[first]
        cols = args[first + 1, CHILD_UNITS]
        for i in range(a[CHILD_UNITS]):
            _pair_values(step, args, i, work, rows, n_panels)
            _sum_of_squares(x, 0, cols * PANEL, cols, n_panels, row_sum)
            _times_row(slope, d, size, row_sum, change, mine, size, units, n_panels, i == 0)
            _pair_changes(step, args, layout, i, change, x, y, rows, n_panels)
            matrix_times_panels(
                weights, a[WEIGHTS] + i * units * cols, cols, 1, y, 0, cols * PANEL, change, mine,
                size, units, cols, n_panels, ADD, x, 0, 0, None,
            )  # fmt: skip
    else:
        for j in range(first, step[ARG_END]):
            arg = args[j]
            below = layout[arg[CHILD], CHANGE] * rows
            _child_values(step, arg, work, rows, n_panels)
            if op == MIXING:
                _mixing_changes(weights, arg[WEIGHTS], slope, d, x, change, below, mine, units,
                                n_panels, j == first)  # fmt: skip
                continue
            cols = arg[COLUMNS]
            opening = (j - first) * args[first, HEIGHT] < units
            out = arg[OUT] * PANEL
            _sum_of_squares(x, 0, cols * PANEL, cols, n_panels, row_sum)
            _times_row(slope, d + out, size, row_sum, change, mine + out, size, arg[HEIGHT],
                       n_panels, opening)  # fmt: skip
            if below >= 0:
                _times(x, 0, cols * PANEL, change, below + arg[IN] * PANEL,
                       arg[CHILD_UNITS] * PANEL, y, 0, cols * PANEL, cols, n_panels)  # fmt: skip
                matrix_times_panels(
                    weights, arg[WEIGHTS], cols, 1, y, 0, cols * PANEL, change, mine + out, size,
                    arg[HEIGHT], cols, n_panels, ADD, x, 0, 0, None,
                )  # fmt: skip
    _over_values(change, mine, values, step[VALUE] * rows, inverse, _gain(step, args, rows),
                 change, mine, units, n_panels)  # fmt: skip


@kernel
def _pair_changes(step, args, layout, i, change, x, y, rows, n_panels):
    """y = x · (the changes of both factors)."""
    never_inline()
    a = args[step[ARG]]
    b = args[step[ARG] + 1]
    units_b = b[CHILD_UNITS]
    ca = layout[a[CHILD], CHANGE] * rows
    cb = layout[b[CHILD], CHANGE] * rows
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            one = vfill(x, 0)
            if ca >= 0:
                one = vload(change, ca + (p * a[CHILD_UNITS] + i) * PANEL + h)
            k = p * units_b * PANEL + h
            for _ in range(units_b):
                both = one
                if cb >= 0:
                    both = vadd(both, vload(change, cb + k))
                vstore(y, k, vmul(vload(x, k), both))
                k += PANEL


@kernel
def _mixing_changes(weights, w, slope, d, x, change, below, mine, units, n_panels, first):
    """change += w x τ + d x²"""
    never_inline()
    for k in range(units):
        weight = vbroadcast(weights, w + k)
        for p in range(n_panels):
            for h in range(0, PANEL, LANES):
                i = (p * units + k) * PANEL + h
                value = vload(x, i)
                total = vmul(vload(slope, d + i), vmul(value, value))
                if below >= 0:
                    total = vfma(vmul(weight, value), vload(change, below + i), total)
                if not first:
                    total = vadd(total, vload(change, mine + i))
                vstore(change, mine + i, total)


# -- down: changes of the flows -----------------------------------------------------------------


@kernel
def _changes_down(
    v, tables, layout, pushes, weights, more_data, data, first_row, n_panels, work, second,
    leaf_second,
):  # fmt: skip
    """From the change of a vector's flow to those of its children; H g is added up."""
    never_inline()
    instructions, args, _ = tables
    step = instructions[v]
    op = step[OP]
    rows = n_panels * PANEL
    units = step[UNITS]
    size = units * PANEL
    values, factors, inverse = work[0]
    flow, moved, change, slope = work[1]
    x, y, t, u, z = work[2]
    row_sum = work[3]
    mine = layout[v, FLOW] * rows
    if op == PRODUCT:
        _push(v, step, args, layout, pushes, moved, rows, n_panels)
        return
    if op == TRANSPOSE:
        _push_transposed(v, step, args, layout, pushes, moved, t, rows, n_panels)
        return
    if op in LEAVES:
        if layout[v, MERGED]:
            _less_product(moved, mine, flow, mine, change, layout[v, CHANGE] * rows, t, 0,
                          units * rows)  # fmt: skip
            _leaf_sums(step, t, 0, data, first_row, n_panels, leaf_second)
        elif op == GIVEN:
            _leaf_sums(step, moved, mine, more_data, first_row, n_panels, leaf_second)
        else:
            _leaf_sums(step, moved, mine, data, first_row, n_panels, leaf_second)
        return
    d = layout[v, SLOPE] * rows
    # e takes the place of τ, which nobody reads any more.
    e = layout[v, CHANGE] * rows
    _over_values(moved, mine, values, step[VALUE] * rows, inverse, _gain(step, args, rows), z, 0,
                 units, n_panels)  # fmt: skip
    _less_product(z, 0, slope, d, change, e, change, e, units * rows)
    if op == KRONECKER:
        a = args[step[ARG]]
        cols = args[step[ARG] + 1, CHILD_UNITS]
        _sum_of_squares(slope, d, size, units, n_panels, row_sum)
        for i in range(a[CHILD_UNITS]):
            w = a[WEIGHTS] + i * units * cols
            _pair_values(step, args, i, work, rows, n_panels)
            _pair_changes(step, args, layout, i, change, x, y, rows, n_panels)
            _second_derivatives(weights, w, units, cols, change, e, slope, d, size, x, y, True, t,
                                n_panels, second)  # fmt: skip
            matrix_times_panels(
                weights, w, 1, cols, slope, d, size, u, 0, cols * PANEL, cols, units, n_panels,
                STORE, x, 0, 0, None,
            )  # fmt: skip
            _down(x, t, row_sum, y, 0, cols * PANEL, u, 0, True, z, 0, cols * PANEL, cols,
                  n_panels, True)  # fmt: skip
            _hand_pair(step, args, layout, i, moved, z, rows, n_panels)
        return
    for j in range(step[ARG], step[ARG_END]):
        arg = args[j]
        below = layout[arg[CHILD], CHANGE] * rows
        at = layout[arg[CHILD], FLOW] * rows
        _child_values(step, arg, work, rows, n_panels)
        if op == MIXING:
            _mixing_second(weights, arg[WEIGHTS], slope, d, x, change, e, below, units, n_panels,
                           second, moved, at, pushes[j, FIRST])  # fmt: skip
            continue
        cols = arg[COLUMNS]
        out = arg[OUT] * PANEL
        child_step = arg[CHILD_UNITS] * PANEL
        part = arg[IN] * PANEL
        if below >= 0:
            _times(x, 0, cols * PANEL, change, below + part, child_step, y, 0, cols * PANEL, cols,
                   n_panels)  # fmt: skip
        _second_derivatives(weights, arg[WEIGHTS], arg[HEIGHT], cols, change, e + out, slope,
                            d + out, size, x, y, below >= 0, t, n_panels, second)  # fmt: skip
        _sum_of_squares(slope, d + out, size, arg[HEIGHT], n_panels, row_sum)
        if below >= 0 and pushes[j, SOLE]:
            # The child's flow is this parent's share of it.
            _down(x, t, row_sum, change, below, child_step, flow, at, True, moved, at,
                  child_step, cols, n_panels, True)  # fmt: skip
            continue
        if below >= 0:
            matrix_times_panels(
                weights, arg[WEIGHTS], 1, cols, slope, d + out, size, u, 0, cols * PANEL, cols,
                arg[HEIGHT], n_panels, STORE, x, 0, 0, None,
            )  # fmt: skip
        _down(x, t, row_sum, y, 0, cols * PANEL, u, 0, below >= 0, moved, at + part, child_step,
              cols, n_panels, pushes[j, FIRST])  # fmt: skip


@kernel
def _second_derivatives(
    weights, w, height, cols, change, e, slope, d, step, x, y, with_change, t, n_panels, second
):
    """Add e x + d y to the edges, and t = Wᵀe."""
    never_inline()
    width = cols * PANEL
    add_outer_products(change, e, step, x, 0, width, height, cols, n_panels, second, w, None)
    if with_change:
        add_outer_products(slope, d, step, y, 0, width, height, cols, n_panels, second, w, None)
    matrix_times_panels(
        weights, w, 1, cols, change, e, step, t, 0, width, cols, height, n_panels, STORE, x, 0, 0,
        None,
    )  # fmt: skip


@kernel
def _down(x, t, row_sum, a, i, a_step, b, j, with_change, out, o, o_step, units, n_panels, first):
    """out = (or +=) x (t + x · row_sum) + a b; b moves by the step of a."""
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            squares = vload(row_sum, p * PANEL + h)
            k = h
            for _ in range(units):
                value = vload(x, p * units * PANEL + k)
                total = vmul(value, vfma(value, squares, vload(t, p * units * PANEL + k)))
                if with_change:
                    m = p * a_step + k
                    total = vfma(vload(a, i + m), vload(b, j + m), total)
                if not first:
                    total = vadd(total, vload(out, o + p * o_step + k))
                vstore(out, o + p * o_step + k, total)
                k += PANEL


@kernel
def _mixing_second(
    weights, w, slope, d, x, change, e, below, units, n_panels, second, moved, m, first
):
    """All of the above for one child of a mixing sum."""
    never_inline()
    for k in range(units):
        weight = vbroadcast(weights, w + k)
        total = vfill(slope, 0)
        for p in range(n_panels):
            for h in range(0, PANEL, LANES):
                i = (p * units + k) * PANEL + h
                g = vmul(vload(slope, d + i), vload(x, i))
                here = vmul(vload(change, e + i), vload(x, i))
                if below >= 0:
                    here = vfma(g, vload(change, below + i), here)
                total = vadd(total, here)
                down = vfma(g, g, vmul(weight, here))
                if not first:
                    down = vadd(down, vload(moved, m + i))
                vstore(moved, m + i, down)
        store(second, w + k, load(second, w + k) + vsum(total))
