"""Batches that are learnt one after the other in compiled code: what that needs, and keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...circuit import Parameters, Program, Statistics
from ..base import SMALLEST, Mixing
from .finish import BUT_FIRST, FINISHED, PLACE, STAYS, WHOLE
from .packing import Packed, Packer
from .plan import Plan
from .stepper import Stepper

#: Batches that one call learns at most.
MOST_BATCHES = 16


def is_simple(program: Program) -> bool:
    """Whether compiled code knows how leaves are learnt: each is a table of probabilities."""
    return all(family.n_states is not None and family.is_table for family in program.families)


class Run:
    """Parameters on their way through batches; leaves have two places that take turns.

    Parameters
    ----------
    program : Program
    plan : Plan
    packer : Packer
    stepper : Stepper

    Attributes
    ----------
    arrays : tuple
        For ``finish.py``, always the same.
    here : int
        The place where the parameters are.
    """

    def __init__(self, program: Program, plan: Plan, packer: Packer, stepper: Stepper) -> None:
        self.program, self._plan, self._packer = program, plan, packer
        self._stepper = stepper
        self.here = 0
        self.model: Packed = packer.empty()
        self._units = np.concatenate([[0], np.cumsum(program.family_units)])
        kinds = []
        for leaf in plan.families:
            family = program.families[leaf.family]
            whole = family.n_statistics == family.n_states
            kind = STAYS if family.is_fixed else WHOLE if whole else BUT_FIRST
            kinds.append((kind, self._units[leaf.family]))
        n_leaf_out = plan.n_leaf_out
        self._places = (
            np.zeros(program.n_weights),
            np.zeros((2, n_leaf_out)),
            np.zeros((2, program.n_rows)),
            np.zeros((2, int(self._units[-1]))),
        )
        self._smoothing = np.zeros(program.n_rows), np.zeros(n_leaf_out)
        #: Whose smoothing lies here, in a list; nothing is known of it otherwise.
        self._smoothed: list[Statistics | None] = []
        model = self.model
        reach, messages, team = stepper.new_scratch()
        self.arrays = (
            stepper.circuit,
            tuple(packer.layout),
            np.array(kinds, dtype=np.int64).reshape(-1, 2),
            self._smoothing,
            self._places,
            (*model.arrays[:3], model.by_state, model.values),
            (np.zeros(n_leaf_out), reach, messages),
            (np.zeros(FINISHED + 16, dtype=np.int64), team, np.zeros(PLACE + 1)),
            SMALLEST,
        )
        self.steps = np.zeros((MOST_BATCHES, 3))
        self.results = np.zeros((MOST_BATCHES, 2))
        #: Parameters that were read out last, which are those that lie here.
        self._known: Parameters | None = None

    def own_space(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scratch for one thread."""
        most_states, most_units, _ = self._packer.layout.widest
        sizes = most_states + 1, most_states * most_units, most_states
        return np.zeros(sizes[0]), np.zeros(sizes[1]), np.zeros(sizes[2])

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
            self._smoothing[0][:] = rows_more
            self._smooth_tables(smoothing)
            self._smoothed = [smoothing]
        for step, mixing in zip(self.steps, mixings):
            step[:] = 1.0 - mixing.step, mixing.step, mixing.by_top_down

    def read(self) -> Parameters:
        """The parameters that the batches led to."""
        weights, chances, _, _ = self._places
        leaves = []
        for leaf in self._plan.families:
            table = chances[self.here, self._part(leaf)].reshape(-1, leaf.n_terms)
            means = self.program.families[leaf.family].mean_from_probabilities(table)
            leaves.append((leaf.family, np.array(means)))
        found = [means for _, means in sorted(leaves, key=lambda pair: pair[0])]
        self._known = Parameters(self.program, weights.copy(), found)
        return self._known

    def forget(self) -> None:
        """What lies here is of no use any more."""
        self._known = None

    def _take(self, parameters: Parameters) -> None:
        self._packer.check(parameters)
        weights, chances, rows, leaves = self._places
        model, here = self.model, self.here
        model.parameters, model.is_filled = parameters, False
        self._packer.fill(model)
        weights[:] = parameters.weights
        chances[here] = model.chances
        found = self._stepper.top_down(parameters)
        rows[here] = found.rows
        leaves[here] = np.concatenate(found.leaves)

    def _smooth_tables(self, smoothing: Statistics | None) -> None:
        more = self._smoothing[1]
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
