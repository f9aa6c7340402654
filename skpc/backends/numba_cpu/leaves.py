"""Leaves: densities of a cell under K units, scaled so that the largest of a row is one.

Two forms serve every family. A *table* holds one value a (unit, state) and is looked up;
an *exponential* leaf is exp(coefficients · statistics), computed in float64 logs where the
values can be extreme. The logarithm (base 2) of the scale is carried per row.
"""

from __future__ import annotations

from .kernel_cache import kernel
from .simd import (
    LANES,
    PANEL,
    load,
    never_inline,
    store,
    vadd,
    vbroadcast,
    vdouble,
    vexp,
    vfill,
    vfma,
    vlike,
    vload,
    vmax,
    vmul,
    vselect_code,
    vstore,
    vsub,
    vsum,
)

LOG2E = 1.4426950408889634
#: Up to so many states a look-up is a chain of selects in registers, beyond it a gather.
SELECT_STATES = 8


@kernel
def table_forward(
    table, at, log2_scale, s, n_states, codes, c, values, v, units, n_panels, exponent, x
):
    """values[k, row] = table[k, code of the row]; exponent[row] = log2 of the state's scale.

    ``table`` is (units, n_states) from ``at``; two of its states mean a missing cell and a
    value outside the support.
    """
    never_inline()
    for i in range(n_panels * PANEL):
        store(exponent, x + i, load(log2_scale, s + load(codes, c + i)))
    for p in range(n_panels):
        start = v + p * units * PANEL
        row = c + p * PANEL
        if n_states <= SELECT_STATES:
            left = vload(codes, row)
            right = vload(codes, row + LANES)
            for k in range(units):
                a = at + k * n_states
                low = high = vbroadcast(table, a)
                for code in range(1, n_states):
                    value = vbroadcast(table, a + code)
                    low = vselect_code(left, code, value, low)
                    high = vselect_code(right, code, value, high)
                vstore(values, start + k * PANEL, low)
                vstore(values, start + k * PANEL + LANES, high)
        else:
            for k in range(units):
                a = at + k * n_states
                i = start + k * PANEL
                for j in range(PANEL):
                    store(values, i + j, load(table, a + load(codes, row + j)))


@kernel
def table_backward(flows, f, units, n_panels, codes, c, n_states, n_kept, result, r):
    """result[k, state] += flow of unit k over the rows in that state, ``n_kept`` states."""
    never_inline()
    if n_states <= SELECT_STATES:
        zero = vfill(flows, 0)
        for k in range(units):
            for code in range(n_kept):
                total = zero
                i = f + k * PANEL
                for p in range(n_panels):
                    for h in range(0, PANEL, LANES):
                        here = vload(codes, c + p * PANEL + h)
                        total = vadd(total, vselect_code(here, code, vload(flows, i + h), zero))
                    i += units * PANEL
                o = r + k * n_kept + code
                store(result, o, load(result, o) + vsum(total))
        return
    for p in range(n_panels):
        row = c + p * PANEL
        for k in range(units):
            i = f + (p * units + k) * PANEL
            o = r + k * n_kept
            for j in range(PANEL):
                code = load(codes, row + j)
                if code < n_kept:
                    store(result, o + code, load(result, o + code) + load(flows, i + j))


@kernel
def _log_density(coefficients, a, data, d, n_rows, terms):
    value = vmul(vbroadcast(coefficients, a), vload(data, d))
    for i in range(1, terms):
        value = vfma(vbroadcast(coefficients, a + i), vload(data, d + i * n_rows), value)
    return value


@kernel
def exponential_forward(
    coefficients, at, terms, data, d, n_rows, values, v, units, n_panels, exponent, x
):
    """values[k, row] = exp(log density - its maximum over k), for any exponential family.

    ``data`` holds rows of float64 from ``d``: the base measure, then ``terms`` rows (whether
    the cell is present, and its statistics); ``coefficients`` (units, terms) are
    (-log partition, natural parameters).
    """
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            row = d + p * PANEL + h
            top = vfill(data, -1e300)
            for k in range(units):
                top = vmax(
                    _log_density(coefficients, at + k * terms, data, row + n_rows, n_rows, terms),
                    top,
                )
            i = v + p * units * PANEL + h
            for k in range(units):
                value = _log_density(
                    coefficients, at + k * terms, data, row + n_rows, n_rows, terms
                )
                vstore(values, i, vexp(vlike(values, vsub(value, top))))
                i += PANEL
            for j in range(LANES):
                store(exponent, x + p * PANEL + h + j, load(data, row + j) * LOG2E)
            scaled = vfma(top, vfill(data, LOG2E), vload(exponent, x + p * PANEL + h))
            vstore(exponent, x + p * PANEL + h, scaled)


@kernel
def given_forward(data, d, n_rows, values, v, units, n_panels, exponent, x):
    """values[k, row] = exp(data[k] - its maximum over k), for log densities from ``d``."""
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            row = d + p * PANEL + h
            top = vfill(data, -1e300)
            for k in range(units):
                top = vmax(vload(data, row + k * n_rows), top)
            i = v + p * units * PANEL + h
            for k in range(units):
                value = vsub(vload(data, row + k * n_rows), top)
                vstore(values, i, vexp(vlike(values, value)))
                i += PANEL
            vstore(exponent, x + p * PANEL + h, vmul(top, vfill(data, LOG2E)))


@kernel
def given_backward(flows, f, units, n_panels, data, d, n_rows):
    """data[units + k, row] += flow of unit k: behind the log densities there is room for them."""
    never_inline()
    for p in range(n_panels):
        for k in range(units):
            start = f + (p * units + k) * PANEL
            row = d + (units + k) * n_rows + p * PANEL
            for h in range(0, PANEL, LANES):
                here = vadd(vload(data, row + h), vdouble(vload(flows, start + h)))
                vstore(data, row + h, here)


@kernel
def exponential_backward(flows, f, units, n_panels, data, d, n_rows, terms, result, r):
    """result[k, i] += Σ over rows of flow[k] · data[i]: the flow, then flow times statistics."""
    never_inline()
    for k in range(units):
        for i in range(terms):
            total = vfill(data, 0)
            for p in range(n_panels):
                start = f + (p * units + k) * PANEL
                row = d + (1 + i) * n_rows + p * PANEL
                for h in range(0, PANEL, LANES):
                    total = vfma(vdouble(vload(flows, start + h)), vload(data, row + h), total)
            o = r + k * terms + i
            store(result, o, load(result, o) + vsum(total))
