"""The CPU backend: numba kernels over tiles of rows, compiled once for every circuit.

`engine` is the contract, `learning` how statistics are collected, `lanes` the threads. `plan` is
the memory layout; `packing` and `merged` bring parameters into it. `tiles` runs `forward` and
`backward`, the interpreter; `dense`, `mixing`, `products`, `leaves` are the kernels on the vector
type of `simd`; `accumulate` and `updates` the loops over parameters. No BLAS and no OpenMP where
rows are computed.
"""

from .engine import NumbaBackend

__all__ = ["NumbaBackend"]
