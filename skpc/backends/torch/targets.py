"""Where the flows go that a slot hands down, so that nobody writes where another one adds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from .plan import ADDED, DERIVATIVE, SAME, WRITTEN, Child, Plan
from .rows import Rows


class Target(NamedTuple):
    """A part of a slot: rows of what it hands down (all for None), and where they go."""

    chosen: Rows | None
    rows: Rows
    mode: int


def targets_of(plan: Plan, children: list[Child], device: torch.device) -> list[Target]:
    """Targets of a slot; children that occur twice are served one after the other."""
    rounds: dict[tuple[int, int], list[int]] = {}
    times: dict[int, int] = {}
    for i, child in enumerate(children):
        mode = plan.mode[child.vector]
        if mode == SAME:
            continue
        times[child.vector] = times.get(child.vector, -1) + 1
        rounds.setdefault((mode, times[child.vector]), []).append(i)
    found = []
    for (mode, _), members in rounds.items():
        units = len(children[members[0]].order)
        mine = np.concatenate([i * units + np.arange(units) for i in members])
        into = plan.flow_place if mode == ADDED else plan.place
        there = np.concatenate([into[children[i].vector][children[i].order] for i in members])
        chosen = None if len(members) == len(children) else Rows(mine, device)
        found.append(Target(chosen, Rows(there, device), mode))
    return found


def hand_down(
    targets: list[Target],
    buffer: torch.Tensor,
    derivative: torch.Tensor,
    values: torch.Tensor,
    is_view: bool,
) -> None:
    """Give children of a sum their flow, value times derivative, or the derivative itself.

    Parameters
    ----------
    targets : list of Target
    buffer : Tensor of shape (places, rows)
    derivative : Tensor of shape (n, rows)
        Overwritten.
    values : Tensor of shape (n, rows)
        The children's.
    is_view : bool
        Whether these are the buffer's own.
    """
    flows = []
    for target in targets:
        chosen, rows, mode = target
        if mode == DERIVATIVE:
            rows.put(buffer, derivative if chosen is None else chosen.of(derivative))
        elif mode == WRITTEN and chosen is None and is_view:
            values.mul_(derivative)
        else:
            flows.append(target)
    if flows:
        derivative.mul_(values)
    for chosen, rows, mode in flows:
        part = derivative if chosen is None else chosen.of(derivative)
        if mode == ADDED:
            rows.add(buffer, part)
        else:
            rows.put(buffer, part)
