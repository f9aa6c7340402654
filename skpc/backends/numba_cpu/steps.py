"""The step of a batch, scope by scope: sums over rows become new parameters of the EM family.

Solvers take steps one by one with the same loops; here they follow each other in compiled code, so
that batches do. A thread that has sent the flows of a scope down takes its step at once: what
the rows say of its weights lies in the cache, and so do these. What the step needs beside, how
likely every unit was by the weights as they were, comes from the scope above. Where the rows of a
scope were halved, its step waits for both halves, and each of their threads has a half of its
units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...circuit import Program
from ...circuit.program import INPUT
from .accumulate import add_rows, add_some
from .atomics import add, peek
from .columns import ABOVE, FIRST_MAP, LAST_MAP, POSITION, WORK
from .descent import bare_circuit, hear, visit
from .kernel_cache import kernel
from .plan import Plan
from .simd import (
    keep_subnormals,
    load,
    never_inline,
    offset,
    pointer,
    pointer_at,
    restore_rounding,
    store,
)
from .tables import (
    COUNTED,
    END_UNIT,
    FIRST_UNIT,
    FIRST_WEIGHT,
    GROUP,
    GROUP_STATES,
    HEIGHT,
    OUT,
    PLACE,
    ROW,
    STATES,
    TableLayout,
    bare_layout,
    family_at,
    group_at,
    input_at,
    pack_inputs,
    pack_sums,
    sum_at,
    unpack_sums,
)
from .team import LATE, await_team, close_team, join_team, wait_for_flag, wait_for_number

#: What came of a batch: learnt; it has no weight, or rows that lost too much, and nothing has
#: changed; or sums are not finite, and the parameters are lost.
LEARNT, NO_WEIGHT, DAMAGED, LOST = range(4)
#: How members of a family are tables: they stay as they are; they are one; the first state has
#: what the others leave.
STAYS, WHOLE, BUT_FIRST = range(3)
# What threads tell each other where rows were not computed scope by scope, a cache line apart: who
# joined, how many the team has, who is done, whether sums were not finite; behind these, for every
# scope, whether its step was taken.
JOINED, TEAM, FINISHED, NOT_FINITE, STEPPED = range(0, 80, 16)
# What the leading thread tells the others of a step; below which total a row counts as without
# mass, and how many scopes have instructions, which never change.
KEEP, LEARN, BY_TOP_DOWN, SCALE, N_LANES, SMALLEST, N_ACTIVE, N_SAID = range(8)
# Where weights lie.
OLD, NEW = range(2)


class ScopeSteps(NamedTuple):
    """What the step of every scope consists of: lists, and where the part of every scope begins.

    A scope without instructions of its own is stepped with the one above it.

    Attributes
    ----------
    order : ndarray of int64
        Scopes that have instructions, those above first.
    with_start, scopes_with : ndarray of int64
        Scopes whose steps are taken with that of a scope.
    vector_start, vectors : ndarray of int64
        Vectors of the program, those above first.
    input_start, inputs : ndarray of int64
        Rows of ``TableLayout.inputs``.
    leaf : ndarray of int64
        The vector of every input.
    merged_of : ndarray of int64
        The row of ``TableLayout.places`` of every vector, or -1.
    """

    order: np.ndarray
    with_start: np.ndarray
    scopes_with: np.ndarray
    vector_start: np.ndarray
    vectors: np.ndarray
    input_start: np.ndarray
    inputs: np.ndarray
    leaf: np.ndarray
    merged_of: np.ndarray


class Stepping(NamedTuple):
    """What steps read and write: arrays, or bare pointers where kernels hand it on.

    Attributes
    ----------
    circuit : tuple
        See ``Stepper``.
    of_scopes : tuple
        ``ScopeSteps``.
    layout : tuple
        ``TableLayout``.
    kinds : of shape (n_families,)
        How members are tables.
    rows_more, leaves_more
        Smoothing: for every weight of a row, and for every state of a unit.
    weights, new, chances
        Parameters: weights as they were and as they will be, which may lie in the same place, and
        probabilities by state. Among arrays, ``weights`` has the addresses of the former two, and
        ``new`` is None.
    packed : tuple
        What kernels read: weights, tables, their scales; then by_state and values as in
        ``pack_tables``.
    sums, reach, messages
        Scratch: mean leaf sums, and as in ``descend``.
    says : of shape (``N_SAID``,)
    """

    circuit: Any
    of_scopes: Any
    layout: Any
    kinds: Any
    rows_more: Any
    leaves_more: Any
    weights: Any
    new: Any
    chances: Any
    packed: Any
    sums: Any
    reach: Any
    messages: Any
    says: Any


@kernel
def bare_stepping(arrays):
    """A ``Stepping`` of bare pointers: arrays take their time to be handed on."""
    (
        circuit, (a, b, c, d, e, f, g, h, i), layout, kinds, rows_more, leaves_more, weights_at, _,
        chances, (packed, table, log2_scale, by_state, values), sums, reach, messages, says,
    ) = arrays  # fmt: skip
    of_scopes = ScopeSteps(
        pointer(a), pointer(b), pointer(c), pointer(d), pointer(e), pointer(f), pointer(g),
        pointer(h), pointer(i),
    )  # fmt: skip
    kernels_read = (
        pointer(packed), pointer(table), pointer(log2_scale), pointer(by_state), pointer(values)
    )  # fmt: skip
    return Stepping(
        bare_circuit(circuit), of_scopes, bare_layout(layout), pointer(kinds), pointer(rows_more),
        pointer(leaves_more), pointer_at(pointer(chances), weights_at[OLD]),
        pointer_at(pointer(chances), weights_at[NEW]), pointer(chances), kernels_read,
        pointer(sums), pointer(reach), pointer(messages), pointer(says),
    )  # fmt: skip


def list_steps(
    program: Program, plan: Plan, layout: TableLayout, scopes: np.ndarray, scope_of: np.ndarray
) -> ScopeSteps:
    """Of a program of which every vector has weights or leaf units of its own.

    Parameters
    ----------
    program : Program
    plan : Plan
    layout : TableLayout
    scopes : ndarray
        Of a ``Sharing``.
    scope_of : ndarray of shape (n_vectors,)
    """
    n_scopes, n_vectors = len(scopes), program.n_vectors
    # What has no work are columns whose leaves and merged sums are read as tables above.
    own = [s for s in range(n_scopes) if scopes[s, WORK] > 0]
    others = [(int(scopes[s, ABOVE]), s) for s in range(n_scopes) if scopes[s, WORK] == 0]
    assert all(scopes[s, FIRST_MAP] == scopes[s, LAST_MAP] for _, s in others)
    merged_of = np.full(n_vectors, -1)
    for p, v in enumerate(v for group in plan.merged for v in group.sums):
        merged_of[v] = p
    finite = [leaf.family for leaf in plan.families if leaf.is_table]
    leaf_at = {
        (int(program.family[v]), int(program.unit_start[v])): v
        for v in np.flatnonzero(program.op == INPUT).tolist()
    }
    leaf = [leaf_at[finite[f], first] for first, _, _, f in layout.inputs.tolist()]
    # Derivatives by the weights of a merged sum are written where those of the scope's other sums
    # lie. So these come first, which they may: a merged sum reads a leaf.
    kind = np.where(program.op == INPUT, 2, merged_of >= 0)
    vectors = np.lexsort((-np.arange(n_vectors), kind))
    return ScopeSteps(
        np.array(own[::-1], dtype=np.int64),
        *_grouped(others[::-1], n_scopes),
        *_grouped(list(zip(scope_of[vectors].tolist(), vectors.tolist())), n_scopes),
        *_grouped([(int(scope_of[v]), i) for i, v in enumerate(leaf)], n_scopes),
        np.array(leaf, dtype=np.int64),
        merged_of,
    )


def _grouped(pairs: list[tuple[int, int]], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of n parts begins, and the second numbers of all pairs, by their first ones."""
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    ends = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=n))])
    return ends.astype(np.int64), np.ascontiguousarray(second[np.argsort(first, kind="stable")])


@kernel
def go_on_in_place(arrays):
    """Let the next step change the weights where the last one wrote them."""
    _, _, _, _, _, _, weights_at, _, _, _, _, _, _, _ = arrays
    weights_at[OLD] = weights_at[NEW]


@kernel
def bare_scratch(arrays):
    """What ``step_scope`` writes over, without arrays."""
    ratios, used, tops, slopes, unread = arrays
    for_tables = pointer(ratios), pointer(used), pointer(tops)
    return *for_tables, pointer(slopes), slopes.shape[1], pointer(unread)


@kernel
def begin_step(batch, lost_share, n_lanes, stepping):
    """See whether the step of a batch can be taken, and say how.

    Parameters
    ----------
    batch : tuple
        Log-likelihoods, bounds and weights of its rows; their number; the weight that sums are in
        units of; 1 - α, α, and 1 for top-down probabilities or 0 for flows; and an array that gets
        log-likelihood and weight.
    lost_share : float
        See ``add_rows``.
    n_lanes : int
        Lanes that have sums.
    stepping : Stepping
    """
    never_inline()
    of_rows, n, unit, step, result = batch
    says = stepping.says
    log_likelihood, learnt, n_damaged = add_rows(*of_rows, n, lost_share)
    if n_damaged > 0 or not learnt > 0:
        return DAMAGED
    result[0], result[1] = log_likelihood, learnt
    store(says, KEEP, step[0])
    store(says, LEARN, step[1])
    store(says, BY_TOP_DOWN, step[2])
    store(says, SCALE, unit / learnt)
    store(says, N_LANES, float(n_lanes))
    return LEARNT


@kernel
def tell_below(s, own, stepping):
    """Tell what is below a scope how likely it is by the weights as they are."""
    never_inline()
    # Literals would be compiled for.
    part, n_parts = np.int64(0), np.int64(1)
    tells, learns = n_parts > 0, n_parts < 0
    no_edges, no_leaves = (own[3], n_parts, n_parts), (own[0], n_parts, n_parts)
    _visit_vectors(s, tells, learns, part, n_parts, no_edges, no_leaves, own, stepping)


@kernel
def step_scope(s, tells, part, n_parts, own_edges, edges, leaf_out, own, stepping):
    """Take the step of a scope, and of those without instructions below; whether all was finite.

    Parameters
    ----------
    s : int
    tells : bool
        Whether it has yet to tell what is below how likely that is.
    part, n_parts : int
        Of its units this thread has one of so many parts, and every so many-th of those scopes.
    own_edges, edges, leaf_out : tuple
        Derivatives by the weights of the scope itself, by other weights, and leaf sums: a pointer,
        how many lanes there are, and how far these lie apart. They are cleared.
    own : tuple
        Of ``bare_scratch``, of this thread: two as ``unpack_tables`` needs them and one for
        ``pack_tables``; two lanes of derivatives by the weights of a scope, or of a merged sum, and
        how far they lie apart; and a place for packed weights that nobody reads.
    stepping : Stepping
    """
    never_inline()
    start, others = stepping.of_scopes.with_start, stepping.of_scopes.scopes_with
    # Literals would be compiled for.
    first, alone = np.int64(0), np.int64(1)
    always = alone > 0
    # Parameters are never rounded to zero.
    before = keep_subnormals()
    finite = True
    if part == 0:
        finite = _collect(s, leaf_out, stepping)
    finite &= _visit_vectors(s, tells, always, part, n_parts, own_edges, leaf_out, own, stepping)
    if part == 0:
        _step_tables(s, own, stepping)
    for i in range(load(start, s) + part, load(start, s + 1), n_parts):
        t = load(others, i)
        finite &= _collect(t, leaf_out, stepping)
        finite &= _visit_vectors(t, always, always, first, alone, edges, leaf_out, own, stepping)
        _step_tables(t, own, stepping)
    restore_rounding(before)
    return finite


@kernel
def _visit_vectors(s, tells, learns, part, n_parts, edges, leaf_out, own, stepping):
    """Visit the vectors of a scope: see ``visit``."""
    never_inline()
    vectors, says = stepping.circuit, stepping.says
    _, units, row_start, starts, _, _, _, _, _, _ = vectors
    by_top_down = np.int64(load(says, BY_TOP_DOWN))
    scale, smallest = load(says, SCALE), load(says, SMALLEST)
    step = load(says, KEEP), load(says, LEARN), by_top_down, scale, smallest
    reached, sent = stepping.reach, stepping.messages
    kernels_read, one, more = stepping.packed[0], np.int64(1), stepping.rows_more
    _, _, _, slopes, _, unread = own
    tells = tells and by_top_down != 0
    first, mine = stepping.of_scopes.vector_start, stepping.of_scopes.vectors
    finite = True
    for i in range(load(first, s), load(first, s + 1)):
        v = load(mine, i)
        if tells:
            hear(v, vectors, reached, sent)
        if load(row_start, v) < 0:
            continue
        n, likely = load(units, v), offset(reached, load(starts, v))
        p, (sums, n_lanes, stride), packed = (
            load(stepping.of_scopes.merged_of, v),
            edges,
            kernels_read,
        )
        if p >= 0 and learns:
            w = sum_at(stepping.layout, p, FIRST_WEIGHT)
            sums, n_lanes, packed = offset(slopes, -w), one, offset(unread, -w)
            finite &= _unpack(p, leaf_out, sums, own, stepping)
        evidence = sums, n_lanes, stride, more
        begin, end = (0, n) if n_parts == 1 else (part * n // n_parts, (part + 1) * n // n_parts)
        finite &= visit(
            v, vectors, tells, learns, step, evidence, (stepping.weights, stepping.new, packed),
            likely, reached, sent, begin, end,
        )  # fmt: skip
    return finite


@kernel
def _collect(s, leaf_out, stepping):
    """Add up the leaf sums of a scope; whether all was finite."""
    layout, total = stepping.layout, 0.0
    lanes, n_lanes, stride = leaf_out
    scale, sums = load(stepping.says, SCALE), stepping.sums
    first, mine = stepping.of_scopes.input_start, stepping.of_scopes.inputs
    for q in range(load(first, s), load(first, s + 1)):
        i = load(mine, q)
        f = input_at(layout, i, ROW)
        states, at = family_at(layout, f, STATES), family_at(layout, f, OUT)
        start = at + input_at(layout, i, FIRST_UNIT) * states
        stop = at + input_at(layout, i, END_UNIT) * states
        total += add_some(lanes, n_lanes, stride, None, scale, start, stop, sums)
    return np.isfinite(total)


@kernel
def _unpack(p, leaf_out, slopes, own, stepping):
    """Turn what a merged sum counted into what that says of its weights and leaves; whether all was
    finite."""
    layout, scale, sums = stepping.layout, load(stepping.says, SCALE), stepping.sums
    lanes, n_lanes, stride = leaf_out
    _, _, _, by_state, values = stepping.packed
    g = sum_at(layout, p, GROUP)
    size = group_at(layout, g, HEIGHT) * (group_at(layout, g, GROUP_STATES) + 1)
    start = group_at(layout, g, COUNTED) + sum_at(layout, p, PLACE) * size
    total = add_some(lanes, n_lanes, stride, None, scale, start, start + size, sums)
    unpack_sums(
        p, p + 1, layout, stepping.weights, by_state, values, sums, scale, slopes, own[0], own[1]
    )  # fmt: skip
    return np.isfinite(total)


@kernel
def _step_tables(s, own, stepping):
    """Mix the tables of a scope, and write what kernels read of them and of merged sums."""
    _, table, log2_scale, by_state, values = stepping.packed
    layout, chances = stepping.layout, stepping.chances
    first, mine = stepping.of_scopes.input_start, stepping.of_scopes.inputs
    for q in range(load(first, s), load(first, s + 1)):
        i = load(mine, q)
        _mix_input(i, stepping)
        pack_inputs(i, i + 1, layout, chances, by_state, own[2], table, log2_scale)
    first, mine = stepping.of_scopes.vector_start, stepping.of_scopes.vectors
    for q in range(load(first, s), load(first, s + 1)):
        p = load(stepping.of_scopes.merged_of, load(mine, q))
        if p >= 0:
            pack_sums(p, p + 1, layout, stepping.new, by_state, values, table, log2_scale)


@kernel
def _mix_input(i, stepping):
    """Mix the tables of an input with mean flows by state, as ``mix_leaves`` does."""
    layout, says, chance = stepping.layout, stepping.says, stepping.chances
    flow, smooth = stepping.sums, stepping.leaves_more
    keep, learn, smallest = load(says, KEEP), load(says, LEARN), load(says, SMALLEST)
    by_top_down = load(says, BY_TOP_DOWN) != 0
    f, begin = input_at(layout, i, ROW), input_at(layout, i, FIRST_UNIT)
    states, kind = family_at(layout, f, STATES), load(stepping.kinds, f)
    starts, leaf = stepping.circuit[3], load(stepping.of_scopes.leaf, i)
    likely = offset(stepping.reach, load(starts, leaf))
    for u in range(begin, input_at(layout, i, END_UNIT)):
        at = family_at(layout, f, OUT) + u * states
        used = 0.0
        for s in range(at, at + states):
            used += load(flow, s) + load(smooth, s)
        if by_top_down:
            x, y = keep * load(likely, u - begin), learn
        elif used >= smallest:
            x, y = keep, learn / used
        else:
            x, y = 1.0, 0.0
        total = x + y * used
        if kind != STAYS and total >= smallest:
            for s in range(at, at + states):
                mixed = x * load(chance, s) + y * (load(flow, s) + load(smooth, s))
                store(chance, s, mixed / total)
            _project(offset(chance, at), states, kind)


@kernel
def _project(table, states, kind):
    """As the family itself would: so what it keeps of a table says all about it."""
    total = 0.0
    for s in range(1 if kind == BUT_FIRST else 0, states):
        store(table, s, max(load(table, s), 0.0))
        total += load(table, s)
    if kind == BUT_FIRST:
        store(table, 0, max(1.0 - total, 0.0))
        if total > 1:
            for s in range(1, states):
                store(table, s, load(table, s) / total)
    elif not abs(total - 1.0) <= states * np.finfo(np.float64).eps:
        for s in range(states):
            store(table, s, load(table, s) / total)


@kernel
def take_step(leads, n_threads, turns, scopes, told, edges, leaf_out, own, stepping):
    """Take the step that was begun, of all scopes, with others or alone; what came of it.

    Parameters
    ----------
    leads : bool
        One thread does, which returns when all is done.
    n_threads, turns : int
        How many are expected, and how often the one that leads looks whether they have come.
    scopes : ndarray
        Of a ``Sharing``.
    told : pointer
        ``STEPPED`` + n_scopes zeros.
    edges, leaf_out : ndarray of shape (n_lanes or more, ...)
        Sums, which are cleared.
    own : tuple
        As in ``step_scope``.
    stepping : Stepping
    """
    never_inline()
    me, n_team = np.int64(0), np.int64(1)
    if leads:
        n_team = close_team(offset(told, JOINED), offset(told, TEAM), n_threads, turns)
    else:
        me = join_team(offset(told, JOINED))
        if me >= LATE:
            return LEARNT
        n_team = await_team(offset(told, TEAM), offset(told, FINISHED))
    order, n_lanes = stepping.of_scopes.order, np.int64(load(stepping.says, N_LANES))
    lanes = pointer(edges), n_lanes, edges.shape[1]
    leaf_lanes = pointer(leaf_out), n_lanes, leaf_out.shape[1]
    n_active = np.int64(load(stepping.says, N_ACTIVE))
    tells, part, n_parts = n_team > 0, np.int64(0), np.int64(1)  # literals would be compiled for
    finite = True
    for i in range(n_active):
        # Below the root, subtrees lie side by side.
        s = load(order, i)
        if scopes[s, POSITION] * n_team // n_active != me:
            continue
        if scopes[s, ABOVE] >= 0:
            wait_for_flag(offset(told, STEPPED + scopes[s, ABOVE]))
        finite &= step_scope(s, tells, part, n_parts, lanes, lanes, leaf_lanes, own, stepping)
        add(offset(told, STEPPED + s), 1)
    if not finite:
        add(offset(told, NOT_FINITE), 1)
    add(offset(told, FINISHED), 1)
    if leads:
        wait_for_number(offset(told, FINISHED), n_team)
    return LEARNT if peek(offset(told, NOT_FINITE)) == 0 else LOST
