"""Layers of elementwise products."""

from __future__ import annotations

import numpy as np
import torch

from .plan import Layer, Plan
from .rows import Rows
from .scales import rescale
from .targets import targets_of
from .workspace import Workspace


class ProductLayer:
    """Units k of a vector's children are multiplied; the j-th children are those of a prefix."""

    def __init__(self, plan: Plan, layer: Layer, lost: float, device: torch.device) -> None:
        self.units, self.start = layer.units, layer.start
        self.scale_start, self.n = layer.scale_start, len(layer.vectors)
        self.lost = lost
        slots = plan.slots[int(layer.vectors[0])]
        self.sizes = [slot.n for slot in slots]
        self.reads = [
            Rows(np.concatenate([plan.place[c.vector][c.order] for c in slot.children]), device)
            for slot in slots
        ]
        self.scales = [
            Rows(np.array([plan.scale[c.vector] for c in slot.children]), device) for slot in slots
        ]
        flow = np.concatenate([plan.flow_place[v] for v in layer.vectors.tolist()])
        self.flow = Rows(flow, device)
        self.targets = [targets_of(plan, slot.children, device) for slot in slots]

    def up(self, space: Workspace, model) -> None:
        """Values and scales; scaled again after every two more children, or they might vanish."""
        n, units, rows = self.n, self.units, space.rows
        out = space.values[self.start : self.start + n * units]
        scales = space.scales[self.scale_start : self.scale_start + n]
        first = self.reads[0].of(space.values, space.scratch(0, n * units))
        second = self.reads[1].of(space.values, space.scratch(1, n * units))
        torch.mul(first, second, out=out)
        own, other = (r.of(space.scales) for r in self.scales[:2])
        torch.add(own, other, out=scales)
        for j in range(1, len(self.reads)):
            m = self.sizes[j]
            if j > 1:
                child = self.reads[j].of(space.values, space.scratch(0, m * units))
                out[: m * units].mul_(child)
                scales[:m].add_(self.scales[j].of(space.scales))
            more = self.sizes[j + 1] if j + 1 < len(self.sizes) else 0
            if more < m or j % 2 == 0:
                # Two roundings to zero at most: of the product, and of the scaling.
                rescale(out[: m * units].view(m, units, rows), scales[:m], 2 * self.lost)

    def down(self, space: Workspace, model, totals) -> None:
        """Children that others use too are added the flow; the rest read it where it is."""
        if not any(self.targets):
            return
        scratch = space.scratch(0, self.n * self.units)
        flow = self.flow.of(space.values, scratch)
        if self.flow.in_order:  # a view cannot be scattered into its own buffer
            flow = scratch.copy_(flow)
        for targets, n in zip(self.targets, self.sizes, strict=True):
            for chosen, rows, _ in targets:
                given = flow[: n * self.units]
                rows.add(space.values, given if chosen is None else chosen.of(given))
