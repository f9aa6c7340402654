"""Parameters, statistics and the arrays of a solver as tensors, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...circuit import Parameters, Statistics
from ...utils.arrays import to_numpy
from ..base import TopDown


def mapped(thing: Any, change: Callable[[Any], Any]) -> Any:
    """The same with every array changed; None stays None."""
    if thing is None:
        return None
    if isinstance(thing, Parameters):
        leaves = [change(mean) for mean in thing.leaves]
        return Parameters(thing.program, change(thing.weights), leaves)
    if isinstance(thing, Statistics):
        return Statistics(
            thing.log_likelihood,
            thing.weight,
            change(thing.flows),
            [change(part) for part in thing.leaves],
            {name: change(array) for name, array in thing.extra.items()},
        )
    if isinstance(thing, TopDown):
        return TopDown(change(thing.rows), [change(part) for part in thing.leaves])
    return {name: change(array) for name, array in thing.items()}


def as_tensors(thing: Any, device: torch.device) -> Any:
    """With tensors on the device; on the CPU they share the memory of the arrays."""

    def change(array):
        if isinstance(array, np.ndarray):
            writeable = array.flags.writeable and array.flags.c_contiguous
            array = torch.from_numpy(array if writeable else array.copy())
        return array.to(device)

    return mapped(thing, change)


def as_arrays(thing: Any) -> Any:
    """With numpy arrays."""
    return mapped(thing, to_numpy)
