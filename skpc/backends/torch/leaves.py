"""Layers of inputs: tables, exponential families, and densities that a family computes itself.

One class a form; which families have it, :func:`make_leaves` says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from ...circuit import Parameters
from ...utils.arrays import of_family, to_numpy
from .plan import Layer, Plan
from .rows import Blocks, Rows
from .workspace import ABSOLUTE, EXPONENT, RELATIVE, Workspace

LOG2E = 1.4426950408889634
#: Up to so many states a look-up is a product with one-hot cells: 0.15 ms + 0.18 ms against 0.48 ms
#: for a gather of 20 inputs of 32 units and 512 rows on a CPU.
ONE_HOT_STATES = 8
#: Numbers in one-hot cells that are held at once, 64 MB of float32.
ONE_HOT_NUMBERS = 1 << 24
#: As in the numba backend: differences to the largest log density must be numbers.
LEAST_LOG = -1e290


class Leaves(ABC):
    """A layer of inputs of one family and length."""

    def __init__(
        self, plan: Plan, layer: Layer, number: int, lost: float, device: torch.device
    ) -> None:
        program = plan.program
        self.number, self.units, self.start = number, layer.units, layer.start
        self.n, self.scale_start = len(layer.vectors), layer.scale_start
        self.vectors = layer.vectors
        self.lost, self.device = lost, device
        self.f = int(program.family[layer.vectors[0]])
        self.family = program.families[self.f]
        self.columns = np.array([program.columns[v] for v in layer.vectors.tolist()])
        starts = program.unit_start[layer.vectors]
        #: First unit of every set of parameters; tied inputs have one in common.
        self.owners = np.array(list(dict.fromkeys(starts.tolist())))
        at = {start: i for i, start in enumerate(self.owners.tolist())}
        self.blocks = Blocks(np.array([at[start] for start in starts.tolist()]), device)
        self.family_units = self.owners[:, None] + np.arange(self.units)
        self._indices: dict[torch.device, torch.Tensor] = {}
        flow = np.concatenate([plan.flow_place[v] for v in layer.vectors.tolist()])
        self.flow = Rows(flow, device)

    def _unit_index(self, device: torch.device) -> torch.Tensor:
        """(owners, units) in the family's array."""
        if device not in self._indices:
            self._indices[device] = torch.from_numpy(self.family_units).to(device)
        return self._indices[device]

    @abstractmethod
    def pack(self, parameters: Parameters, dtype: torch.dtype) -> Any:
        """The layer's parameters on the device, as the other methods take them."""

    #: Whether ``encode`` reads nothing but what is on the device.
    reads_codes: ClassVar[bool] = False

    @abstractmethod
    def encode(self, X: Any, on_device: torch.Tensor | None, packed: Any) -> Any:
        """The cells that the layer reads, on the device; ``on_device`` are all cells there."""

    @abstractmethod
    def up(self, space: Workspace, packed: Any, cells: Any) -> None:
        """Values over the largest of each row, and scales."""

    @abstractmethod
    def zeros(self, dtype: torch.dtype) -> torch.Tensor:
        """Room for what ``down`` adds up."""

    @abstractmethod
    def down(self, space: Workspace, packed: Any, cells: Any, total: torch.Tensor, X) -> None:
        """Add up the flows."""

    @abstractmethod
    def collect(self, total: torch.Tensor, out: torch.Tensor) -> None:
        """Add a total to the family's flow statistics (units, 1 + S)."""

    def _write_scales(self, space: Workspace, log2_scale: torch.Tensor) -> None:
        scales = space.scales[self.scale_start : self.scale_start + self.n]
        scales[:, EXPONENT] = log2_scale
        scales[:, RELATIVE].zero_()
        scales[:, ABSOLUTE].fill_(self.lost)

    def _values(self, space: Workspace) -> torch.Tensor:
        values = space.values[self.start : self.start + self.n * self.units]
        return values.view(self.n, self.units, space.rows)

    def _flows(self, space: Workspace, scratch: int = 0) -> torch.Tensor:
        flow = self.flow.of(space.values, space.scratch(scratch, self.n * self.units))
        return flow.view(self.n, self.units, space.rows)


class Table(NamedTuple):
    """Values (owners, units, states + 2) over their largest, and log2 of that a state."""

    values: torch.Tensor
    log2_scale: torch.Tensor


class TableLeaves(Leaves):
    """Finite families: one value a (unit, state), state S for a missing cell and S + 1 outside."""

    reads_codes: ClassVar[bool] = True

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self.n_states = self.family.n_states
        self.variables = torch.from_numpy(self.columns[:, 0].copy()).to(self.device)
        self._part = max(1, ONE_HOT_NUMBERS // (self.n_states + 1))
        statistics = self.family.statistics(np.arange(self.n_states, dtype=float)).T
        self._state_statistics = torch.from_numpy(np.ascontiguousarray(statistics)).to(self.device)

    def pack(self, parameters: Parameters, dtype: torch.dtype) -> Table:
        mean = parameters.leaves[self.f]
        probability = of_family(self.family, self.family.probabilities, mean)
        probability = probability[self._unit_index(mean.device)].to(self.device)
        states = self.n_states
        top = probability.amax(1)
        top.masked_fill_(top == 0, 1.0)
        values = probability.new_zeros(len(self.owners), self.units, states + 2)
        torch.div(probability, top[:, None], out=values[:, :, :states])
        values[:, :, states].fill_(1.0)
        log2_scale = probability.new_zeros(len(self.owners), states + 2)
        log2_scale[:, :states] = torch.log2(top)
        return Table(values.to(dtype), log2_scale)

    def encode(self, X: Any, on_device: torch.Tensor | None, packed: Any) -> torch.Tensor:
        """Codes (inputs, rows)."""
        assert on_device is not None
        x = on_device[:, self.variables].T
        if not x.is_floating_point():
            x = x.long()  # 257 is no uint8
            return torch.where((x >= 0) & (x < self.n_states), x, self.n_states + 1)
        inside = (x >= 0) & (x < self.n_states) & (x == x.floor())
        code = torch.where(torch.isnan(x), self.n_states, self.n_states + 1)
        return torch.where(inside, x, code).long()

    def up(self, space: Workspace, packed: Table, cells: torch.Tensor) -> None:
        """Look every cell up."""
        values, table = self._values(space), self.blocks.of(packed.values)
        for part in self._parts(space.rows):
            if self.n_states <= ONE_HOT_STATES:
                # A cell outside the support is no state: all its products are zero.
                torch.bmm(
                    table[part, :, : self.n_states + 1],
                    self._one_hot(cells[part], values.dtype, self.n_states + 1),
                    out=values[part],
                )
            else:
                index = cells[part, None].expand(values[part].shape)
                torch.gather(table[part], 2, index, out=values[part])
        self._write_scales(space, torch.gather(self.blocks.of(packed.log2_scale), 1, cells))

    def _parts(self, n_rows: int):
        """Inputs that are looked at together."""
        step = max(1, self._part // n_rows)
        for i in range(0, self.n, step):
            yield slice(i, i + step)

    def _one_hot(self, codes: torch.Tensor, dtype: torch.dtype, n_states: int) -> torch.Tensor:
        """(inputs, states, rows)."""
        states = torch.arange(n_states, device=codes.device)
        return (codes[:, None] == states[:, None]).to(dtype)

    def zeros(self, dtype: torch.dtype) -> torch.Tensor:
        shape = (len(self.owners), self.units, self.n_states)
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def down(self, space: Workspace, packed: Table, cells, total: torch.Tensor, X) -> None:
        """Flows by state: a product with one-hot cells, so that nobody adds where another does."""
        flows = self._flows(space)
        whole = self.blocks.unique is None and self.blocks.rows.in_order
        counted = total if whole else total.new_zeros(self.n, self.units, self.n_states)
        for part in self._parts(space.rows):
            one_hot = self._one_hot(cells[part], flows.dtype, self.n_states)
            counted[part].baddbmm_(flows[part], one_hot.transpose(1, 2))
        if not whole:
            self.blocks.add(total, counted)

    def collect(self, total: torch.Tensor, out: torch.Tensor) -> None:
        units = self._unit_index(out.device)
        out[units, 0] += total.sum(2)
        out[units, 1:] += total @ self._state_statistics.to(out.device)


class ExponentialLeaves(Leaves):
    """exp of coefficients times statistics, in float64 logarithms."""

    def pack(self, parameters: Parameters, dtype: torch.dtype) -> torch.Tensor:
        """Coefficients (owners, units, 1 + S): minus the log partition, natural parameters."""
        mean = parameters.leaves[self.f]
        natural = of_family(self.family, self.family.natural_parameters, mean)
        less = of_family(self.family, self.family.log_partition, natural)
        rows = torch.column_stack([-less, natural])
        return rows[self._unit_index(mean.device)].to(self.device)

    def encode(self, X: np.ndarray, on_device, packed) -> Any:
        """Base measure (inputs, rows), and whether the cell is there and its statistics."""
        x = np.asarray(X.T[self.columns[:, 0]], dtype=np.float64)
        terms = np.concatenate([~np.isnan(x)[None], self.family.statistics(x)]).swapaxes(0, 1)
        base = np.asarray(self.family.log_base_measure(x), dtype=np.float64)
        return (
            torch.from_numpy(base).to(self.device),
            torch.from_numpy(np.ascontiguousarray(terms)).to(self.device),
        )

    def up(self, space: Workspace, packed: torch.Tensor, cells) -> None:
        base, terms = cells
        log_density = torch.bmm(self.blocks.of(packed), terms)
        top = log_density.amax(1).clamp_min_(LEAST_LOG)
        log_density.sub_(top[:, None])
        self._values(space).copy_(log_density.exp_())
        self._write_scales(space, (top + base) * LOG2E)

    def zeros(self, dtype: torch.dtype) -> torch.Tensor:
        shape = (len(self.owners), self.units, 1 + self.family.n_statistics)
        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def down(self, space: Workspace, packed, cells, total: torch.Tensor, X) -> None:
        """Flow statistics are products in float64: large statistics cancel later."""
        flows = self._flows(space).double()
        self.blocks.add_product(total, flows, cells[1].transpose(1, 2))

    def collect(self, total: torch.Tensor, out: torch.Tensor) -> None:
        out[self._unit_index(out.device)] += total


class GivenLeaves(ExponentialLeaves):
    """Groups of columns: the family computes densities and flow statistics, on the host."""

    def pack(self, parameters: Parameters, dtype: torch.dtype) -> Any:
        """Members of the family of every input."""
        members = self.family.members(to_numpy(parameters.leaves[self.f]))
        sets = [type(members)(*(part[units] for part in members)) for units in self.family_units]
        return [sets[i] for i in self._owner_of]

    @property
    def _owner_of(self) -> list[int]:
        places = self.blocks.rows
        if places.index is not None:
            return places.index.tolist()
        return list(range(places.start, places.start + places.n))

    def encode(self, X: np.ndarray, on_device, packed) -> Any:
        """Log densities (inputs, units, rows)."""
        rows = [
            self.family.member_log_density(members, np.asarray(X[:, columns], dtype=np.float64))
            for columns, members in zip(self.columns, packed, strict=True)
        ]
        return torch.from_numpy(np.maximum(np.stack(rows), LEAST_LOG)).to(self.device)

    def up(self, space: Workspace, packed, cells: torch.Tensor) -> None:
        top = cells.amax(1)
        self._values(space).copy_((cells - top[:, None]).exp_())
        self._write_scales(space, top * LOG2E)

    def down(self, space: Workspace, packed, cells, total: torch.Tensor, X) -> None:
        """Flows go to the family, which knows what absent cells are expected to be."""
        flows = self._flows(space).double().cpu().numpy()
        for i, (columns, members) in enumerate(zip(self.columns, packed, strict=True)):
            cells = np.asarray(X[:, columns], dtype=np.float64)
            mine = self.family.member_flow_statistics(members, cells, flows[i])
            total[self._owner_of[i]] += torch.from_numpy(mine).to(self.device)


def make_leaves(plan: Plan, layer: Layer, number: int, lost: float, device: torch.device) -> Leaves:
    """The layer that serves a family."""
    family = plan.program.families[int(plan.program.family[layer.vectors[0]])]
    if family.n_variables > 1:
        return GivenLeaves(plan, layer, number, lost, device)
    kind = ExponentialLeaves if family.n_states is None else TableLeaves
    return kind(plan, layer, number, lost, device)
