"""Top-down probabilities on the device: the flows of one row without cells.

All values of such a row are one, so no pass upwards is needed.
"""

from __future__ import annotations

import numpy as np
import torch

from ..base import TopDown
from .plan import DERIVATIVE, SUMS, Plan
from .workspace import Model, Workspace


class Uses:
    """Reads probabilities of units out of the flows of a plan.

    Parameters
    ----------
    plan : Plan
    dtype : torch.dtype
        Of the values; the probabilities are float64.
    device : torch.device
    """

    def __init__(self, plan: Plan, dtype: torch.dtype, device: torch.device) -> None:
        program = plan.program
        self._plan = plan
        self._space = Workspace(plan, 1, dtype, device)
        n_rows = program.n_rows
        sums: list[tuple[np.ndarray, np.ndarray]] = []
        leaves: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in program.families]
        for layer in (*plan.layers, *plan.inputs):
            for v in layer.vectors.tolist():
                units = np.arange(layer.units)
                place = plan.place[v] if plan.mode[v] == DERIVATIVE else plan.flow_place[v]
                if layer.kind in SUMS:
                    sums.append((program.row_start[v] + units, place))
                elif program.family[v] >= 0:
                    leaves[program.family[v]].append((program.unit_start[v] + units, place))
        self._reads = [
            _Gather(found, n, device)
            for found, n in zip((sums, *leaves), (n_rows, *program.family_units), strict=True)
        ]

    def top_down(self, banks: dict[tuple, torch.Tensor], layers: list) -> TopDown:
        """Of normalised weights."""
        space, plan = self._space, self._plan
        space.values.fill_(1.0)
        space.values[plan.n_values :].zero_()
        space.scales.zero_()
        space.values[plan.flow_place[plan.root][0]].fill_(1.0)
        for layer in reversed(layers):
            layer.down(space, Model(banks, []), None)
        rows, *leaves = (read.of(space.values[:, 0]) for read in self._reads)
        return TopDown(rows, leaves)


class _Gather:
    """Adds up places of a buffer by where they belong, tied copies one after the other."""

    def __init__(self, found, n: int, device: torch.device) -> None:
        self._n = n
        self._rounds = []
        where = np.concatenate([w for w, _ in found]) if found else np.zeros(0, dtype=np.int64)
        places = np.concatenate([p for _, p in found]) if found else where
        order = np.argsort(where, kind="stable")
        where, places = where[order], places[order]
        copy = np.arange(len(where)) - np.searchsorted(where, where)
        for i in range(int(copy.max(initial=-1)) + 1):
            mine = copy == i
            self._rounds.append(
                tuple(torch.from_numpy(a[mine]).to(device) for a in (where, places))
            )

    def of(self, buffer: torch.Tensor) -> torch.Tensor:
        """Sums of shape (n,), float64."""
        total = torch.zeros(self._n, dtype=torch.float64, device=buffer.device)
        for where, places in self._rounds:
            total.index_add_(0, where, buffer[places].double())
        return total
