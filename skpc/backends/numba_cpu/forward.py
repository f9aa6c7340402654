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
    PASSING,
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
from .dense import ADD, STORE, fetch, matrix_times_panels, spread
from .gather import gather, gather_scale, halves, offer
from .kernel_cache import kernel
from .leaves import exponential_forward, given_forward, table_forward
from .mixing import kronecker_forward, mix_forward
from .products import (
    LN2,
    common_scale,
    copy_scale,
    measure,
    multiply,
    offset_scales,
    scale_rows,
    transpose,
)
from .simd import (
    LANES,
    PANEL,
    never_inline,
    offset,
    vfill,
    vstore,
)

#: Numbers of a vector, and rows, that a product of vectors of other scopes computes at once.
NUMBERS_AT_ONCE, ROWS_AT_ONCE = 2048, 256
#: A row whose share of lost mass may exceed this is evaluated again in float64 logs.
LOST_SHARE = 1e-6


@kernel
def forward_tile(
    tables, first, last, model, data, first_row, n_panels, values, scales, factors, scratch, lost,
    gathered,
):  # fmt: skip
    """Values and scales of the vectors from ``first`` to ``last``, for the rows from ``first_row``.

    ``gathered`` is what gathers read: see ``gather.py``; None if there are none.
    """
    never_inline()
    instructions, args, _ = tables
    weights, _, _, coefficients = model
    codes, floats, n_rows = data
    none, rows = np.int64(0), n_panels * PANEL
    exponent = scales[1]
    for v in range(first, last):
        step = instructions[v]
        op = step[OP]
        if op == SKIP or (step[PASSING] and op != SUM):
            continue
        units = step[UNITS]
        out = step[VALUE] * rows
        scale = step[SCALE] * rows
        arg = step[ARG]
        end = step[ARG_END]
        if op == TABLE or op == LOOKUP or op == GATHER:
            at, start = step[DATA] * n_rows + first_row, np.int64(0)
            read(
                step, tables, model, codes, at, start, n_panels, offset(values, out),
                offset_scales(scales, scale), lost, gathered,
            )  # fmt: skip
        elif op == EXPONENTIAL or op == GIVEN:
            at = step[DATA] * n_rows + first_row
            if op == GIVEN:
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
            whole_scale(scales, scale, rows, lost)
        elif op == PRODUCT:
            product(v, last, tables, model, n_panels, values, scales, lost, gathered)
        elif op == TRANSPOSE:
            a = args[arg, CHILD_VALUE] * rows
            height = args[arg, HEIGHT]
            transpose(values, a, values, out, height, args[arg, COLUMNS], n_panels)
            copy_scale(scales, args[arg, CHILD_SCALE] * rows, scale, rows)
        elif op == SUM and step[PASSING]:
            if gathered is not None and instructions[v - 1, OP] != PRODUCT:  # which offers it
                _offer_sum(step, args, weights, values, none, n_panels, n_panels, gathered)
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
                    None,
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
            if step[OFFER] >= 0 and not step[PASSING]:
                mine, width = gathered.mine, gathered.width
                offer(values, out, mine, step[OFFER], width, units, n_panels)


@kernel
def read(
    step, tables, model, numbers, at, start, n_panels, out, scales, lost, gathered
):  # fmt: skip
    """A leaf of finite states, its codes in ``numbers`` from ``at`` unless they are those of a
    scope below; or a vector of another scope, for the rows from ``start``."""
    never_inline()
    instructions, args, _ = tables
    _, table, log2_scale, _ = model
    none, units, rows = np.int64(0), step[UNITS], n_panels * PANEL
    if step[OP] == GATHER:
        if gathered is not None:
            s, number = step[BELOW], step[MAP] * gathered.stride + start
            place, scope = gathered.places[s], gathered.scopes[s]
            at = place[AT_OFFERS] + instructions[args[step[ARG], CHILD], OFFER]
            gather(
                gathered.rows, number, gathered.offers, None, at, scope[OFFERS], out, none, units,
                n_panels,
            )  # fmt: skip
            at = args[step[ARG], CHILD_SCALE]
            where = halves(place, place[AT_SCALES], scope[SCALES], at)
            gather_scale(gathered.rows, number, gathered.scales, where, scales, none, rows)
        return
    if gathered is not None:
        if step[OP] == LOOKUP:  # numbers of few states are codes
            numbers, at = gathered.rows, step[MAP] * gathered.stride + start
    table_forward(
        table, step[LEAF], log2_scale, step[LOG_SCALE], step[WIDTH], numbers, at, out, none, units,
        n_panels, scales[1], none,
    )  # fmt: skip
    whole_scale(scales, none, rows, lost)


@kernel
def whole_scale(scales, scale, rows, lost):
    """Scales of a leaf, but for the exponents, which are there."""
    inverse, _, relative, absolute = scales
    for t in range(scale, scale + rows, LANES):
        vstore(inverse, t, vfill(inverse, 1))
        vstore(relative, t, vfill(inverse, 0))
        vstore(absolute, t, vfill(inverse, lost))


@kernel
def product(v, last, tables, model, n_panels, values, scales, lost, gathered):
    """A product, a few panels at a time: so what it reads of other scopes stays in the cache.

    A sum that follows, is only offered and reads nothing else, is computed block by block too.
    """
    never_inline()
    instructions, args, _ = tables
    step = instructions[v]
    none, units, rows = np.int64(0), step[UNITS], n_panels * PANEL
    first, end = step[ARG], step[ARG_END]
    block, offered = n_panels, False
    if gathered is not None:
        block, offered = panels_at_once(units), _is_offered_at_once(v, last, instructions)
    for p in range(0, n_panels, block):
        n = min(block, n_panels - p)
        start = p * PANEL
        out = offset(values, step[VALUE] * rows + start * units)
        out_scales = offset_scales(scales, step[SCALE] * rows + start)
        if gathered is not None and (p == 0 or not offered):
            fetch(out, none, n * PANEL * units)  # else it has been: see _offer_sum
        a, a_scales = offset(values, 0), offset_scales(scales, 0)
        b, b_scales, c, c_scales = a, a_scales, a, a_scales
        for j in range(first, end):
            child = instructions[args[j, CHILD]]
            x = offset(values, args[j, CHILD_VALUE] * rows + start * units)
            x_scales = offset_scales(scales, args[j, CHILD_SCALE] * rows + start)
            if gathered is not None:
                if child[PASSING]:
                    turn = 0 if j == first else 1 + (j - first - 1) % 2
                    x = offset(gathered.passing, turn * most_at_once(units))
                    x_scales = offset_scales(gathered.passing_scales, turn * ROWS_AT_ONCE)
                    read(
                        child, tables, model, gathered.rows, none, start, n, x, x_scales, lost,
                        gathered,
                    )  # fmt: skip
            if j == first:
                a, a_scales = x, x_scales
                continue
            three = (j - first) % 2 == 0
            if three:
                c, c_scales = x, x_scales
            else:
                b, b_scales = x, x_scales
            if three or j + 1 == end:
                multiply(
                    a, b, c, three, units, n, a_scales, b_scales, c_scales, out, out_scales, lost
                )  # fmt: skip
                a, a_scales = out, out_scales
        if gathered is not None and offered:
            _offer_sum(instructions[v + 1], args, model[0], values, p, p + n, n_panels, gathered)


@kernel
def _is_offered_at_once(v, last, instructions):
    """Whether a sum follows that is only offered, and reads the vector alone: see ``plan.py``."""
    if v + 1 == last:
        return False
    return instructions[v + 1, OP] == SUM and instructions[v + 1, PASSING] != 0


@kernel
def _offer_sum(step, args, weights, values, first, last, n_panels, gathered):
    """Some panels of a sum that is only offered: passing, it is never kept.

    What this writes is fetched meanwhile, and what the product below writes next.
    """
    never_inline()
    units, arg = step[UNITS], args[step[ARG]]
    width, none = arg[COLUMNS], np.int64(0)
    mine, size, passing = gathered.mine, gathered.width, gathered.passing
    child = offset(values, arg[CHILD_VALUE] * n_panels * PANEL)
    block = panels_at_once(units)
    for p in range(first, last, block):
        n = min(block, last - p)
        target = step[OFFER] + p * PANEL * size
        there, soon = n * PANEL * size, min(last - first, n_panels - last) * PANEL * width
        if p + n < last:
            soon = none
        fetched = (
            offset(mine, p * PANEL * size), spread(there, units, n),
            offset(child, last * PANEL * width), spread(soon, units, n),
        )  # fmt: skip
        matrix_times_panels(
            weights, arg[WEIGHTS], width, 1, child, p * PANEL * width, width * PANEL, passing,
            none, units * PANEL, units, width, n, STORE, passing, none, 0, fetched,
        )  # fmt: skip
        offer(passing, none, mine, target, size, units, n)


@kernel
def panels_at_once(units):
    """Panels that a product computes at once."""
    return max(1, min(NUMBERS_AT_ONCE // units, ROWS_AT_ONCE) // PANEL)


@kernel
def most_at_once(units):
    """Numbers of a vector in so many panels, at most."""
    return max(NUMBERS_AT_ONCE, units * PANEL)


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
                None,
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
