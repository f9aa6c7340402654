"""The CPU backend: numba kernels over tiles of rows, compiled once for every circuit.

`simd` is the vector type, `dense`, `mixing`, `products`, `leaves` the kernels, `tiles` the
interpreter, `plan` the memory layout, `engine` the contract. No BLAS call, no OpenMP.
"""

from .engine import NumbaBackend

__all__ = ["NumbaBackend"]
