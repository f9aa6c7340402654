"""Which rows of a buffer an operation reads: a view where they stand in order, else a copy."""

from __future__ import annotations

import numpy as np
import torch

from .matmul import add_bmm, bmm


class Rows:
    """Some rows of a two-dimensional buffer, in a fixed order.

    Parameters
    ----------
    places : ndarray of int, shape (n,)
    device : torch.device
    """

    def __init__(self, places: np.ndarray, device: torch.device) -> None:
        self.n = len(places)
        self.start = int(places[0]) if self.n else 0
        self.in_order = bool((np.diff(places) == 1).all())
        self.index = None if self.in_order else torch.from_numpy(places.copy()).to(device)

    def of(self, buffer: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """The rows, (n, …): a view of the buffer, or written to ``out``."""
        if self.index is None:
            return buffer[self.start : self.start + self.n]
        if out is None:
            return buffer.index_select(0, self.index)
        return torch.index_select(buffer, 0, self.index, out=out)

    def put(self, buffer: torch.Tensor, values: torch.Tensor) -> None:
        """Overwrite the rows."""
        if self.index is None:
            buffer[self.start : self.start + self.n].copy_(values)
        else:
            buffer.index_copy_(0, self.index, values)

    def add(self, buffer: torch.Tensor, values: torch.Tensor) -> None:
        """Add to the rows, which must differ."""
        if self.index is None:
            buffer[self.start : self.start + self.n].add_(values)
        else:
            buffer.index_add_(0, self.index, values)


class Blocks:
    """Which matrices of a bank a fold multiplies with; some may be used several times.

    Parameters
    ----------
    places : ndarray of int, shape (n,)
    device : torch.device
    """

    def __init__(self, places: np.ndarray, device: torch.device) -> None:
        unique, inverse = np.unique(places, return_inverse=True)
        self.n = len(places)
        self.rows = Rows(places, device)
        self.is_one = len(unique) == 1
        self.unique = None if len(unique) == self.n else Rows(unique, device)
        #: One where a member of the fold uses a matrix: tied flows are added up by a product.
        self.uses = None
        if self.unique is not None:
            uses = np.arange(len(unique))[:, None] == inverse
            self.uses = torch.from_numpy(uses.astype(np.float64)).to(device)

    def of(self, bank: torch.Tensor) -> torch.Tensor:
        """The matrices, (n, height, width)."""
        if self.is_one:
            return bank[self.rows.start].expand(self.n, *bank.shape[1:])
        return self.rows.of(bank)

    def add_product(
        self,
        bank: torch.Tensor,
        left: torch.Tensor,
        right: torch.Tensor,
        factors: str | None = None,
    ) -> None:
        """Add ``left @ right`` to the matrices; those of tied ones are added up before."""
        if self.uses is None and self.rows.in_order:
            add_bmm(self.rows.of(bank), left, right, factors)
            return
        self.add(bank, bmm(left, right, factors))

    def add(self, bank: torch.Tensor, values: torch.Tensor) -> None:
        """Add (n, height, width) to the matrices."""
        # Two dimensions: more of them take torch's general, slow way.
        bank, values = bank.view(len(bank), -1), values.reshape(self.n, -1)
        if self.unique is None or self.uses is None:
            self.rows.add(bank, values)
        else:
            self.unique.add(bank, self.uses.to(values.dtype) @ values)
