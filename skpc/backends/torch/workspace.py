"""The memory of a pass: values and scales of every unit, and room for copies."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from .plan import Plan

#: Exponent, relative and absolute bound of a row of a vector: see scales.py.
EXPONENT, RELATIVE, ABSOLUTE = range(3)
N_SCRATCH = 3


class Model(NamedTuple):
    """Parameters as the layers read them, on the device.

    ``banks`` holds weights (matrices, height, width) by the key of their bank; ``leaves`` what
    every layer of inputs reads, by its number.
    """

    banks: dict[tuple, torch.Tensor]
    leaves: list[Any]


class Totals(NamedTuple):
    """Sums over rows in the layout of a Model: edge flows without θ, and flows of leaves."""

    banks: dict[tuple, torch.Tensor]
    leaves: list[torch.Tensor]


class Workspace:
    """Buffers for a pass of up to ``n_rows`` rows; fewer rows use their beginning.

    Attributes
    ----------
    values : Tensor of shape (places, rows)
        Scaled values of all units on the way up; derivatives and flows on the way down.
    scales : Tensor of shape (scales, 3, rows), float64
    factors : {None, "tf32", "bfloat16"}
        To what sums may round the factors of their products.
    """

    factors: str | None = None

    def __init__(self, plan: Plan, n_rows: int, dtype: torch.dtype, device: torch.device) -> None:
        self.n_rows = n_rows
        self._plan = plan

        def room(n, kind=dtype):
            return torch.empty(n * n_rows, dtype=kind, device=device)

        self._values = room(plan.n_places)
        self._scales = room(3 * plan.n_scales, torch.float64)
        self._scratch = [room(plan.widest) for _ in range(N_SCRATCH)]
        self.resize(n_rows)

    def resize(self, n_rows: int) -> None:
        """Make ready for so many rows, not more than there is room for."""
        self.rows = n_rows
        plan = self._plan
        self.values = self._values[: plan.n_places * n_rows].view(plan.n_places, n_rows)
        self.scales = self._scales[: 3 * plan.n_scales * n_rows].view(plan.n_scales, 3, n_rows)

    def scratch(self, number: int, n: int) -> torch.Tensor:
        """Room (n, rows) that nobody else uses until the operation is over."""
        return self._scratch[number][: n * self.rows].view(n, self.rows)

    @staticmethod
    def bytes_per_row(plan: Plan, itemsize: int) -> int:
        """Memory that one more row takes."""
        return (plan.n_places + N_SCRATCH * plan.widest) * itemsize + 3 * 8 * plan.n_scales
