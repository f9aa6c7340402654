"""One way down through parameters: top-down probabilities, and on the way the M-step.

Vectors are visited from the root. A sum knows by then how likely each of its units is by the
weights as they are; it tells its children how likely these make them, and mixes the weights of a
unit with what a batch says of them, divides by their total and writes them as solvers and as
kernels read them, all while they lie in the first cache. So a step reads and writes what there is
once, where one sweep for every part of it moves three times as much memory.

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
    vload,
    vmul,
    vstore,
    vsum,
)
from .team import wait_for_flag

# What threads tell each other, a cache line apart: the next vector, vectors done, whether some
# number was not finite; behind these, for every vector, whether it was visited.
NEXT, DONE, DAMAGED, VISITED = 0, 16, 32, 48
#: Rows of weights that tell at once: what they add to stays in a register meanwhile.
ROWS = 4


@entry_kernel
def descend(
    circuit, copies, weights, learns, step, edges, more, new, packed, reach, messages, rows,
    leaves, team, n_threads, leads,
):  # fmt: skip
    """Visit all vectors from the root, with other threads or alone; whether all was finite.

    Parameters
    ----------
    circuit : tuple of ndarray
        See ``Stepper``.
    copies : tuple of ndarray
        The order of visits; and a list of vectors, with the place where the part of each begins:
        all that share its weights if it is the last of these to be visited, none otherwise.
    weights : ndarray of shape (n_weights,)
    learns : bool
        Whether there is a step; without it ``new`` is ``weights``, and what follows is not used.
    step : tuple of float
        Of ``Mixing``: 1 - α, α, and 1 for top-down probabilities or 0 for flows; then what brings
        sums of lanes to means a row, and below which total a row counts as without mass.
    edges : ndarray of shape (n_lanes, n_weights)
        Derivatives by the weights; they are cleared.
    more : ndarray of shape (n_rows,)
        Added to the mean flow of every weight of a row.
    new, packed : ndarray of shape (n_weights,)
        Get the new weights.
    reach, messages : ndarray
        Scratch: a number a unit of every vector, and of every child of a sum.
    rows, leaves : ndarray
        Get the top-down probabilities of ``weights``, if the step is by these; zeros.
    team : ndarray of shape (``VISITED`` + n_vectors,)
        Zeros, the same for all threads.
    n_threads : int
    leads : bool
        One thread does, which returns when all is done.
    """
    vectors = bare_circuit(circuit)
    _, units, row_start, starts, parents, readers, _, _, _, n_vectors = vectors
    leaf_start = pointer(circuit[9])
    order, copy_end, copy = pointer(copies[0]), pointer(copies[1]), pointer(copies[2])
    n_lanes, n_weights = edges.shape
    arrays = pointer(weights), pointer(new), pointer(packed)
    evidence = pointer(edges), n_lanes, n_weights, pointer(more)
    told, reached, sent = pointer(team), pointer(reach), pointer(messages)
    of_rows, of_leaves = pointer(rows), pointer(leaves)
    visited = offset(told, VISITED)
    # Steps by flows do not ask how likely anything is.
    tells, finite = step[2] != 0, True
    i = -1
    while True:
        i = i + 1 if n_threads == 1 else add(offset(told, NEXT), 1) - 1
        if i >= n_vectors:
            break
        v = load(order, i)
        first_copy, last_copy = load(copy_end, v), load(copy_end, v + 1)
        if n_threads > 1:
            for q in range(load(parents, v), load(parents, v + 1)):
                wait_for_flag(offset(visited, load(readers, 2 * q)))
            for q in range(first_copy, last_copy):
                if load(copy, q) != v:
                    wait_for_flag(offset(visited, load(copy, q)))
        if tells:
            hear(v, vectors, reached, sent)
        row, n = load(row_start, v), load(units, v)
        if row >= 0:
            for q in range(first_copy, last_copy if tells else first_copy):
                _add(of_rows, row, reached, load(starts, load(copy, q)), n)
            finite &= visit(
                v, vectors, tells, learns and first_copy < last_copy, step, evidence, arrays,
                offset(of_rows, row), reached, sent, np.int64(0), n,
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
    for v in range(n_vectors if tells else 0):
        if load(leaf_start, v) >= 0:
            _add(of_leaves, load(leaf_start, v), reached, load(starts, v), load(units, v))
    return finite


@kernel
def bare_circuit(circuit):
    """What visits read, as bare pointers: see ``Stepper``."""
    op, units, row_start, starts, parents, readers, arg_start, args, message, _ = circuit
    return (
        pointer(op), pointer(units), pointer(row_start), pointer(starts), pointer(parents),
        pointer(readers), pointer(arg_start), pointer(args), pointer(message), op.size,
    )  # fmt: skip


@kernel
def _add(target, t, source, i, n):
    for k in range(n):
        store(target, t + k, load(target, t + k) + load(source, i + k))


@kernel
def hear(v, vectors, reached, sent):
    """How likely the units of a vector are, by what all that read it have told."""
    never_inline()
    _, units, _, starts, parents, readers, _, _, _, n_vectors = vectors
    at, n = load(starts, v), load(units, v)
    first, last = load(parents, v), load(parents, v + 1)
    for k in range(n):
        store(reached, at + k, 0.0)
    if v == n_vectors - 1:
        store(reached, at, 1.0)
    for q in range(first, last):
        reader = load(readers, 2 * q), load(readers, 2 * q + 1)
        _add_message(reader, at, n, vectors, reached, sent)


@kernel
def _add_message(reader, at, n, vectors, reached, sent):
    """Add how likely a vector of n units is as a child of another."""
    op, units, _, starts, _, _, _, args, message, _ = vectors
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
def visit(
    v, vectors, tells, learns, step, evidence, arrays, likely, reached, sent, first_unit, last_unit
):  # fmt: skip
    """Write the messages of some units of a sum, if it tells any, and take their step, if there is
    one; whether all was finite.

    Parameters
    ----------
    v : int
    vectors : tuple
        Of ``bare_circuit``.
    tells, learns : bool
    step : tuple
        As in ``descend``.
    evidence : tuple
        Derivatives by the weights, their lanes, and how far these lie apart; what is added for
        every row.
    arrays : tuple
        Weights, and new ones for solvers and for kernels; the first two may be the same.
    likely : pointer
        How likely the units are, copies together.
    reached, sent : pointer
    first_unit, last_unit : int
    """
    never_inline()
    op, units, row_start, starts, _, _, arg_start, args, message, _ = vectors
    keep, learn, by_top_down, scale, smallest = step
    sums, n_lanes, n_weights, more = evidence
    old, out, kernels_read = arrays
    above, smooth = offset(reached, load(starts, v)), offset(more, load(row_start, v))
    kind, a, end, n_units = load(op, v), load(arg_start, v), load(arg_start, v + 1), load(units, v)
    parts = n_units // _arg(args, a, HEIGHT) if kind == SUM else 1
    n_runs = _arg(args, a, COLUMNS) if kind == KRONECKER else (end - a) // parts
    height = n_units // parts
    if tells:
        for i in range(load(message, a), load(message, end)):
            store(sent, i, 0.0)
    at_once = 1 if kind == MIXING else ROWS
    finite = True
    for part in range(parts):
        begin, stop = max(first_unit, part * height), min(last_unit, part * height + height)
        for m in range(begin, stop):
            if tells and (m - begin) % at_once == 0:
                n_rows = min(at_once, stop - m)
                for c in range(n_runs):
                    start, width, here = _run(kind, args, message, a, parts, part, c, m)
                    if kind == KRONECKER:
                        beside = load(message, a) + c
                        for i in range(n_rows):
                            many = load(above, m + i) * _sum(old, start + i * width, width)
                            store(sent, beside, load(sent, beside) + many)
                    _tell(old, start, width, n_rows, above, m, sent, here)
            if not learns:
                continue
            if n_lanes > 1:
                for c in range(n_runs):
                    start, width, _ = _run(kind, args, message, a, parts, part, c, m)
                    _join_lanes(sums, n_lanes, n_weights, start, width)
            more_each, flow = load(smooth, m), 0.0
            if by_top_down != 0:
                x, y = keep * load(likely, m), learn
            else:
                for c in range(n_runs):
                    start, width, _ = _run(kind, args, message, a, parts, part, c, m)
                    flow += _weigh(old, sums, start, width, 0.0, scale) + width * more_each
                x, y = (keep, learn / flow) if flow >= smallest else (1.0, 0.0)
            total = 0.0
            for c in range(n_runs):
                start, width, _ = _run(kind, args, message, a, parts, part, c, m)
                total += _weigh(old, sums, start, width, x, y * scale) + width * y * more_each
            finite &= total < np.inf
            # A row without mass stays as it is.
            moves = total >= smallest
            inverse = 1.0 / total if moves else 0.0
            for c in range(n_runs):
                start, width, _ = _run(kind, args, message, a, parts, part, c, m)
                if moves:
                    _mix(
                        old, sums, start, width, x, y * scale, y * more_each, inverse, out,
                        kernels_read,
                    )  # fmt: skip
                else:
                    _stay(old, sums, start, width, out, kernels_read)
    return finite


@kernel
def _join_lanes(sums, n_lanes, n_weights, start, width):
    """Bring the derivatives of all lanes together in the first, for a run of weights."""
    nothing = vfill(sums, 0)
    for k in range(0, width, LANES):
        i, n = start + k, width - k
        total, at = take(sums, i, n), i
        # A range of such steps would take a division.
        for _ in range(1, n_lanes):
            at += n_weights
            total = vadd(total, take(sums, at, n))
            put(sums, at, nothing, n)
        put(sums, i, total, n)


@kernel
def _weigh(old, sums, start, width, keep, learn):
    """Sum of (keep + learn · derivative) · old for a run of weights."""
    always_inline()
    a, b, total = vfill(old, keep), vfill(old, learn), vfill(old, 0)
    whole = start + width - width % LANES
    for i in range(start, whole, LANES):
        total = vfma(vfma(b, vdouble(vload(sums, i)), a), vload(old, i), total)
    n = start + width - whole
    if n > 0:
        share = vfma(b, vdouble(take(sums, whole, n)), a)
        total = vfma(share, take(old, whole, n), total)
    return vsum(total)


@kernel
def _mix(old, sums, start, width, keep, learn, more, inverse, out, kernels_read):
    """((keep + learn · derivative) · old + more) · inverse for a run of weights, for solvers and
    for kernels. Derivatives are cleared."""
    always_inline()
    a, b, c, d = vfill(old, keep), vfill(old, learn), vfill(old, more), vfill(old, inverse)
    nothing = vfill(sums, 0)
    whole = start + width - width % LANES
    for i in range(start, whole, LANES):
        share = vfma(b, vdouble(vload(sums, i)), a)
        weights = vmul(vfma(share, vload(old, i), c), d)
        vstore(out, i, weights)
        vstore(kernels_read, i, vlike(kernels_read, weights))
        vstore(sums, i, nothing)
    n = start + width - whole
    if n > 0:
        share = vfma(b, vdouble(take(sums, whole, n)), a)
        weights = vmul(vfma(share, take(old, whole, n), c), d)
        put(out, whole, weights, n)
        put(kernels_read, whole, vlike(kernels_read, weights), n)
        put(sums, whole, nothing, n)


@kernel
def _stay(old, sums, start, width, out, kernels_read):
    """Leave a run of weights as it was."""
    for k in range(0, width, LANES):
        i, n = start + k, width - k
        weights = take(old, i, n)
        put(out, i, weights, n)
        put(kernels_read, i, vlike(kernels_read, weights), n)
        put(sums, i, vfill(sums, 0), n)


@kernel
def _tell(weights, start, width, n_rows, above, m, sent, here):
    """Add rows of weights times their units' probabilities to a message."""
    if n_rows == ROWS:
        a, b = vfill(sent, load(above, m)), vfill(sent, load(above, m + 1))
        c, d = vfill(sent, load(above, m + 2)), vfill(sent, load(above, m + 3))
        for k in range(0, width, LANES):
            i, n = start + k, width - k
            more = vfma(take(weights, i, n), a, take(sent, here + k, n))
            more = vfma(take(weights, i + width, n), b, more)
            more = vfma(take(weights, i + 2 * width, n), c, more)
            more = vfma(take(weights, i + 3 * width, n), d, more)
            put(sent, here + k, more, n)
        return
    for i in range(n_rows):
        many = vfill(sent, load(above, m + i))
        for k in range(0, width, LANES):
            n, row = width - k, start + i * width + k
            more = vfma(take(weights, row, n), many, take(sent, here + k, n))
            put(sent, here + k, more, n)


@kernel
def _sum(weights, start, width):
    total = vfill(weights, 0)
    for k in range(0, width, LANES):
        total = vadd(total, take(weights, start + k, width - k))
    return vsum(total)
