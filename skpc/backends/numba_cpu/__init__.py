"""The CPU backend: numba kernels over tiles of rows, compiled once for every circuit.

`engine` is the contract, `plan` the memory layout, `forward` and `backward` the interpreter,
`dense`, `mixing`, `products`, `leaves` the kernels on the vector type of `simd`, `accumulate`
the loops over parameters. No BLAS and no OpenMP where rows are computed.
"""

from .engine import NumbaBackend

__all__ = ["NumbaBackend"]
