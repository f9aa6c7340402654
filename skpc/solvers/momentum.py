"""Running means over batches: momentum of flows, and of gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..circuit import Statistics
from ..utils.arrays import full, namespace
from ..utils.numbers import is_number
from .base import SolverState

Arrays = dict[str, np.ndarray]


def running_mean(
    decay: float, new: Arrays, before: Arrays, share: float = 1.0
) -> tuple[Arrays, Arrays]:
    """M ← k M + (1 - k) x, and M / (1 - k^t): without the zeros that M began with.

    Parameters
    ----------
    decay : float
        k in [0, 1); 0 forgets everything.
    new : dict of str to ndarray
        x, means over a batch.
    before : dict of str to ndarray
        What the last call returned to be kept, empty at first.
    share : float
        Part of a batch that x stands for, which then counts by 1 - k^share.

    Returns
    -------
    means, kept : dict of str to ndarray
    """
    if decay == 0:
        return new, {}
    log_decay = share * math.log(decay)
    old_part, new_part = math.exp(log_decay), -math.expm1(log_decay)
    kept = {
        name: new_part * x + old_part * before[name] if before else new_part * x
        for name, x in new.items()
    }
    # The weight that the zeros of the start still have.
    like = next(iter(new.values()))
    log_start = before.get("log_start_weight", full(like, 1, 0.0)) + log_decay
    correction = -1 / namespace(log_start).expm1(log_start)
    return {name: correction * x for name, x in kept.items()}, kept | {
        "log_start_weight": log_start
    }


def with_momentum(
    momentum: float, state: SolverState, statistics: Statistics
) -> tuple[Statistics, Arrays]:
    """Bias-corrected running means of mean flows, and the arrays that carry them.

    §5.1 of Liu, Shao and Van den Broeck, arXiv 2505.19982. Of means, so that a short last batch
    weighs no more than its rows repeated; the first one is the batch's own.
    """
    if momentum == 0:
        return statistics, {}
    new = {"flows": statistics.flows}
    new |= {f"leaves_{i}": leaf for i, leaf in enumerate(statistics.leaves)}
    means, kept = running_mean(momentum, new, state.arrays, state.share)
    averaged = Statistics(
        statistics.log_likelihood,
        statistics.weight,
        means["flows"],
        [means[f"leaves_{i}"] for i in range(len(statistics.leaves))],
    )
    return averaged, kept


def check_decay(solver: Any, *names: str) -> None:
    """Refuse decays outside [0, 1)."""
    for name in names:
        value = getattr(solver, name)
        if not is_number(value) or not 0 <= float(value) < 1:
            raise ValueError(f"{name}={value!r} must be a number in [0, 1).")
