"""The entry kernels: tiles of rows through the circuit, up, and down where it learns."""

from __future__ import annotations

from .backward import backward_tile
from .columns import SLOT
from .forward import forward_tile, root_result
from .handover import wait_for
from .kernel_cache import entry_kernel, kernel
from .simd import (
    PANEL,
    flush_subnormals,
    load,
    offset,
    pointer,
    restore_rounding,
    store,
)

#: A row whose share of lost mass may exceed this is evaluated again in float64 logs.
LOST_SHARE = 1e-6


@kernel
def bare_pointers(model, data, buffers):
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
def score_tiles(tables, model, data, n_tiles, n_panels, buffers, lost, log_likelihood, bound):
    """Log-likelihoods of the rows of some tiles."""
    model, data, scales, (values, factors, scratch) = bare_pointers(model, data, buffers)
    log_likelihood = pointer(log_likelihood)
    bound = pointer(bound)
    before = flush_subnormals()
    for tile in range(n_tiles):
        row = tile * n_panels * PANEL
        forward_tile(tables, model, data, row, n_panels, values, scales, factors, scratch, lost)
        root_result(tables, row, n_panels, values, scales, log_likelihood, bound)
    restore_rounding(before)


@entry_kernel
def learn_tiles(
    tables,
    model,
    data,
    ends,
    n_panels,
    buffers,
    lost,
    log_likelihood,
    bound,
    row_weights,
    flow,
    slots,
    edges,
    leaf_out,
    ready,
):
    """Log-likelihoods and flows of the rows of some lanes; damaged rows get no flow.

    Lane i has the tiles from ``ends[i]`` to ``ends[i + 1]`` and adds to ``edges[i]`` and
    ``leaf_out[i]``. Begins when ``ready[0]`` is 0, which says that model and data are there; below
    0 they never will be. Returns whether there is nothing more to wait for.
    """
    if not wait_for(ready):
        return False
    if ready[0] < 0:
        return True
    model, data, scales, (values, factors, scratch) = bare_pointers(model, data, buffers)
    log_likelihood = pointer(log_likelihood)
    bound = pointer(bound)
    row_weights = pointer(row_weights)
    flow = pointer(flow)
    slots = pointer(slots)
    instructions = tables[0]
    rows = n_panels * PANEL
    root_slot = instructions[instructions.shape[0] - 1, SLOT] * rows
    before = flush_subnormals()
    for lane in range(ends.size - 1):
        lane_edges = offset(pointer(edges), lane * edges.shape[1])
        lane_leaves = offset(pointer(leaf_out), lane * leaf_out.shape[1])
        for tile in range(ends[lane], ends[lane + 1]):
            row = tile * rows
            forward_tile(tables, model, data, row, n_panels, values, scales, factors, scratch, lost)
            root_result(tables, row, n_panels, values, scales, log_likelihood, bound)
            for t in range(rows):
                whole = load(bound, row + t) <= LOST_SHARE
                store(slots, root_slot + t, load(row_weights, row + t) if whole else 0.0)
            backward_tile(
                tables,
                model,
                data,
                row,
                n_panels,
                values,
                factors,
                scratch,
                flow,
                slots,
                lane_edges,
                lane_leaves,
            )
    restore_rounding(before)
    return True
