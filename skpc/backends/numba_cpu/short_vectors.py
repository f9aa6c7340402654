"""Runs of numbers in steps of LANES, the last of which may be short."""

from __future__ import annotations

from .kernel_cache import kernel
from .simd import HALF, LANES, vload, vload_half, vload_some, vstore, vstore_half, vstore_some


@kernel
def take(source, i, n):
    """LANES numbers, of which the first n are there; zeros for the others."""
    if n >= LANES:
        return vload(source, i)
    # A write with a mask keeps what lies beside it from being read soon.
    if n == HALF:
        return vload_half(source, i)
    return vload_some(source, i, n)


@kernel
def put(target, i, numbers, n):
    """Write LANES numbers, or the first n of them if there are fewer."""
    if n >= LANES:
        vstore(target, i, numbers)
    elif n == HALF:
        vstore_half(target, i, numbers)
    else:
        vstore_some(target, i, numbers, n)
