"""Flat loops over all parameters: adding up lanes, and probabilities from the root down."""

from __future__ import annotations

from .columns import (
    ARG,
    ARG_END,
    CHILD,
    COLUMNS,
    HEIGHT,
    IN,
    KRONECKER,
    MIXING,
    OP,
    OUT,
    PRODUCT,
    ROWS,
    SUM,
    TD_LEAF,
    UNITS,
    WEIGHTS,
)
from .kernel_cache import entry_kernel


@entry_kernel
def add_lanes(edges, weights, flows):
    """flows[i] += weights[i] · Σ over lanes of edges[lane, i], in float64; lanes are cleared."""
    for start in range(0, flows.size, 4096):
        stop = min(start + 4096, flows.size)
        for lane in range(1, edges.shape[0]):
            for i in range(start, stop):
                edges[0, i] += edges[lane, i]
                edges[lane, i] = 0
        for i in range(start, stop):
            flows[i] += weights[i] * edges[0, i]
            edges[0, i] = 0


@entry_kernel
def top_down(instructions, args, starts, weights, reach, rows, leaves):
    """Probability of every unit: ``reach`` a vector, ``rows`` of sums, ``leaves`` by family."""
    last = instructions.shape[0] - 1
    reach[starts[last]] = 1.0
    for back in range(last + 1):
        v = last - back
        step = instructions[v]
        op = step[OP]
        units = step[UNITS]
        at = starts[v]
        if op == PRODUCT:
            for j in range(step[ARG], step[ARG_END]):
                c = starts[args[j, CHILD]]
                for k in range(units):
                    reach[c + k] += reach[at + k]
        elif op == SUM:
            for j in range(step[ARG], step[ARG_END]):
                c = starts[args[j, CHILD]] + args[j, IN]
                w = args[j, WEIGHTS]
                width = args[j, COLUMNS]
                for m in range(args[j, HEIGHT]):
                    above = reach[at + args[j, OUT] + m]
                    for k in range(width):
                        reach[c + k] += above * weights[w + k]
                    w += width
        elif op == MIXING:
            for j in range(step[ARG], step[ARG_END]):
                c = starts[args[j, CHILD]]
                for k in range(units):
                    reach[c + k] += reach[at + k] * weights[args[j, WEIGHTS] + k]
        elif op == KRONECKER:
            a = step[ARG]
            first = starts[args[a, CHILD]]
            second = starts[args[a + 1, CHILD]]
            w = args[a, WEIGHTS]
            width = args[a + 1, COLUMNS]
            for i in range(args[a, COLUMNS]):
                for m in range(units):
                    for k in range(width):
                        x = reach[at + m] * weights[w + k]
                        reach[second + k] += x
                        reach[first + i] += x
                    w += width
        else:
            for k in range(units):
                leaves[step[TD_LEAF] + k] += reach[at + k]
        if step[ROWS] >= 0:
            for k in range(units):
                rows[step[ROWS] + k] += reach[at + k]
