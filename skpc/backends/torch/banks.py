"""Weights in the order in which layers read them, and back into the flat array."""

from __future__ import annotations

import numpy as np
import torch

from .plan import Plan


class Banks:
    """From the flat array of a program to matrices that stand together, and back.

    Parameters
    ----------
    plan : Plan
    device : torch.device
        Where the flat arrays lie.
    """

    def __init__(self, plan: Plan, device: torch.device) -> None:
        groups = {(g.rows, g.cols): g for g in plan.program.groups}
        self._places = {}
        self._shapes = {}
        for key, offsets in plan.banks.items():
            kind, rows = key[:2]
            group = groups[rows, key[-1]]
            numbers = (offsets - group.offset) // (rows * group.cols)
            if kind == "kronecker":
                # The blocks of one sum, a block a unit of the first child, follow each other.
                numbers = (numbers[:, None] + np.arange(key[2])).ravel()
            span = slice(group.offset, group.offset + group.n * rows * group.cols)
            whole = np.array_equal(numbers, np.arange(group.n))
            index = None if whole else torch.from_numpy(numbers).to(device)
            self._places[key] = span, (group.n, rows, group.cols), index
            self._shapes[key] = len(offsets), rows

    def shape(self, key: tuple) -> tuple[int, int, int]:
        """Matrices, height, width."""
        n, rows = self._shapes[key]
        return n, rows, int(np.prod(key[2:]))

    def read(self, flat: torch.Tensor, dtype: torch.dtype, device: torch.device) -> dict:
        """The matrices of every bank, (n, height, width)."""
        banks = {}
        for key, (span, shape, index) in self._places.items():
            part = flat[span].view(shape)
            if index is not None:
                part = part.index_select(0, index)
            if key[0] == "kronecker":
                _, rows, n_a, n_b = key
                part = part.view(-1, n_a, rows, n_b).transpose(1, 2).reshape(-1, rows, n_a * n_b)
            banks[key] = part.to(device, dtype)
        return banks

    def write(self, banks: dict, flat: torch.Tensor) -> None:
        """Write the matrices of every bank into a flat array."""
        for key, (span, shape, index) in self._places.items():
            part = banks[key].to(flat.device, flat.dtype)
            if key[0] == "kronecker":
                _, rows, n_a, n_b = key
                part = part.view(-1, rows, n_a, n_b).transpose(1, 2).reshape(-1, rows, n_b)
            # With three dimensions torch took 23 ms for 70 000 numbers.
            view, part = flat[span].view(shape[0], -1), part.reshape(-1, shape[1] * shape[2])
            if index is None:
                view.copy_(part)
            else:
                view.index_copy_(0, index, part)
