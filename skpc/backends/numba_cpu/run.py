"""Batches that are learnt one after the other in compiled code: what that needs, and keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...circuit import Parameters, Program, Statistics
from ...circuit.program import INPUT
from .. import base
from ..base import Mixing
from . import lines
from .packing import Packed, Packer
from .plan import Plan
from .sharing import Sharing
from .stepper import Stepper
from .steps import (
    BUT_FIRST,
    N_ACTIVE,
    N_SAID,
    SMALLEST,
    STAYS,
    STEPPED,
    WHOLE,
    Stepping,
    list_steps,
)

#: Batches that one call learns at most, and, where they are large, beyond so many rows times
#: weights and columns: they are held meanwhile, and an interrupt waits for the call.
MOST_BATCHES, FEW_BATCHES, MOST_WORK = 64, 16, 1 << 33


def is_simple(program: Program) -> bool:
    """Whether compiled code knows how the program is learnt: its leaves are tables of
    probabilities, and no two vectors have weights or leaves in common."""
    if any(family.n_states is None or not family.is_table for family in program.families):
        return False
    leaves = program.op == INPUT
    used = [
        program.row_start[program.row_start >= 0],
        program.family[leaves] * (1 << 40) + program.unit_start[leaves],
    ]
    return all(len(np.unique(places)) == len(places) for places in used)


class Run:
    """Parameters on their way through batches.

    Parameters
    ----------
    program : Program
    plan : Plan
    sharing : Sharing
    packer : Packer
    stepper : Stepper

    Attributes
    ----------
    arrays : Stepping
        Always the same.
    """

    def __init__(
        self, program: Program, plan: Plan, sharing: Sharing, packer: Packer, stepper: Stepper
    ) -> None:
        self.program, self._plan, self._packer = program, plan, packer
        merged = (group.height * group.width for group in plan.merged)
        self._most_weights = max(sharing.most_weights, *merged, 1)
        self.model: Packed = packer.empty()
        kinds = []
        for leaf in plan.families:
            family = program.families[leaf.family]
            whole = family.n_statistics == family.n_states
            kinds.append(STAYS if family.is_fixed else WHOLE if whole else BUT_FIRST)
        n_leaf_out = plan.n_leaf_out
        #: Whose smoothing lies here, in a list; nothing is known of it otherwise.
        self._smoothed: list[Statistics | None] = []
        model = self.model
        reach, messages = stepper.new_scratch()
        #: Weights that lie here, those that the next batches lead to, and where both are.
        self._weights: np.ndarray = np.zeros(0)
        self._new: np.ndarray = self._weights
        self._lender = lines.Lender(program.n_weights)
        self.weights_at = np.zeros(2, dtype=np.int64)
        of_scopes = list_steps(program, plan, packer.layout, sharing.scopes, sharing.scope_of)
        says = np.zeros(N_SAID)
        says[SMALLEST], says[N_ACTIVE] = base.SMALLEST, len(of_scopes.order)
        self.arrays = Stepping(
            stepper.circuit,
            tuple(of_scopes),
            tuple(packer.layout),
            np.array(kinds, dtype=np.int64),
            lines.zeros(program.n_rows),
            lines.zeros(n_leaf_out),
            self.weights_at,
            None,
            lines.zeros(n_leaf_out),
            (*model.arrays[:3], model.by_state, model.values),
            lines.zeros(n_leaf_out),
            reach,
            messages,
            says,
        )
        #: For ``take_step``.
        self.told = np.zeros(STEPPED + len(sharing.scopes), dtype=np.int64)
        self.steps = np.zeros((MOST_BATCHES, 3))
        self.results = np.zeros((MOST_BATCHES, 2))
        #: Parameters that were read out last, which are those that lie here.
        self._known: Parameters | None = None

    def own_space(self) -> tuple[np.ndarray, ...]:
        """Scratch for one thread: see ``step_scope``."""
        most_states, most_units = self._packer.layout.widest
        sizes = 2 * (most_states + 1), most_states * most_units, most_states
        n, dtype = self._most_weights, self._packer.dtype
        # Lanes that lie a power of two apart would have the same places in the caches.
        apart = (n // lines.FLOATS + 1 | 1) * lines.FLOATS
        slopes = lines.zeros((2, apart), dtype)
        return *(lines.zeros(size) for size in sizes), slopes, lines.zeros(n, dtype)

    def begin(
        self,
        parameters: Parameters,
        mixings: Sequence[Mixing],
        rows_more: np.ndarray,
        smoothing: Statistics | None,
    ) -> None:
        """Go on from these parameters, with these steps."""
        # An interrupt must not leave something half written that passes for known.
        known, self._known = self._known, None
        if known is not parameters:
            self._take(parameters)
        if self._smoothed != [smoothing]:
            self._smoothed = []
            self.arrays.rows_more[:] = rows_more
            self._smooth_tables(smoothing)
            self._smoothed = [smoothing]
        for step, mixing in zip(self.steps, mixings):
            step[:] = 1.0 - mixing.step, mixing.step, mixing.by_top_down
        # The first batch writes to a new array, where the others go on: so nothing is copied, and
        # what was handed out stays.
        self._new = self._lender.lend()
        self.weights_at[:] = self._weights.ctypes.data, self._new.ctypes.data

    def read(self) -> Parameters:
        """The parameters that the batches led to, one at least."""
        leaves = []
        for leaf in self._plan.families:
            table = self.arrays.chances[self._part(leaf)].reshape(-1, leaf.n_terms)
            means = self.program.families[leaf.family].mean_from_probabilities(table)
            leaves.append((leaf.family, np.array(means)))
        found = [means for _, means in sorted(leaves, key=lambda pair: pair[0])]
        self._weights = self._new
        self._known = Parameters(self.program, self._weights, found)
        return self._known

    def forget(self) -> None:
        """What lies here is of no use any more."""
        self._known = None

    def _take(self, parameters: Parameters) -> None:
        self._packer.check(parameters)
        model = self.model
        model.parameters, model.is_filled = parameters, False
        self._packer.fill(model)
        self._weights = np.ascontiguousarray(parameters.weights, dtype=np.float64)
        self.arrays.chances[:] = model.chances

    def _smooth_tables(self, smoothing: Statistics | None) -> None:
        more = self.arrays.leaves_more
        more[:] = 0.0
        if smoothing is None:
            return
        for leaf in self._plan.families:
            added = smoothing.leaves[leaf.family]
            rate = added[:, :1]
            means = added[:, 1:] / np.where(rate > 0, rate, 1.0)
            table = self.program.families[leaf.family].probabilities(means)
            more[self._part(leaf)] = (rate * table).ravel()

    def _part(self, leaf: Any) -> slice:
        units = self.program.family_units[leaf.family]
        return slice(leaf.out_start, leaf.out_start + units * leaf.n_terms)
