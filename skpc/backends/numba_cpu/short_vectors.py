"""Runs of numbers in steps of LANES, the last of which may be short."""

from __future__ import annotations

from .kernel_cache import kernel
from .simd import LANES, vload, vload_some, vstore, vstore_some


@kernel
def take(source, i, n):
    """LANES numbers, of which the first n are there; zeros for the others."""
    if n < LANES:
        return vload_some(source, i, n)
    return vload(source, i)


@kernel
def put(target, i, numbers, n):
    """Write LANES numbers, or the first n of them if there are fewer."""
    if n < LANES:
        vstore_some(target, i, numbers, n)
    else:
        vstore(target, i, numbers)
