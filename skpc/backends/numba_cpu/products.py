"""Elementwise products with a power-of-two scale and a bound on the mass they lose.

Per vector and row four numbers are kept: ``inverse`` (a power of two that brings the
largest value into [0.5, 1)), ``exponent`` (log2 of the scale, float64), and two bounds on
what underflow lost. With v the stored values times ``inverse``, the true ones are at most
v (1 + relative) + absolute. At a product the relative bounds add, and so do the absolute
ones plus the smallest normal number; dividing by the maximum magnifies the latter. Where
the smallest value of the row is far above it, the absolute bound is turned into a
relative one, which later products no longer magnify: otherwise every row of a deep
circuit would look damaged. Sums are taken to be normalised: a row of weights that adds up to
more than one would magnify the absolute bound by that much.
"""

from __future__ import annotations

from .kernel_cache import kernel
from .simd import (
    LANES,
    PANEL,
    never_inline,
    offset,
    vadd,
    vdiv,
    vdouble,
    vexp,
    vexponent,
    vfill,
    vlike,
    vload,
    vmax,
    vmin,
    vmul,
    vpower_inverse,
    vselect_less,
    vstore,
    vsub,
)

#: An absolute bound below this share of the smallest value becomes a relative one.
CONVERT = 1e-10
LN2 = 0.6931471805599453
HUGE = 1e30


@kernel
def _settle(top, bottom, relative, absolute, exponent, scales, s):
    """Write the scale of a row whose values lie in [bottom, top]."""
    inverse_array, exponent_array, relative_array, absolute_array = scales
    inverse = vpower_inverse(top)
    share = vdiv(absolute, bottom)
    limit = vfill(inverse_array, CONVERT)
    zero = vfill(inverse_array, 0)
    vstore(inverse_array, s, inverse)
    vstore(exponent_array, s, vadd(exponent, vdouble(vexponent(top))))
    vstore(relative_array, s, vadd(relative, vselect_less(share, limit, share, zero)))
    vstore(absolute_array, s, vselect_less(share, limit, zero, vmul(absolute, inverse)))


@kernel
def offset_scales(scales, s):
    """The scales of rows from s."""
    inverse, exponent, relative, absolute = scales
    return offset(inverse, s), offset(exponent, s), offset(relative, s), offset(absolute, s)


@kernel
def multiply(
    a, b, c, three, units, n_panels, a_scales, b_scales, c_scales, out, out_scales, lost
):  # fmt: skip
    """out[k] = a[k] · b[k] (· c[k]), each times its inverse; then the scale.

    Three at once save a pass over memory for the usual node of a tree: a leaf and the
    messages of two children. Whether there are ``three`` is an argument. ``lost`` is what one
    rounding to zero may cost.
    """
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            t = p * PANEL + h
            wa, e, r, d = _scale_at(a_scales, t)
            wb, more, r_more, d_more = _scale_at(b_scales, t)
            e, r, d = vadd(e, more), vadd(r, r_more), vadd(d, d_more)
            d = vadd(d, vfill(out, lost))
            top = vfill(out, 0)
            bottom = vfill(out, HUGE)
            i = p * units * PANEL + h
            if not three:
                for _ in range(units):
                    x = vmul(vmul(vload(a, i), wa), vmul(vload(b, i), wb))
                    vstore(out, i, x)
                    top = vmax(x, top)
                    bottom = vmin(x, bottom)
                    i += PANEL
            else:
                wc, more, r_more, d_more = _scale_at(c_scales, t)
                e, r, d = vadd(e, more), vadd(r, r_more), vadd(d, d_more)
                for _ in range(units):
                    x = vmul(vmul(vload(a, i), wa), vmul(vload(b, i), wb))
                    x = vmul(x, vmul(vload(c, i), wc))
                    vstore(out, i, x)
                    top = vmax(x, top)
                    bottom = vmin(x, bottom)
                    i += PANEL
            _settle(top, bottom, r, d, e, out_scales, t)


@kernel
def _scale_at(scales, t):
    inverse, exponent, relative, absolute = scales
    return vload(inverse, t), vload(exponent, t), vload(relative, t), vload(absolute, t)


@kernel
def transpose(source, s, target, t, height, width, n_panels):
    """target[k · height + i] = source[i · width + k], for the units of every panel."""
    never_inline()
    for p in range(n_panels):
        first = p * height * width * PANEL
        o = t + first
        for k in range(width):
            i = s + first + k * PANEL
            for _ in range(height):
                for h in range(0, PANEL, LANES):
                    vstore(target, o + h, vload(source, i + h))
                i += width * PANEL
                o += PANEL


@kernel
def copy_scale(scales, s, t, n_rows):
    """The scale of a vector that has the values of another one."""
    never_inline()
    inverse, exponent, relative, absolute = scales
    for i in range(0, n_rows, LANES):
        vstore(inverse, t + i, vload(inverse, s + i))
        vstore(exponent, t + i, vload(exponent, s + i))
        vstore(relative, t + i, vload(relative, s + i))
        vstore(absolute, t + i, vload(absolute, s + i))


@kernel
def measure(values, v, units, n_panels, scales, sv, out, lost):
    """The scale of values that are there: a sum whose parents expect scaled vectors."""
    never_inline()
    inverse, exponent, relative, absolute = scales
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            t = p * PANEL + h
            w = vload(inverse, sv + t)
            top = vfill(values, 0)
            bottom = vfill(values, HUGE)
            i = v + p * units * PANEL + h
            for _ in range(units):
                x = vmul(vload(values, i), w)
                top = vmax(x, top)
                bottom = vmin(x, bottom)
                i += PANEL
            r = vload(relative, sv + t)
            d = vadd(vload(absolute, sv + t), vfill(values, lost))
            _settle(top, bottom, r, d, vload(exponent, sv + t), scales, out + t)
            vstore(inverse, out + t, vmul(vload(inverse, out + t), w))


@kernel
def common_scale(scales, slots, first, last, column, factors, f, n_rows, out, lost):
    """Bring the children of a sum to one scale: factors[c, row] and the scale at ``out``.

    ``slots[first:last, column]`` are the children's scales. The largest exponent of a row is
    the common one; what a smaller child then loses is below one rounding of the largest.
    """
    never_inline()
    inverse, exponent, relative, absolute = scales
    for t in range(0, n_rows, LANES):
        top = vload(exponent, slots[first, column] * n_rows + t)
        r = vload(relative, slots[first, column] * n_rows + t)
        d = vload(absolute, slots[first, column] * n_rows + t)
        for j in range(first + 1, last):
            s = slots[j, column] * n_rows + t
            top = vmax(vload(exponent, s), top)
            r = vmax(vload(relative, s), r)
            d = vmax(vload(absolute, s), d)
        for j in range(first, last):
            s = slots[j, column] * n_rows + t
            e = vload(exponent, s)
            down = vexp(vmul(vsub(e, top), vfill(exponent, LN2)))
            # One where they are equal, be it at -inf: a cell outside the support of every child.
            down = vselect_less(e, top, down, vfill(exponent, 1))
            w = vmul(vlike(inverse, down), vload(inverse, s))
            vstore(factors, f + (j - first) * n_rows + t, w)
        vstore(inverse, out + t, vfill(inverse, 1))
        vstore(exponent, out + t, top)
        vstore(relative, out + t, r)
        vstore(absolute, out + t, vadd(d, vfill(inverse, lost)))


@kernel
def scale_rows(source, s, factors, f, target, t, units, n_panels, step_s, step_t):
    """target[k, row] = source[k, row] · factors[row]."""
    never_inline()
    for p in range(n_panels):
        for h in range(0, PANEL, LANES):
            w = vload(factors, f + p * PANEL + h)
            i = s + p * step_s + h
            o = t + p * step_t + h
            for _ in range(units):
                vstore(target, o, vmul(vload(source, i), w))
                i += PANEL
                o += PANEL
