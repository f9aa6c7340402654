"""Parameters as the kernels read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ...circuit import Parameters, Program
from .columns import LOG_SCALE
from .merged import pack_merged, pack_tables
from .plan import Plan


@dataclass
class Packed:
    """Arrays for the kernels, there from the start, and what fills them.

    Attributes
    ----------
    parameters : Parameters
    arrays : tuple
        Weights, tables of finite leaves, their scales, coefficients of the others.
    members : dict
        Of families over groups of columns.
    addresses : list of int
        Where the arrays lie.
    merged : list of ndarray
        What merged sums come to: see ``merged.py``.
    probabilities : dict of int to ndarray of shape (states, units)
        Of the finite families below merged sums.
    is_filled : bool
    """

    parameters: Parameters
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    addresses: list[int]
    members: dict[int, Any]
    merged: list[np.ndarray]
    probabilities: dict[int, np.ndarray] = field(default_factory=dict)
    is_filled: bool = False


class Packer:
    """Packs parameters of one program for its plan."""

    def __init__(self, program: Program, plan: Plan, dtype: np.dtype) -> None:
        self.program, self.plan, self.dtype = program, plan, dtype
        self._spare: list[tuple[Any, ...]] = []
        self._shapes = [(program.n_weights,)] + [
            (n, f.n_statistics) for f, n in zip(program.families, program.family_units, strict=True)
        ]

    def packed(self, parameters: Parameters | Packed) -> Packed:
        """Arrays for these parameters, still to be filled; packed ones as they are."""
        if isinstance(parameters, Packed):
            return parameters
        self._check(parameters)
        # What the kernels can read.
        weights = np.ascontiguousarray(parameters.weights, dtype=np.float64)
        if weights is not parameters.weights:
            parameters = Parameters(parameters.program, weights, parameters.leaves)
        members = self._members(parameters)
        try:
            arrays, addresses, merged = self._spare.pop()
        except IndexError:
            arrays, addresses, merged = self._empty()
        return Packed(parameters, arrays, addresses, members, merged)

    def _members(self, parameters: Parameters) -> dict[int, Any]:
        families = self.program.families
        return {f: families[f].members(parameters.leaves[f]) for f in self._group_families}

    def _empty(self):
        plan = self.plan
        arrays = (
            np.empty(self.program.n_weights, dtype=self.dtype),
            np.zeros(plan.n_packed_table, dtype=self.dtype),
            np.zeros(plan.n_log_scale),
            np.zeros(plan.n_packed_coefficients),
        )
        merged = [np.empty((len(g.sums), g.height, g.states + 1)) for g in plan.merged]
        return arrays, [a.ctypes.data for a in arrays], merged

    def take_back(self, model: Packed) -> None:
        """Use the arrays again for other parameters: memory costs more to get than to fill."""
        self._spare.append((model.arrays, model.addresses, model.merged))

    def fill(self, model: Packed) -> None:
        """Write the arrays, once."""
        if model.is_filled:
            return
        model.arrays[0][...] = model.parameters.weights
        self._fill_leaves(model)
        model.is_filled = True

    def refill(self, model: Packed, parameters: Parameters) -> None:
        """Go on to parameters whose weights are written already."""
        model.parameters = parameters
        model.members = self._members(parameters)
        self._fill_leaves(model)

    def _fill_leaves(self, model: Packed) -> None:
        parameters = model.parameters
        _, table, log2_scale, coefficients = model.arrays
        for leaf in self.plan.families:
            family, mean = self.program.families[leaf.family], parameters.leaves[leaf.family]
            if leaf.is_table:
                probability = np.ascontiguousarray(family.probabilities(mean), dtype=np.float64)
                places = self._table_places[leaf.family]
                tops = np.empty(family.n_states)
                pack_tables(probability, *places, tops, table[leaf.packed_start :], log2_scale)
                if leaf.family in self._merged_families:
                    model.probabilities[leaf.family] = np.ascontiguousarray(probability.T)
            else:
                natural = family.natural_parameters(mean)
                rows = np.column_stack([-family.log_partition(natural), natural])
                coefficients[leaf.packed_start : leaf.packed_start + rows.size] = rows.ravel()
        for group, values in zip(self.plan.merged, model.merged, strict=True):
            pack_merged(
                parameters.weights,
                group.weight_starts,
                group.width,
                model.probabilities[group.family],
                group.unit_starts,
                values,
                table[group.packed_start :],
                log2_scale[group.scale_start :],
            )

    def _check(self, parameters: Parameters) -> None:
        """The kernels read bare pointers, so wrong lengths must not reach them."""
        found = [a.shape for a in (parameters.weights, *parameters.leaves)]
        if found != self._shapes:
            raise ValueError(
                f"parameters have arrays of shapes {found}, but the program needs "
                f"{self._shapes}; use parameters of the same circuit."
            )

    @cached_property
    def _group_families(self) -> list[int]:
        families = enumerate(self.program.families)
        return [f for f, family in families if family.n_variables > 1]

    @cached_property
    def _merged_families(self) -> set[int]:
        return {group.family for group in self.plan.merged}

    @cached_property
    def _table_places(self) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """First and last unit of every input, and from where its scales are written."""
        found = {}
        for f, family in enumerate(self.program.families):
            if family.n_states is None:
                continue
            vectors = np.flatnonzero(self.program.family == f)
            starts, first = np.unique(self.program.unit_start[vectors], return_index=True)
            ends = np.append(starts[1:], self.program.family_units[f])
            found[f] = starts, ends, self.plan.instructions[vectors[first], LOG_SCALE]
        return found
