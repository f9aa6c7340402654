"""Flat loops over the arrays of a Program, for weights that need not sum to one.

Partition functions go up and gradients go down, one number a unit. ``starts`` is where the units
of a vector begin in such an array.
"""

from __future__ import annotations

import math

from .columns import (
    CHILD,
    COLUMNS,
    HEIGHT,
    IN,
    INPUT,
    KRONECKER,
    MIXING,
    OUT,
    PRODUCT,
    SUM,
    TRANSPOSE,
    WEIGHTS,
)
from .kernel_cache import entry_kernel, kernel

#: Sums and quotients of plain products are believed in this range; beyond it, logarithms.
SAFE = 1e100
LOG_SAFE = 200.0


@kernel
def log_add(a, b):
    """log(exp(a) + exp(b))."""
    top = max(a, b)
    if top == -math.inf:
        return top
    return top + math.log1p(math.exp(min(a, b) - top))


@kernel
def child_unit(arg, k):
    """The unit of the child that is unit k of a grid in the order of its columns."""
    return k % arg[HEIGHT] * arg[COLUMNS] + k // arg[HEIGHT]


@kernel
def relative(z, at, width, shares):
    """shares[k] = exp(z[at + k] - top), and top, the largest of them (0 for no mass at all)."""
    top = -math.inf
    for k in range(width):
        top = max(top, z[at + k])
    if top == -math.inf:
        top = 0.0
    for k in range(width):
        shares[k] = math.exp(z[at + k] - top)
    return top


@kernel
def log_dot(weights, w, width, z, at, top, shares):
    """log Σ weights[w + k] exp(z[at + k])."""
    total = 0.0
    for k in range(width):
        total += weights[w + k] * shares[k]
    if 1 / SAFE < total < SAFE:
        return math.log(total) + top
    out = -math.inf
    for k in range(width):
        if weights[w + k] > 0:
            out = log_add(out, math.log(weights[w + k]) + z[at + k])
    return out


@kernel
def scale_row(weights, w, width, z, at, top, shares, log_factor, new):
    """new = weights · exp(z + log_factor); zeros where there is no mass."""
    if not log_factor < math.inf:
        for k in range(width):
            new[w + k] = 0.0
    elif -LOG_SAFE < top + log_factor < LOG_SAFE:
        factor = math.exp(top + log_factor)
        for k in range(width):
            new[w + k] = weights[w + k] * shares[k] * factor
    else:
        for k in range(width):
            new[w + k] = 0.0
            if weights[w + k] > 0:
                new[w + k] = math.exp(math.log(weights[w + k]) + z[at + k] + log_factor)


@entry_kernel
def log_partitions(op, units, arg_start, args, starts, weights, shares, z):
    """log Z of every unit, children first; inputs integrate to one."""
    for v in range(op.size):
        at = starts[v]
        n = units[v]
        for k in range(n):
            z[at + k] = 0.0 if op[v] == INPUT or op[v] == PRODUCT else -math.inf
        if op[v] == PRODUCT:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]]
                for k in range(n):
                    z[at + k] += z[c + k]
        elif op[v] == TRANSPOSE:
            a = arg_start[v]
            for k in range(n):
                z[at + k] = z[starts[args[a, CHILD]] + child_unit(args[a], k)]
        elif op[v] == SUM:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]] + args[j, IN]
                w = args[j, WEIGHTS]
                width = args[j, COLUMNS]
                top = relative(z, c, width, shares)
                for m in range(at + args[j, OUT], at + args[j, OUT] + args[j, HEIGHT]):
                    z[m] = log_add(z[m], log_dot(weights, w, width, z, c, top, shares))
                    w += width
        elif op[v] == MIXING:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]]
                w = args[j, WEIGHTS]
                for k in range(n):
                    if weights[w + k] > 0:
                        z[at + k] = log_add(z[at + k], math.log(weights[w + k]) + z[c + k])
        elif op[v] == KRONECKER:
            a = arg_start[v]
            first = starts[args[a, CHILD]]
            c = starts[args[a + 1, CHILD]]
            w = args[a, WEIGHTS]
            width = args[a + 1, COLUMNS]
            top = relative(z, c, width, shares)
            for i in range(args[a, COLUMNS]):
                for m in range(at, at + n):
                    part = log_dot(weights, w, width, z, c, top, shares)
                    z[m] = log_add(z[m], z[first + i] + part)
                    w += width


@entry_kernel
def renormalised_weights(op, units, arg_start, args, starts, weights, shares, z, new):
    """new_nc = weights_nc Z_c / Z_n, from the logarithms ``z``; a unit without mass gets zeros."""
    for v in range(op.size):
        at = starts[v]
        n = units[v]
        if op[v] == SUM:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]] + args[j, IN]
                w = args[j, WEIGHTS]
                width = args[j, COLUMNS]
                top = relative(z, c, width, shares)
                for m in range(at + args[j, OUT], at + args[j, OUT] + args[j, HEIGHT]):
                    scale_row(weights, w, width, z, c, top, shares, -z[m], new)
                    w += width
        elif op[v] == MIXING:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]]
                w = args[j, WEIGHTS]
                for k in range(n):
                    new[w + k] = 0.0
                    if weights[w + k] > 0 and z[c + k] > -math.inf:
                        log_weight = math.log(weights[w + k])
                        new[w + k] = math.exp(log_weight + z[c + k] - z[at + k])
        elif op[v] == KRONECKER:
            a = arg_start[v]
            first = starts[args[a, CHILD]]
            c = starts[args[a + 1, CHILD]]
            w = args[a, WEIGHTS]
            width = args[a + 1, COLUMNS]
            top = relative(z, c, width, shares)
            for i in range(args[a, COLUMNS]):
                for m in range(at, at + n):
                    above = -z[m] if z[m] == -math.inf else z[first + i] - z[m]
                    scale_row(weights, w, width, z, c, top, shares, above, new)
                    w += width


@entry_kernel
def log_weight_gradient(
    op, units, arg_start, args, row_start, starts, weights, flows, row_flows, less, gradient
):
    """gradient_nc = flows_nc - weights_nc T_n, where T_n is how often unit n would be used.

    T_n = F_n + D_n with D = 0 at the root and D_c = - Σ gradient_nc over the edges into c, so
    that for flows of rows T_n = TD(n). ``less`` holds the D, zeros to begin with.
    """
    last = op.size - 1
    for back in range(last + 1):
        v = last - back
        at = starts[v]
        n = units[v]
        if op[v] == PRODUCT:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]]
                for k in range(n):
                    less[c + k] += less[at + k]
        elif op[v] == TRANSPOSE:
            a = arg_start[v]
            for k in range(n):
                less[starts[args[a, CHILD]] + child_unit(args[a], k)] += less[at + k]
        elif op[v] == SUM:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]] + args[j, IN]
                w = args[j, WEIGHTS]
                width = args[j, COLUMNS]
                for m in range(args[j, OUT], args[j, OUT] + args[j, HEIGHT]):
                    use = row_flows[row_start[v] + m] + less[at + m]
                    for k in range(width):
                        slope = flows[w + k] - use * weights[w + k]
                        gradient[w + k] = slope
                        less[c + k] -= slope
                    w += width
        elif op[v] == MIXING:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]]
                w = args[j, WEIGHTS]
                for k in range(n):
                    use = row_flows[row_start[v] + k] + less[at + k]
                    slope = flows[w + k] - use * weights[w + k]
                    gradient[w + k] = slope
                    less[c + k] -= slope
        elif op[v] == KRONECKER:
            a = arg_start[v]
            first = starts[args[a, CHILD]]
            second = starts[args[a + 1, CHILD]]
            w = args[a, WEIGHTS]
            width = args[a + 1, COLUMNS]
            for i in range(args[a, COLUMNS]):
                for m in range(n):
                    use = row_flows[row_start[v] + m] + less[at + m]
                    for k in range(width):
                        slope = flows[w + k] - use * weights[w + k]
                        gradient[w + k] = slope
                        less[second + k] -= slope
                        less[first + i] -= slope
                    w += width
