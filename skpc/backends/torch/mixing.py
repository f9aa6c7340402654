"""Layers of sums that are no matrix products: elementwise mixing, and Kronecker products."""

from __future__ import annotations

import torch

from .matmul import add_bmm, bmm
from .scales import factors, rescale
from .sums import SumLayer
from .workspace import Model, Totals, Workspace

#: Products of units that a fold of Kronecker sums makes at once, if one unit's do not exceed it.
PAIRS = 1 << 10


class MixingLayer(SumLayer):
    """Unit k is a weighted sum of the k-th units of the children."""

    def _add_up(self, j, space, model, child, out):
        weights = self.blocks[j].of(model.banks[self.banks[j]])
        out = out.view(child.shape)
        if j == 0:
            torch.mul(weights, child, out=out)
        else:
            out.addcmul_(weights, child)

    def _hand_down(self, j, space, model, totals, above, child):
        shape = (self.sizes[j], self.units, space.rows)
        above, child = above.view(shape), child.view(shape)
        bank = self.banks[j]
        below = space.scratch(1, self.sizes[j] * self.units)
        if totals is not None:
            torch.mul(above, child, out=below.view(shape))
            self.blocks[j].add(totals.banks[bank], below.view(shape).sum(2, keepdim=True))
        torch.mul(self.blocks[j].of(model.banks[bank]), above, out=below.view(shape))
        return below


class KroneckerLayer(SumLayer):
    """Dense sums over all pairs of units of two children, some of the first one's at a time.

    A matrix of the bank has the columns (unit of the first, unit of the second child).
    """

    def up(self, space: Workspace, model: Model) -> None:
        n, rows = self.n, space.rows
        out = space.values[self.start : self.start + n * self.units].view(n, self.units, rows)
        scales = space.scales[self.scale_start : self.scale_start + n]
        first, second = (r.of(space.scales) for r in self.scales)
        torch.add(first, second, out=scales)
        weights = self.blocks[0].of(model.banks[self.banks[0]])
        a, b = self._factors_of(space)
        for start, stop, pair in self._pairs(a, b):
            part = weights[:, :, start:stop]
            if start == 0:
                bmm(part, pair, space.factors, out=out)
            else:
                add_bmm(out, part, pair, space.factors)
        rescale(out, scales, 3 * self.lost)

    def _factors_of(self, space: Workspace) -> tuple[torch.Tensor, torch.Tensor]:
        """Values of both children, (n, units, rows), in scratch 0 and 1 unless views."""
        a, b = (
            r.of(space.values, space.scratch(i, r.n)).view(self.n, -1, space.rows)
            for i, r in enumerate(self.reads)
        )
        return a, b

    def _pairs(self, a: torch.Tensor, b: torch.Tensor):
        """Columns of the weights from, to, and the products (n, columns, rows) they multiply."""
        n_a, n_b = a.shape[1], b.shape[1]
        step = max(1, PAIRS // (n_b * self.n))
        for i in range(0, n_a, step):
            pair = a[:, i : i + step, None] * b[:, None]
            yield i * n_b, min(i + step, n_a) * n_b, pair.flatten(1, 2)

    def down(self, space: Workspace, model: Model, totals: Totals | None) -> None:
        above = self.derivative(space).view(self.n, self.units, space.rows)
        scaled = space.scratch(2, self.n * self.units).view(above.shape)
        above = torch.mul(above, self._pair_factor(space), out=scaled)
        key = self.banks[0]
        weights = self.blocks[0].of(model.banks[key])
        a, b = self._factors_of(space)
        edges = None if totals is None else torch.empty_like(weights)
        flow_a, flow_b = torch.empty_like(a), torch.zeros_like(b)
        for start, stop, pair in self._pairs(a, b):
            if edges is not None:
                edges[:, :, start:stop] = bmm(above, pair.transpose(1, 2), space.factors)
            part = weights[:, :, start:stop].transpose(1, 2)
            pair.mul_(bmm(part, above, space.factors))
            pair = pair.view(self.n, -1, b.shape[1], space.rows)
            first = start // b.shape[1]
            flow_a[:, first : first + pair.shape[1]] = pair.sum(2)
            flow_b += pair.sum(1)
        if totals is not None and edges is not None:
            self.blocks[0].add(totals.banks[key], edges)
        for targets, flow in zip(self.targets, (flow_a, flow_b), strict=True):
            flow = flow.flatten(0, 1)
            for chosen, rows, _ in targets:
                rows.add(space.values, flow if chosen is None else chosen.of(flow))

    def _pair_factor(self, space: Workspace) -> torch.Tensor:
        """What brings the products of the children's values to the scale of the sums."""
        first, second = (r.of(space.scales)[:, 0] for r in self.scales)
        own = space.scales[self.scale_start : self.scale_start + self.n, 0]
        return factors(first + second, own, space.values.dtype)[:, None]
