"""Weights that need not sum to one, on tensors: partition functions, and the gradient in logs.

The same passes over all weights as in the numba backend, a fold at a time, in float64.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch

from ...circuit import Program
from .banks import Banks
from .mixing import KroneckerLayer, MixingLayer
from .passes import Passes
from .plan import Plan
from .products import ProductLayer
from .scales import LN2
from .sums import SumLayer
from .workspace import EXPONENT, Model, Workspace


class WeightPasses:
    """Passes over the weights of a program without shared ones.

    Parameters
    ----------
    program : Program
    device : torch.device
    """

    def __init__(self, program: Program, device: torch.device) -> None:
        plan = Plan(program)
        passes = Passes(plan, torch.float64, device)
        self._layers = passes.layers
        self._space = Workspace(plan, 1, torch.float64, device)
        self._banks = Banks(plan, device)
        self._n_values = plan.n_values
        scale = [plan.scale[v] for x in (*plan.layers, *plan.inputs) for v in x.vectors.tolist()]
        units = [plan.place[v] for x in (*plan.layers, *plan.inputs) for v in x.vectors.tolist()]
        self._scale = torch.empty(plan.n_values, dtype=torch.int64)
        for number, places in zip(scale, units, strict=True):
            self._scale[torch.from_numpy(places)] = number
        self._scale = self._scale.to(device)

    def _read(self, flat: torch.Tensor) -> dict:
        return self._banks.read(flat, torch.float64, flat.device)

    def log_partitions(self, banks: dict) -> torch.Tensor:
        """log Z of every unit, by its place; inputs integrate to one."""
        space = self._space
        space.values.fill_(1.0)
        space.scales.zero_()
        for layer in self._layers:
            layer.up(space, Model(banks, []))
        return (
            torch.log(space.values[: self._n_values, 0])
            + LN2 * (space.scales[self._scale, EXPONENT, 0])
        )

    def renormalised(self, weights: torch.Tensor) -> torch.Tensor:
        """θ_nc Z_c / Z_n; zeros for a unit without mass."""
        banks = self._read(weights)
        z = self.log_partitions(banks)
        new = {key: torch.zeros_like(bank) for key, bank in banks.items()}
        for layer in self._layers:
            if isinstance(layer, ProductLayer):
                continue
            for j, blocks in enumerate(layer.blocks):
                old = blocks.of(banks[layer.banks[j]])
                change = _of_children(layer, j, z) - _of_sums(layer, j, z)
                # Logarithms, for a ratio beyond the range comes with a weight next to zero.
                log_new = torch.log(old) + torch.where(torch.isnan(change), -torch.inf, change)
                blocks.add(new[layer.banks[j]], torch.exp(log_new))
        out = torch.empty_like(weights)
        self._banks.write(new, out)
        return out

    def gradient(self, weights, flows, row_flows) -> torch.Tensor:
        """flows_nc - θ_nc T_n: see ``log_weight_gradient`` of the numba backend."""
        banks, flow = self._read(weights), self._read(flows)
        slopes = {key: torch.zeros_like(bank) for key, bank in banks.items()}
        less = weights.new_zeros(self._n_values)
        for layer in reversed(self._layers):
            n = layer.n * layer.units
            own = less[layer.start : layer.start + n]
            if isinstance(layer, ProductLayer):
                for reads, size in zip(layer.reads, layer.sizes, strict=True):
                    reads.add(less, own[: size * layer.units].clone())
                continue
            use = row_flows[layer.normaliser] + own
            for j, blocks in enumerate(layer.blocks):
                key = layer.banks[j]
                slope = blocks.of(flow[key]) - _of_sums(layer, j, use, 0) * blocks.of(banks[key])
                blocks.add(slopes[key], slope)
                _take_from_children(layer, j, less, slope)
        out = torch.empty_like(weights)
        self._banks.write(slopes, out)
        return out


def _of_sums(layer: SumLayer, j: int, values: torch.Tensor, start: int | None = None):
    """A value a unit of the sums, to go with the rows of the j-th children's matrices."""
    start = layer.start if start is None else start
    mine = values[start : start + layer.sizes[j] * layer.units]
    n_blocks, height, _ = layer.shapes[j]
    return mine.view(layer.sizes[j] * n_blocks, height, 1)


def _of_children(layer: SumLayer, j: int, z: torch.Tensor) -> torch.Tensor:
    """A logarithm a unit of the j-th children, to go with the columns of their matrices."""
    n_blocks, _, width = layer.shapes[j]
    if isinstance(layer, KroneckerLayer):
        a, b = (reads.of(z).view(layer.n, -1) for reads in layer.reads)
        return (a[:, :, None] + b[:, None]).view(layer.n, 1, -1)
    if isinstance(layer, MixingLayer):
        return layer.reads[j].of(z).view(layer.sizes[j], -1, 1)
    return layer.reads[j].of(z).view(layer.sizes[j] * n_blocks, 1, width)


def _take_from_children(layer: SumLayer, j: int, less: torch.Tensor, slope: torch.Tensor) -> None:
    """Subtract what the edges into the j-th children add up to."""
    if isinstance(layer, KroneckerLayer):
        pairs = slope.sum(1).view(layer.n, layer.shapes[0][2], layer.shapes[1][2])
        layer.reads[0].add(less, -pairs.sum(2).flatten())
        layer.reads[1].add(less, -pairs.sum(1).flatten())
    elif isinstance(layer, MixingLayer):
        layer.reads[j].add(less, -slope.flatten())
    else:
        layer.reads[j].add(less, -slope.sum(1).flatten())


_known: WeakKeyDictionary[Program, dict[torch.device, WeightPasses]] = WeakKeyDictionary()


def passes_of(program: Program, device: torch.device) -> WeightPasses:
    """The passes of a program, made once for every device."""
    known = _known.setdefault(program, {})
    if device not in known:
        known[device] = WeightPasses(program, device)
    return known[device]
