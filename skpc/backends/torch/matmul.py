"""Batched matrix products, with rounded factors where a pass learns from them.

Only the factors are rounded: they are added up in float32, and what is added to stays as it is. On
a CPU, whose bfloat16 products are rounded themselves, the rounded factors are multiplied as
float32, which is the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def float32_factors(precision: str) -> Iterator[None]:
    """What a GPU makes of the factors of float32 products: "ieee" leaves them, "tf32" rounds.

    The setting is that of the whole process, and the program around may have made it.
    """
    # Not allow_tf32: reading that is an error once this one was set.
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    settings.fp32_precision = precision
    try:
        yield
    finally:
        settings.fp32_precision = before


def bmm(
    left: torch.Tensor,
    right: torch.Tensor,
    factors: str | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Products (n, height, width), of factors as the backend's ``products`` says; in ``out``."""
    if factors is None:
        return torch.bmm(left, right, out=out)
    if factors == "tf32":
        with float32_factors("tf32"):
            return torch.bmm(left, right, out=out)
    left, right = left.bfloat16(), right.bfloat16()
    if left.is_cuda:
        return torch.bmm(left, right, out_dtype=torch.float32, out=out)
    return torch.bmm(left.float(), right.float(), out=out)


def add_bmm(
    total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, factors: str | None = None
) -> torch.Tensor:
    """Add products (n, height, width) to ``total``, in place."""
    if factors is None:
        return total.baddbmm_(left, right)
    if factors == "tf32":
        with float32_factors("tf32"):
            return total.baddbmm_(left, right)
    left, right = left.bfloat16(), right.bfloat16()
    if left.is_cuda:
        return torch.baddbmm(total, left, right, out_dtype=torch.float32, out=total)
    return total.baddbmm_(left.float(), right.float())
