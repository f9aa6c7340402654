"""Layers of weighted sums: dense and in blocks, elementwise, and over Kronecker products."""

from __future__ import annotations

import numpy as np
import torch

from .matmul import add_bmm, bmm
from .plan import DERIVATIVE, Layer, Plan
from .rows import Blocks, Rows
from .scales import factors, rescale
from .targets import hand_down, targets_of
from .workspace import EXPONENT, Model, Totals, Workspace


class SumLayer:
    """Block by block a matrix product; sums over several children bring these to one scale."""

    def __init__(self, plan: Plan, layer: Layer, lost: float, device: torch.device) -> None:
        self.units, self.start = layer.units, layer.start
        self.scale_start, self.n = layer.scale_start, len(layer.vectors)
        self.measured = layer.measured
        self.lost = lost
        vectors = layer.vectors.tolist()
        slots = plan.slots[vectors[0]]
        self.sizes = [slot.n for slot in slots]
        self.shapes = [slot.children[0][2:5] for slot in slots]
        self.banks = [slot.children[0].bank for slot in slots]
        self.reads = [
            Rows(np.concatenate([plan.place[c.vector][c.order] for c in slot.children]), device)
            for slot in slots
        ]
        self.scales = [
            Rows(np.array([plan.scale[c.vector] for c in slot.children]), device) for slot in slots
        ]
        self.blocks = [
            Blocks(plan.bank_places(slot), device)
            for slot in slots
            if slot.children[0].offsets  # both factors of a Kronecker product have one matrix
        ]
        self.targets = [targets_of(plan, slot.children, device) for slot in slots]
        #: None where the sum above has left the derivative in place of the values.
        self.flow = None
        if plan.mode[vectors[0]] != DERIVATIVE:
            flow = np.concatenate([plan.flow_place[v] for v in vectors])
            self.flow = Rows(flow, device)
        rows = [plan.program.row_start[v] + np.arange(self.units) for v in vectors]
        #: Normaliser row of every unit.
        self.normaliser = torch.from_numpy(np.concatenate(rows)).to(device)

    @property
    def _direct(self) -> bool:
        return len(self.reads) == 1

    # -- up -----------------------------------------------------------------------------

    def up(self, space: Workspace, model: Model) -> None:
        """Values, and scales where they are measured."""
        n, rows = self.n, space.rows
        out = space.values[self.start : self.start + n * self.units]
        if self.measured:
            scales = space.scales[self.scale_start : self.scale_start + n]
            scales.copy_(self.scales[0].of(space.scales))
            # The largest exponent of the children, and the larger bounds.
            for m, others in zip(self.sizes[1:], self.scales[1:], strict=True):
                torch.maximum(scales[:m], others.of(space.scales), out=scales[:m])
        for j, m in enumerate(self.sizes):
            child = self.reads[j].of(space.values, space.scratch(0, self.reads[j].n))
            child = child.view(m, -1, rows)
            if not self._direct:
                scaled = space.scratch(0, self.reads[j].n).view(child.shape)
                child = torch.mul(child, self._factor(space, j), out=scaled)
            self._add_up(j, space, model, child, out[: m * self.units])
        if self.measured:
            rescale(out.view(n, self.units, rows), scales, 2 * self.lost)

    def _factor(self, space: Workspace, j: int) -> torch.Tensor:
        """What brings the j-th children to the scale of the sums, (sums, 1, rows)."""
        own = space.scales[self.scale_start : self.scale_start + self.sizes[j], EXPONENT]
        theirs = self.scales[j].of(space.scales)[:, EXPONENT]
        return factors(theirs, own, space.values.dtype)[:, None]

    def _add_up(self, j: int, space: Workspace, model: Model, child, out) -> None:
        n_blocks, height, width = self.shapes[j]
        fold = self.sizes[j] * n_blocks
        weights = self.blocks[j].of(model.banks[self.banks[j]])
        child, out = child.view(fold, width, -1), out.view(fold, height, -1)
        if j == 0:
            bmm(weights, child, space.factors, out=out)
        else:
            add_bmm(out, weights, child, space.factors)

    # -- down ---------------------------------------------------------------------------

    def down(self, space: Workspace, model: Model, totals: Totals | None) -> None:
        """Edge flows without the factor θ, and the flows of the children."""
        above = self.derivative(space)
        for j, m in enumerate(self.sizes):
            part = above[: m * self.units]
            if self.measured:
                scaled = space.scratch(2, m * self.units)
                shape = (m, self.units, space.rows)
                torch.mul(part.view(shape), self._factor(space, j), out=scaled.view(shape))
                part = scaled
            child = self.reads[j].of(space.values, space.scratch(0, self.reads[j].n))
            below = self._hand_down(j, space, model, totals, part, child)
            hand_down(self.targets[j], space.values, below, child, self.reads[j].in_order)

    def derivative(self, space: Workspace) -> torch.Tensor:
        """∂ log p / ∂ value, flow / value, in place of the values; 0/0 is 0."""
        values = space.values[self.start : self.start + self.n * self.units]
        if self.flow is not None:
            flow = self.flow.of(space.values, space.scratch(0, values.shape[0]))
            values.clamp_min_(torch.finfo(values.dtype).tiny)
            torch.div(flow, values, out=values)
        return values

    def _hand_down(self, j: int, space: Workspace, model: Model, totals, above, child):
        """Add up the edge flows of the j-th children; the derivative by their values."""
        n_blocks, height, width = self.shapes[j]
        fold = self.sizes[j] * n_blocks
        above, child = above.view(fold, height, -1), child.view(fold, width, -1)
        bank = self.banks[j]
        if totals is not None:
            given = child.transpose(1, 2)
            self.blocks[j].add_product(totals.banks[bank], above, given, space.factors)
        weights = self.blocks[j].of(model.banks[bank])
        below = space.scratch(1, fold * width)
        bmm(weights.transpose(1, 2), above, space.factors, out=below.view(fold, width, -1))
        return below
