"""Batched matrix products, with factors rounded to bfloat16 where a pass learns from them.

Only the factors are rounded, to 8 bits: they are added up in float32, and what is added to stays as
it is. On a CPU, whose bfloat16 products are rounded themselves, the rounded factors are multiplied
as float32, which is the same arithmetic.
"""

from __future__ import annotations

import torch


def bmm(
    left: torch.Tensor, right: torch.Tensor, rounded: bool, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Products (n, height, width); in ``out`` where it is given."""
    if not rounded:
        return torch.bmm(left, right, out=out)
    left, right = left.bfloat16(), right.bfloat16()
    if left.is_cuda:
        return torch.bmm(left, right, out_dtype=torch.float32, out=out)
    return torch.bmm(left.float(), right.float(), out=out)


def add_bmm(
    total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, rounded: bool
) -> torch.Tensor:
    """Add products (n, height, width) to ``total``, in place."""
    if not rounded:
        return total.baddbmm_(left, right)
    left, right = left.bfloat16(), right.bfloat16()
    if left.is_cuda:
        return torch.baddbmm(total, left, right, out_dtype=torch.float32, out=total)
    return total.baddbmm_(left.float(), right.float())
