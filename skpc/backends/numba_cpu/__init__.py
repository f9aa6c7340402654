"""The CPU backend: numba kernels over tiles of rows, compiled once for every circuit.

`engine` is the contract, `learning` how statistics are collected, `lanes` the threads. `plan` is
the memory layout; `packing` and `tables` bring parameters into it. `tiles` runs `forward` and
`backward`, the interpreter, or `chunks`, where parts of rows are alike: `places` says where these
lie, `owners` which thread has them. `dense`, `mixing`, `products`, `leaves` are the kernels on the
vector type of `simd`, on arrays of `lines`. `descent` is the way down through the parameters, and
`stepper` what it needs; `steps` and `run` let batches follow each other, each with its step, in the
threads of a `crew`. `accumulate` and `updates` are the loops for solvers that take steps of their
own. No BLAS and no OpenMP where rows are computed.
"""

from .engine import NumbaBackend

__all__ = ["NumbaBackend"]
