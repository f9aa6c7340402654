"""One way down through all parameters: top-down probabilities, and on the way the M-step.

Vectors are visited from the root. A sum knows by then how likely each of its units is; it mixes
the weights of a unit with what a batch says of them, divides by their total, writes them as
solvers and as kernels read them, and tells its children how likely they are by the new weights,
all while these lie in the first cache. So a step reads and writes what there is once, where
one sweep for every part of it moves three times as much memory.

What a sum tells a child is a message of its own, which the child adds to those of other parents
in a fixed order: threads may take vectors in turns, and the result has the same bits.
"""

from __future__ import annotations

import numpy as np

from .atomics import add, pause, peek
from .columns import (
    COLUMNS,
    HEIGHT,
    IN,
    KRONECKER,
    MIXING,
    PRODUCT,
    SUM,
    TRANSPOSE,
    WEIGHTS,
)
from .kernel_cache import entry_kernel, kernel
from .short_vectors import put, take
from .simd import (
    LANES,
    always_inline,
    load,
    never_inline,
    offset,
    pointer,
    store,
    vadd,
    vdouble,
    vfill,
    vfma,
    vlike,
    vmul,
    vsum,
)
from .team import wait_for_flag

# What threads tell each other, a cache line apart: the next vector, vectors done, whether some
# number was not finite; behind these, for every vector, whether it was visited.
NEXT, DONE, DAMAGED, VISITED = 0, 16, 32, 48
#: A vector's side is a number below that: threads have as many of them each.
SIDES = 1 << 20


@entry_kernel
def descend(
    circuit, weights, learns, step, edges, more, before, new, packed, reach, messages, rows,
    leaves, team, n_threads, me, leads,
):  # fmt: skip
    """Visit all vectors from the root, with other threads or alone; whether all was finite.

    Parameters
    ----------
    circuit : tuple of ndarray
        See ``Stepper``.
    weights : ndarray of shape (n_weights,)
    learns : bool
        Whether there is a step; without it ``new`` is ``weights``, and what follows is not used.
    step : tuple of float
        Of ``Mixing``: 1 - α, α, and 1 for top-down probabilities or 0 for flows; then what brings
        sums of lanes to means a row, and below which total a row counts as without mass.
    edges : ndarray of shape (n_lanes, n_weights)
        Derivatives by the weights; they are cleared.
    more, before : ndarray of shape (n_rows,)
        Added to the mean flow of every weight of a row; top-down probabilities of the weights.
    new, packed : ndarray of shape (n_weights,)
        Get the new weights.
    reach, messages : ndarray
        Scratch: a number a unit of every vector, and of every child of a sum.
    rows, leaves : ndarray
        Get the top-down probabilities of the new weights.
    team : ndarray of shape (``VISITED`` + n_vectors,)
        Zeros, the same for all threads.
    n_threads, me : int
        Which of the threads this is: each has a part of the circuit then, as in ``chunks.py``. A
        thread below 0 visits whatever comes next.
    leads : bool
        One thread does, which returns when all is done.
    """
    n_vectors = circuit[0].size
    order, op, units, row_start, leaf_start, starts, parents, readers, first_copy = (
        pointer(circuit[0]), pointer(circuit[1]), pointer(circuit[2]), pointer(circuit[3]),
        pointer(circuit[4]), pointer(circuit[5]), pointer(circuit[6]), pointer(circuit[7]),
        pointer(circuit[8]),
    )  # fmt: skip
    arg_start, args, message = pointer(circuit[9]), pointer(circuit[10]), pointer(circuit[11])
    side = pointer(circuit[12])
    vectors = op, units, row_start, starts, arg_start
    n_lanes, n_weights = edges.shape
    arrays = pointer(weights), pointer(new), pointer(packed)
    evidence = pointer(edges), n_lanes, n_weights, pointer(more), pointer(before)
    told, reached, sent = pointer(team), pointer(reach), pointer(messages)
    visited = offset(told, VISITED)
    finite, by_side = True, me >= 0 and n_threads > 1
    i = -1
    while True:
        i = i + 1 if by_side or n_threads == 1 else add(offset(told, NEXT), 1) - 1
        if i >= n_vectors:
            break
        v = load(order, i)
        if by_side and load(side, v) * n_threads // SIDES != me:
            continue
        first_reader, last_reader, copy = (
            load(parents, v),
            load(parents, v + 1),
            load(first_copy, v),
        )
        if n_threads > 1:
            for q in range(first_reader, last_reader):
                wait_for_flag(offset(visited, load(readers, 2 * q)))
            if copy != v:
                wait_for_flag(offset(visited, copy))
        at, n = load(starts, v), load(units, v)
        for k in range(n):
            store(reached, at + k, 0.0)
        if v == n_vectors - 1:
            store(reached, at, 1.0)
        for q in range(first_reader, last_reader):
            reader = load(readers, 2 * q), load(readers, 2 * q + 1)
            _add_message(reader, at, n, vectors, args, message, reached, sent)
        if load(row_start, v) >= 0:
            finite &= _visit(
                v, vectors, args, message, learns and copy == v, step, evidence, arrays, reached,
                sent,
            )  # fmt: skip
        if n_threads > 1:
            add(offset(visited, v), 1)
            add(offset(told, DONE), 1)
    if n_threads > 1:
        if not finite:
            add(offset(told, DAMAGED), 1)
        if not leads:
            return finite
        while peek(offset(told, DONE)) < n_vectors:
            pause()
        finite = peek(offset(told, DAMAGED)) == 0
    of_rows, of_leaves = pointer(rows), pointer(leaves)
    for v in range(n_vectors):
        at, n = load(starts, v), load(units, v)
        if load(row_start, v) >= 0:
            _add(of_rows, load(row_start, v), reached, at, n)
        if load(leaf_start, v) >= 0:
            _add(of_leaves, load(leaf_start, v), reached, at, n)
    return finite


@kernel
def _add(target, t, source, i, n):
    for k in range(n):
        store(target, t + k, load(target, t + k) + load(source, i + k))


@kernel
def _add_message(reader, at, n, vectors, args, message, reached, sent):
    """Add how likely a vector of n units is as a child of another."""
    op, units, _, starts, _ = vectors
    u, a = reader
    kind, above = load(op, u), load(starts, u)
    if kind == PRODUCT:
        _add(reached, at, reached, above, n)
    elif kind == TRANSPOSE:
        height, width = _arg(args, a, HEIGHT), _arg(args, a, COLUMNS)
        for i in range(height):
            for k in range(width):
                c = at + i * width + k
                store(reached, c, load(reached, c) + load(reached, above + k * height + i))
    else:
        width = n if kind == MIXING else _arg(args, a, COLUMNS)
        _add(reached, at + _arg(args, a, IN), sent, load(message, a), width)


@kernel
def _run(kind, args, message, a, parts, part, c, m):
    """Of run c of the weights of unit m: where it begins, its length, and its message."""
    always_inline()
    if kind == SUM:
        j = a + c * parts + part
        height, width = _arg(args, j, HEIGHT), _arg(args, j, COLUMNS)
        return _arg(args, j, WEIGHTS) + (m - part * height) * width, width, load(message, j)
    if kind == MIXING:
        return _arg(args, a + c, WEIGHTS) + m, np.int64(1), load(message, a + c) + m
    height, width = _arg(args, a, HEIGHT), _arg(args, a + 1, COLUMNS)
    return _arg(args, a, WEIGHTS) + (c * height + m) * width, width, load(message, a + 1)


@kernel
def _arg(args, j, column):
    return load(args, 6 * j + column)


@kernel
def _visit(v, vectors, args, message, learns, step, evidence, arrays, reached, sent):
    """Take the step of a sum, if there is one, and write its messages; whether all was finite."""
    never_inline()
    op, units, row_start, starts, arg_start = vectors
    keep, learn, by_top_down, scale, smallest = step
    sums, n_lanes, n_weights, more, before = evidence
    old, out, kernels_read = arrays
    above, first = offset(reached, load(starts, v)), load(row_start, v)
    smooth, likely = offset(more, first), offset(before, first)
    kind, a, end, n_units = load(op, v), load(arg_start, v), load(arg_start, v + 1), load(units, v)
    parts = n_units // _arg(args, a, HEIGHT) if kind == SUM else 1
    n_runs = _arg(args, a, COLUMNS) if kind == KRONECKER else (end - a) // parts
    height = n_units // parts
    for i in range(load(message, a), load(message, end)):
        store(sent, i, 0.0)
    finite = True
    for part in range(parts):
        for m in range(part * height, part * height + height):
            likely_now, moves = load(above, m), False
            x = y = more_each = inverse = 0.0
            if learns:
                more_each = load(smooth, m)
                x, y = keep * load(likely, m), learn
                if by_top_down == 0:
                    flow = 0.0
                    for c in range(n_runs):
                        start, width, _ = _run(kind, args, message, a, parts, part, c, m)
                        flow += _weigh(old, sums, n_lanes, n_weights, start, width, 0.0, scale)
                        flow += width * more_each
                    x, y = (keep, learn / flow) if flow >= smallest else (1.0, 0.0)
                total = 0.0
                for c in range(n_runs):
                    start, width, _ = _run(kind, args, message, a, parts, part, c, m)
                    total += _weigh(old, sums, n_lanes, n_weights, start, width, x, y * scale)
                    total += width * y * more_each
                finite &= total < np.inf
                # A row without mass stays as it is.
                moves = total >= smallest
                inverse = 1.0 / total if moves else 0.0
            for c in range(n_runs):
                start, width, here = _run(kind, args, message, a, parts, part, c, m)
                if moves:
                    _mix(
                        old, sums, n_lanes, n_weights, start, width, x, y * scale, y * more_each,
                        inverse, out, kernels_read, likely_now, sent, here,
                    )  # fmt: skip
                else:
                    if learns:
                        _stay(old, sums, n_lanes, n_weights, start, width, out, kernels_read)
                    _send(out, start, width, likely_now, sent, here)
                if kind == KRONECKER:
                    here = load(message, a) + c
                    together = likely_now * _sum(out, start, width)
                    store(sent, here, load(sent, here) + together)
    return finite


@kernel
def _edge_sums(sums, n_lanes, n_weights, i, n):
    """Derivatives of all lanes together."""
    always_inline()
    total = vdouble(take(sums, i, n))
    for at in range(i + n_weights, i + n_lanes * n_weights, n_weights):
        total = vadd(total, vdouble(take(sums, at, n)))
    return total


@kernel
def _clear(sums, n_lanes, n_weights, i, n):
    always_inline()
    nothing = vfill(sums, 0)
    for at in range(i, i + n_lanes * n_weights, n_weights):
        put(sums, at, nothing, n)


@kernel
def _weigh(old, sums, n_lanes, n_weights, start, width, keep, learn):
    """Sum of (keep + learn · derivative) · old for a run of weights."""
    always_inline()
    a, b, total = vfill(old, keep), vfill(old, learn), vfill(old, 0)
    for k in range(0, width, LANES):
        i, n = start + k, width - k
        share = vfma(b, _edge_sums(sums, n_lanes, n_weights, i, n), a)
        total = vfma(share, take(old, i, n), total)
    return vsum(total)


@kernel
def _mix(
    old, sums, n_lanes, n_weights, start, width, keep, learn, more, inverse, out, kernels_read,
    above, sent, here,
):  # fmt: skip
    """((keep + learn · derivative) · old + more) · inverse for a run of weights, for solvers and
    for kernels; times ``above`` they are added to a message. Derivatives are cleared."""
    always_inline()
    a, b, c, d = vfill(old, keep), vfill(old, learn), vfill(old, more), vfill(old, inverse)
    many = vfill(sent, above)
    for k in range(0, width, LANES):
        i, n = start + k, width - k
        share = vfma(b, _edge_sums(sums, n_lanes, n_weights, i, n), a)
        weights = vmul(vfma(share, take(old, i, n), c), d)
        put(out, i, weights, n)
        put(kernels_read, i, vlike(kernels_read, weights), n)
        put(sent, here + k, vfma(weights, many, take(sent, here + k, n)), n)
        _clear(sums, n_lanes, n_weights, i, n)


@kernel
def _stay(old, sums, n_lanes, n_weights, start, width, out, kernels_read):
    """Leave a run of weights as it was."""
    for k in range(0, width, LANES):
        i, n = start + k, width - k
        weights = take(old, i, n)
        put(out, i, weights, n)
        put(kernels_read, i, vlike(kernels_read, weights), n)
        _clear(sums, n_lanes, n_weights, i, n)


@kernel
def _send(weights, start, width, above, sent, here):
    """Add a run of weights times their unit's probability to a message."""
    always_inline()
    many = vfill(sent, above)
    for k in range(0, width, LANES):
        n = width - k
        more = vfma(take(weights, start + k, n), many, take(sent, here + k, n))
        put(sent, here + k, more, n)


@kernel
def _sum(weights, start, width):
    total = vfill(weights, 0)
    for k in range(0, width, LANES):
        total = vadd(total, take(weights, start + k, width - k))
    return vsum(total)
