"""Sums that are not dense: elementwise mixing, and sums over Kronecker products."""

from __future__ import annotations

from .dense import ADD, STORE, add_outer_products, matrix_times_panels
from .kernel_cache import kernel
from .products import measure
from .simd import (
    LANES,
    PANEL,
    load,
    never_inline,
    store,
    vadd,
    vbroadcast,
    vfill,
    vfma,
    vload,
    vmul,
    vstore,
    vsum,
)


@kernel
def mix_forward(weights, w, source, s, factors, f, result, r, units, n_panels, first):
    """result[k] += w[k] · source[k] · factor of the row; ``first`` stores instead of adding."""
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            factor = vload(factors, f + p * PANEL + h)
            i = p * units * PANEL + h
            for k in range(units):
                value = vmul(vbroadcast(weights, w + k), vmul(vload(source, s + i), factor))
                if not first:
                    value = vadd(value, vload(result, r + i))
                vstore(result, r + i, value)
                i += PANEL


@kernel
def mix_backward(weights, w, up, u, source, s, factors, f, result, r, units, n_panels, edges):
    """Add to the child's derivative and to the edge flows of one child of a mixing sum."""
    never_inline()
    for k in range(units):
        weight = vbroadcast(weights, w + k)
        total = vfill(up, 0)
        for p in range(n_panels):
            for h in range(0, PANEL, LANES):
                i = (p * units + k) * PANEL + h
                g = vmul(vload(up, u + i), vload(factors, f + p * PANEL + h))
                total = vfma(g, vload(source, s + i), total)
                vstore(result, r + i, vfma(weight, g, vload(result, r + i)))
        store(edges, w + k, load(edges, w + k) + vsum(total))


@kernel
def pair_values(values, a, b, factors, fa, fb, units_b, step_a, step_b, n_panels, scratch):
    """scratch[j] = (one unit of the first factor) · (unit j of the second), both scaled."""
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            t = p * PANEL + h
            x = vmul(vload(values, a + p * step_a + h), vload(factors, fa + t))
            w = vload(factors, fb + t)
            i = b + p * step_b + h
            o = p * units_b * PANEL + h
            for _ in range(units_b):
                vstore(scratch, o, vmul(x, vmul(vload(values, i), w)))
                i += PANEL
                o += PANEL


@kernel
def kronecker_forward(
    weights,
    w,
    values,
    a,
    units_a,
    sa,
    b,
    units_b,
    sb,
    out,
    units,
    n_panels,
    scales,
    so,
    factors,
    f,
    scratch,
    lost,
):
    """out = Σ_i W_i (a_i ∘ b): the long product vector is never stored."""
    never_inline()
    inverse, exponent, relative, absolute = scales
    rows = n_panels * PANEL
    for t in range(0, rows, LANES):
        vstore(factors, f + t, vload(inverse, sa + t))
        vstore(factors, f + rows + t, vload(inverse, sb + t))
    for i in range(units_a):
        pair_values(
            values,
            a + i * PANEL,
            b,
            factors,
            f,
            f + rows,
            units_b,
            units_a * PANEL,
            units_b * PANEL,
            n_panels,
            scratch,
        )
        matrix_times_panels(
            weights,
            w + i * units * units_b,
            units_b,
            1,
            scratch,
            0,
            units_b * PANEL,
            values,
            out,
            units * PANEL,
            units,
            units_b,
            n_panels,
            STORE if i == 0 else ADD,
            values,
            out,
            units * PANEL,
            None,
        )
    for t in range(0, rows, LANES):
        vstore(exponent, so + t, vadd(vload(exponent, sa + t), vload(exponent, sb + t)))
        vstore(relative, so + t, vadd(vload(relative, sa + t), vload(relative, sb + t)))
        d = vadd(vload(absolute, sa + t), vload(absolute, sb + t))
        vstore(absolute, so + t, vadd(d, vfill(inverse, lost)))
        vstore(inverse, so + t, vfill(inverse, 1))
    measure(values, out, units, n_panels, scales, so, so, lost)


@kernel
def kronecker_backward(
    weights,
    w,
    values,
    g,
    units,
    a,
    units_a,
    b,
    units_b,
    factors,
    f,
    n_panels,
    slots,
    ta,
    tb,
    edges,
    scratch,
    down,
):
    """Edge flows of the sum, and the flows of both factors added at ``ta`` and ``tb``."""
    never_inline()
    rows = n_panels * PANEL
    for i in range(units_a):
        pair_values(
            values,
            a + i * PANEL,
            b,
            factors,
            f,
            f + rows,
            units_b,
            units_a * PANEL,
            units_b * PANEL,
            n_panels,
            scratch,
        )
        block = w + i * units * units_b
        add_outer_products(
            values,
            g,
            units * PANEL,
            scratch,
            0,
            units_b * PANEL,
            units,
            units_b,
            n_panels,
            edges,
            block,
            None,
        )
        matrix_times_panels(
            weights,
            block,
            1,
            units_b,
            values,
            g,
            units * PANEL,
            down,
            0,
            units_b * PANEL,
            units_b,
            units,
            n_panels,
            STORE,
            values,
            g,
            units * PANEL,
            None,
        )
        for p in range(n_panels):
            for h in range(0, PANEL, LANES):
                o = p * units_b * PANEL + h
                total = vfill(values, 0)
                for j in range(units_b):
                    flow = vmul(vload(down, o), vload(scratch, o))
                    total = vadd(total, flow)
                    t = tb + o
                    vstore(slots, t, vadd(flow, vload(slots, t)))
                    o += PANEL
                t = ta + (p * units_a + i) * PANEL + h
                vstore(slots, t, vadd(total, vload(slots, t)))
