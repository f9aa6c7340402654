"""Scaled vectors: a power of two a row, and a bound on the mass that underflow lost.

Each row of a vector carries log2 of its scale, and two bounds: with v the stored values, the true
ones are at most v (1 + relative) + absolute. At a product the bounds add, and one rounding to zero
is added to the absolute one, which dividing by the maximum magnifies. Where the smallest value of
the row is far above it, it is turned into a relative bound, which later products no longer magnify.
The rules are those of the numba backend's products.
"""

from __future__ import annotations

import math

import torch

#: An absolute bound below this share of the smallest value becomes a relative one.
CONVERT = 1e-10
#: A row whose share of lost mass may exceed this is evaluated again in float64 logs.
LOST_SHARE = 1e-6
LN2 = math.log(2.0)


def rescale(values: torch.Tensor, scales: torch.Tensor, lost: float) -> None:
    """Divide (n, units, rows) by the power of two below the maximum of every row, in place.

    ``scales`` (n, 3, rows) are those of the values before, and after.
    """
    top, bottom = values.amax(1), values.amin(1)
    exponent = torch.frexp(top)[1]
    # Subnormal maxima keep a part of their smallness: their inverse would be infinite.
    exponent.clamp_(min=-125 if values.dtype == torch.float32 else -1021)
    power = exponent.to(values.dtype)
    inverse = torch.exp2(-power)
    values.mul_(inverse[:, None])
    log2_scale, relative, absolute = scales.unbind(1)
    log2_scale.add_(power)
    absolute.add_(lost)
    share = absolute / bottom
    settled = share < CONVERT
    relative.add_(torch.where(settled, share, 0.0))
    absolute.mul_(inverse).masked_fill_(settled, 0.0)


def factors(child: torch.Tensor, parent: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """2^(child - parent) of two log2 scales; one where both are -inf."""
    down = torch.where(child == parent, 0.0, child - parent)
    return torch.exp2(down).to(dtype)


def root_result(value: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log p of every row, nats, and the share of mass that may have been lost (inf for log 0)."""
    value = value.double()
    log_value = torch.log(value) + LN2 * scale[0]
    share = scale[1] + scale[2] / value
    finite = torch.isfinite(log_value)
    bound = torch.where(finite & torch.isfinite(share), share, math.inf)
    return torch.where(finite, log_value, -math.inf), bound
