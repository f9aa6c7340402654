"""Sums over the rows of weight matrices, and the M-step, on tensors."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch

from ...circuit import Program


class WeightRows:
    """The flat array of a program as rows, on a device.

    A row of several blocks is added up block by block, so that nobody adds where another does.
    """

    def __init__(self, program: Program, device: torch.device) -> None:
        self.n_rows = program.n_rows
        self._groups = []
        for group in program.groups:
            span = slice(group.offset, group.offset + group.n * group.rows * group.cols)
            index = torch.from_numpy(group.row_index.ravel()).to(device)
            rounds = [torch.from_numpy(r).to(device) for r in _rounds(group.row_index.ravel())]
            self._groups.append((span, group.cols, index, rounds))

    def sums(self, weights: torch.Tensor) -> torch.Tensor:
        """Sum of every row, (n_rows,)."""
        totals = weights.new_zeros(self.n_rows)
        for span, cols, index, rounds in self._groups:
            parts = weights[span].view(-1, cols).sum(1)
            for chosen in rounds:
                totals.index_add_(0, index[chosen], parts[chosen])
        return totals

    def spread(self, values: torch.Tensor, n_weights: int) -> torch.Tensor:
        """A value a row repeated for every weight of the row, (n_weights,)."""
        out = values.new_empty(n_weights)
        for span, cols, index, _ in self._groups:
            out[span].view(-1, cols).copy_(values[index][:, None].expand(-1, cols))
        return out

    def mixed(self, weights, flows, keep, learn, smallest: float) -> torch.Tensor:
        """New weights ∝ keep · weights + learn · flows; rows below ``smallest`` stay."""
        new = torch.empty_like(weights)
        for span, cols, index, _ in self._groups:
            part = new[span].view(-1, cols)
            torch.mul(weights[span].view(-1, cols), keep[index][:, None], out=part)
            part.addcmul_(flows[span].view(-1, cols), learn[index][:, None])
        totals = self.sums(new)
        used = totals >= smallest
        inverse = torch.where(used, 1.0 / totals, 1.0)
        for span, cols, index, _ in self._groups:
            part = new[span].view(-1, cols)
            part.mul_(inverse[index][:, None])
            torch.where(used[index][:, None], part, weights[span].view(-1, cols), out=part)
        return new


def _rounds(index: np.ndarray) -> list[np.ndarray]:
    """Positions of the first, second, … occurrence of every row."""
    order = np.argsort(index, kind="stable")
    first = np.searchsorted(index[order], index[order])
    times = np.empty(len(index), dtype=np.int64)
    times[order] = np.arange(len(index)) - first
    return [np.flatnonzero(times == t) for t in range(int(times.max(initial=-1)) + 1)]


_known: WeakKeyDictionary[Program, dict[torch.device, WeightRows]] = WeakKeyDictionary()


def rows_of(program: Program, device: torch.device) -> WeightRows:
    """The rows of a program, made once for every device."""
    known = _known.setdefault(program, {})
    if device not in known:
        known[device] = WeightRows(program, device)
    return known[device]
