"""Parameters as the kernels read them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...circuit import Parameters, Program
from ...utils.lazy import lazy
from . import lines
from .plan import Plan
from .tables import lay_out_tables, pack_tables


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
    chances, by_state, values : ndarray
        Probabilities of finite leaves, twice, and what merged sums come to: see ``tables.py``.
    is_filled : bool
    """

    parameters: Parameters
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    addresses: list[int]
    members: dict[int, Any]
    chances: np.ndarray
    by_state: np.ndarray
    values: np.ndarray
    is_filled: bool = False

    def merged(self, plan: Plan) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of every group of merged sums the probabilities (units, states) of the leaves below, and
        what the sums come to, (sums, height, states + 1)."""
        starts = {leaf.family: leaf.out_start for leaf in plan.families}
        at = 0
        for group in plan.merged:
            n_units = self.parameters.program.family_units[group.family]
            first, size = starts[group.family], n_units * group.states
            shape = len(group.sums), group.height, group.states + 1
            values = self.values[at : at + math.prod(shape)].reshape(shape)
            at += values.size
            yield self.chances[first : first + size].reshape(n_units, -1), values


class Packer:
    """Packs parameters of one program for its plan."""

    def __init__(self, program: Program, plan: Plan, dtype: np.dtype) -> None:
        self.program, self.plan, self.dtype = program, plan, dtype
        #: Of tables and merged sums.
        self.layout = lay_out_tables(program, plan)
        self._spare: list[tuple[Any, ...]] = []
        self._shapes = [(program.n_weights,)] + [
            (n, f.n_statistics) for f, n in zip(program.families, program.family_units, strict=True)
        ]

    def packed(self, parameters: Parameters | Packed) -> Packed:
        """Arrays for these parameters, still to be filled; packed ones as they are."""
        if isinstance(parameters, Packed):
            return parameters
        self.check(parameters)
        # What the kernels can read.
        weights = np.ascontiguousarray(parameters.weights, dtype=np.float64)
        if weights is not parameters.weights:
            parameters = Parameters(parameters.program, weights, parameters.leaves)
        members = self._members(parameters)
        try:
            arrays, addresses, tables = self._spare.pop()
        except IndexError:
            arrays, addresses, tables = self._empty()
        return Packed(parameters, arrays, addresses, members, *tables)

    def _members(self, parameters: Parameters) -> dict[int, Any]:
        families = self.program.families
        return {f: families[f].members(parameters.leaves[f]) for f in self._group_families}

    def empty(self) -> Packed:
        """Arrays of nothing yet, which are not taken back."""
        arrays, addresses, tables = self._empty()
        nothing = Parameters(self.program, np.zeros(0), [])
        return Packed(nothing, arrays, addresses, {}, *tables)

    def _empty(self):
        plan = self.plan
        arrays = (
            lines.empty(self.program.n_weights, dtype=self.dtype),
            lines.zeros(plan.n_packed_table, dtype=self.dtype),
            lines.zeros(plan.n_log_scale),
            lines.zeros(plan.n_packed_coefficients),
        )
        tables = *lines.zeros((2, plan.n_leaf_out)), lines.zeros(self.layout.n_values)
        return arrays, [a.ctypes.data for a in arrays], tables

    def take_back(self, model: Packed) -> None:
        """Use the arrays again for other parameters: memory costs more to get than to fill."""
        tables = model.chances, model.by_state, model.values
        self._spare.append((model.arrays, model.addresses, tables))

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
                probability = family.probabilities(mean)
                here = slice(leaf.out_start, leaf.out_start + probability.size)
                model.chances[here].reshape(probability.shape)[...] = probability
            else:
                natural = family.natural_parameters(mean)
                rows = np.column_stack([-family.log_partition(natural), natural])
                coefficients[leaf.packed_start : leaf.packed_start + rows.size] = rows.ravel()
        pack_tables(
            self.layout,
            parameters.weights,
            model.chances,
            model.by_state,
            model.values,
            lines.empty(self.layout.widest[0]),
            table,
            log2_scale,
        )

    def check(self, parameters: Parameters) -> None:
        """The kernels read bare pointers, so wrong lengths must not reach them."""
        found = [a.shape for a in (parameters.weights, *parameters.leaves)]
        if found != self._shapes:
            raise ValueError(
                f"parameters have arrays of shapes {found}, but the program needs "
                f"{self._shapes}; use parameters of the same circuit."
            )

    @lazy
    def _group_families(self) -> list[int]:
        families = enumerate(self.program.families)
        return [f for f, family in families if family.n_variables > 1]
