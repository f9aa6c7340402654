"""The downward pass of a tile: flows of every vector, edge and leaf flows added up."""

from __future__ import annotations

import numpy as np

from .columns import (
    ARG,
    ARG_END,
    AT_RETURNS,
    BELOW,
    CHILD,
    CHILD_UNITS,
    CHILD_VALUE,
    COLUMNS,
    DATA,
    DIRECT,
    FACTOR,
    FACTOR_ROW,
    GATHER,
    GIVEN,
    HEIGHT,
    IN,
    KEPT,
    KRONECKER,
    LEAF_OUT,
    LOOKUP,
    MAP,
    MIXING,
    OFFER,
    OFFERS,
    OP,
    OUT,
    PANELS,
    PARENT,
    PARENT_ARG,
    PASSING,
    PRODUCT,
    PULL,
    PULL_END,
    PUSH,
    PUSH_DIVIDED,
    PUSH_FIRST,
    PUSH_LEAF,
    PUSH_MORE,
    SKIP,
    SLOT,
    SUM,
    TABLE,
    TARGET,
    TRANSPOSE,
    UNITS,
    VALUE,
    WEIGHTS,
    WIDTH,
)
from .dense import ADD, STORE, TIMES, add_outer_products, matrix_times_panels, spread
from .gather import gather, scatter
from .kernel_cache import kernel
from .leaves import exponential_backward, given_backward, table_backward
from .mixing import kronecker_backward, mix_backward
from .products import scale_rows, transpose
from .simd import (
    LANES,
    PANEL,
    never_inline,
    vadd,
    vdivide_or_zero,
    vfill,
    vload,
    vmul,
    vstore,
)


@kernel
def _leaf_flow(step, tables, flow, data, first_row, n_panels, leaf_out, scattered):
    never_inline()
    if step[OP] == GATHER:
        if scattered is not None:
            instructions, args, _ = tables
            s, number, units = step[BELOW], step[MAP] * scattered.stride, step[UNITS]
            width, place = scattered.scopes[s, OFFERS], scattered.places[s]
            at = place[AT_RETURNS] + instructions[args[step[ARG], CHILD], OFFER]
            at += scattered.half * width * place[PANELS] * PANEL
            scatter(scattered.rows, number, flow, 0, scattered.returns, at, width, units, n_panels)
        return
    codes, floats, n_rows = data
    at = step[DATA] * n_rows + first_row
    if step[OP] == TABLE or step[OP] == LOOKUP:
        numbers = codes
        if scattered is not None:
            if step[OP] == LOOKUP:
                numbers, at = scattered.rows, step[MAP] * scattered.stride
        table_backward(
            flow,
            0,
            step[UNITS],
            n_panels,
            numbers,
            at,
            step[WIDTH],
            step[KEPT],
            leaf_out,
            step[LEAF_OUT],
        )
    elif step[OP] == GIVEN:
        given_backward(flow, 0, step[UNITS], n_panels, floats, at, n_rows)
    else:
        exponential_backward(
            flow,
            0,
            step[UNITS],
            n_panels,
            floats,
            at,
            n_rows,
            step[KEPT],
            leaf_out,
            step[LEAF_OUT],
        )


@kernel
def _pull(step, tables, weights, values, factors, scratch, flow, edges, rows, n_panels, ahead):
    """Add to ``flow`` the derivative that the sums above pass down, and their edge flows."""
    never_inline()
    instructions, args, pulls = tables
    units = step[UNITS]
    for q in range(step[PULL], step[PULL_END]):
        parent = instructions[pulls[q, PARENT]]
        arg = args[pulls[q, PARENT_ARG]]
        source, up = values, parent[VALUE] * rows + arg[OUT] * PANEL
        up_step = parent[UNITS] * PANEL
        value = step[VALUE] * rows + arg[IN] * PANEL
        if factors is not None:
            factor = arg[FACTOR_ROW] * rows
            if parent[OP] == MIXING:
                mix_backward(
                    weights,
                    arg[WEIGHTS],
                    values,
                    up,
                    values,
                    value,
                    factors,
                    factor,
                    flow,
                    0,
                    units,
                    n_panels,
                    edges,
                )
                continue
            if factor >= 0:
                height = arg[HEIGHT]
                scale_rows(
                    values,
                    up,
                    factors,
                    factor,
                    scratch,
                    0,
                    height,
                    n_panels,
                    up_step,
                    height * PANEL,
                )
                source = scratch
                up = 0
                up_step = height * PANEL
        add_outer_products(
            source,
            up,
            up_step,
            values,
            value,
            units * PANEL,
            arg[HEIGHT],
            arg[COLUMNS],
            n_panels,
            edges,
            arg[WEIGHTS],
            ahead,
        )
        matrix_times_panels(
            weights,
            arg[WEIGHTS],
            1,
            arg[COLUMNS],
            source,
            up,
            up_step,
            flow,
            arg[IN] * PANEL,
            units * PANEL,
            arg[COLUMNS],
            arg[HEIGHT],
            n_panels,
            ADD,
            values,
            value,
            0,
            None,
        )


@kernel
def backward_tile(
    tables,
    first,
    last,
    model,
    data,
    first_row,
    n_panels,
    values,
    factors,
    scratch,
    flow,
    slots,
    edges,
    leaf_out,
    scattered,
    ahead,
    soon,
):
    """Flows of the vectors from ``last`` back to ``first``; edge and leaf flows are added up.

    A sum's values, if it is kept, are overwritten by its derivative ∂ log p / ∂ value: flow /
    value. Edge flows are stored without the factor θ, which is common to all rows. ``scattered``
    is where gathers send theirs: see ``gather.py``; None if there are none. ``ahead`` are weights
    that will be read next: see ``add_outer_products``; ``soon`` are two places that
    will be too, each with how many numbers of it.
    """
    never_inline()
    instructions, args, pulls = tables
    weights = model[0]
    rows, none = n_panels * PANEL, np.int64(0)
    near, n_near, far, n_far = soon
    for back in range(last - first):
        v = last - 1 - back
        step = instructions[v]
        op = step[OP]
        if op == SKIP:
            continue
        units = step[UNITS]
        if op == SUM and step[PASSING]:
            if scattered is not None:
                # Derivatives by what it offers, where its child reads them next.
                mine, given, width = scattered.mine, scattered.offered, scattered.width
                at = step[OFFER]
                gather(None, none, mine, given, at, width, scratch, none, units, n_panels)
            continue
        size = units * rows
        value = step[VALUE] * rows
        n_pulls = step[PULL_END] - step[PULL]
        slot, offered = step[SLOT] * rows, step[OFFER]
        is_sum = op == SUM or op == MIXING or op == KRONECKER
        single = False
        if n_pulls == 1 and slot < 0 and offered < 0:
            parent = instructions[pulls[step[PULL], PARENT]]
            arg = args[pulls[step[PULL], PARENT_ARG]]
            single = parent[DIRECT] and arg[COLUMNS] == units and arg[HEIGHT] == parent[UNITS]
            if single:
                source, up = values, parent[VALUE] * rows
                if parent[PASSING]:
                    source, up = scratch, np.int64(0)
                up_step = parent[UNITS] * PANEL
                add_outer_products(
                    source,
                    up,
                    up_step,
                    values,
                    value,
                    units * PANEL,
                    arg[HEIGHT],
                    units,
                    n_panels,
                    edges,
                    arg[WEIGHTS],
                    ahead,
                )
                if is_sum:
                    matrix_times_panels(
                        weights,
                        arg[WEIGHTS],
                        1,
                        units,
                        source,
                        up,
                        up_step,
                        values,
                        value,
                        units * PANEL,
                        units,
                        arg[HEIGHT],
                        n_panels,
                        STORE,
                        values,
                        value,
                        0,
                        None,
                    )
                else:
                    matrix_times_panels(
                        weights,
                        arg[WEIGHTS],
                        1,
                        units,
                        source,
                        up,
                        up_step,
                        flow,
                        0,
                        units * PANEL,
                        units,
                        arg[HEIGHT],
                        n_panels,
                        TIMES,
                        values,
                        value,
                        units * PANEL,
                        (
                            near,
                            spread(n_near, units, n_panels),
                            far,
                            spread(n_far, units, n_panels),
                        ),
                    )
                    n_near = n_far = none
        if not single and (n_pulls > 0 or slot >= 0 or offered >= 0):
            zero = vfill(flow, 0)
            if n_pulls > 0:
                for i in range(0, size, LANES):
                    vstore(flow, i, zero)
                _pull(
                    step, tables, weights, values, factors, scratch, flow, edges, rows, n_panels,
                    ahead,
                )  # fmt: skip
            sent, at = slots, slot
            if scattered is not None:
                if offered >= 0:
                    mine, width = scattered.mine, scattered.width
                    gather(None, none, mine, None, offered, width, scratch, none, units, n_panels)
                    if slot >= 0:
                        for i in range(0, size, LANES):
                            more = vload(slots, slot + i)
                            vstore(scratch, i, vadd(vload(scratch, i), more))
                    sent, at = scratch, np.int64(0)
            for i in range(0, size, LANES):
                x = vload(values, value + i)
                down = zero
                if n_pulls > 0:
                    down = vload(flow, i)
                if is_sum:
                    if at >= 0:
                        down = vadd(down, vdivide_or_zero(vload(sent, at + i), x))
                    vstore(values, value + i, down)
                else:
                    down = vmul(down, x)
                    if at >= 0:
                        down = vadd(down, vload(sent, at + i))
                    vstore(flow, i, down)
        if op == TRANSPOSE:
            j = step[ARG]
            transpose(flow, 0, scratch, 0, args[j, COLUMNS], args[j, HEIGHT], n_panels)
            for i in range(0, size, LANES):
                vstore(flow, i, vload(scratch, i))
        if op == PRODUCT or op == TRANSPOSE:
            for j in range(step[ARG], step[ARG_END]):
                push = args[j, PUSH]
                if push == PUSH_LEAF:
                    child = instructions[args[j, CHILD]]
                    _leaf_flow(child, tables, flow, data, first_row, n_panels, leaf_out, scattered)
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
        elif not is_sum:
            if n_pulls > 0 or slot >= 0 or offered >= 0:
                _leaf_flow(step, tables, flow, data, first_row, n_panels, leaf_out, scattered)
        elif factors is not None:
            if op == KRONECKER:
                a = step[ARG]
                b = a + 1
                for j in range(a, b + 1):
                    if args[j, PUSH] == PUSH_FIRST:
                        zero = vfill(slots, 0)
                        start = args[j, TARGET] * rows
                        for i in range(start, start + args[j, CHILD_UNITS] * rows, LANES):
                            vstore(slots, i, zero)
                kronecker_backward(
                    weights,
                    args[a, WEIGHTS],
                    values,
                    value,
                    units,
                    args[a, CHILD_VALUE] * rows,
                    args[a, CHILD_UNITS],
                    args[b, CHILD_VALUE] * rows,
                    args[b, CHILD_UNITS],
                    factors,
                    step[FACTOR] * rows,
                    n_panels,
                    slots,
                    args[a, TARGET] * rows,
                    args[b, TARGET] * rows,
                    edges,
                    scratch,
                    flow,
                )
