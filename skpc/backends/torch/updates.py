"""An update that is recorded once as a CUDA graph and then replayed.

The top-down pass and the step of a solver are hundreds of small kernels. Whatever of an update
changes from batch to batch is copied to where the recording reads it, the step as a tensor of one
number, and what comes out is copied again: callers may hold it as long as they like.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...circuit import Program
from .graphs import copied, copy_into, tensors_of, try_to_record

#: Weights of a circuit up to which its updates are recorded: a recording keeps the memory of all
#: that it computes, and the kernels of larger circuits take longer than their launches.
MOST_WEIGHTS = 1 << 24


def can_record(program: Program, device: torch.device) -> bool:
    """Whether updates of a program need no help from the CPU, and are worth to be recorded."""
    alone = all(family.takes_tensors for family in program.families)
    return device.type == "cuda" and alone and program.n_weights <= MOST_WEIGHTS


class RecordedUpdate:
    """A function of a step and of structures of tensors, recorded at its second call.

    A call with other arrays of a solver than the last one is a first call again: moments are not
    there before the first update, and those of another training may be.

    Parameters
    ----------
    run : callable
        From (step, dict of tensors, …) to structures of tensors. The step is a number or a
        tensor of one. What it does must not depend on the numbers in the tensors.
    device : torch.device
    """

    def __init__(self, run: Callable[..., Any], device: torch.device) -> None:
        self._run, self._device = run, device
        self._step = torch.zeros((), dtype=torch.float64, device=device)
        self._names: list[str] | None = None
        self._replay: Callable[[], None] | None = None
        self._possible = True

    def __call__(self, step: float, arrays: dict[str, torch.Tensor], *others: Any) -> Any:
        names, things = list(arrays), (arrays, *others)
        if not self._possible or names != self._names:
            self._names, self._replay = names, None
            return self._run(step, *things)
        if self._replay is None and not self._try_to_record(things):
            return self._run(step, *things)
        copy_into(self._read, things)
        self._step.fill_(step)
        assert self._replay is not None
        self._replay()
        return copied(self._result)

    def _try_to_record(self, things: tuple) -> bool:
        """Whether it could be done; what the CPU has a part in cannot."""
        self._read = copied(things)
        results: list[Any] = []

        def run():
            results[:] = [self._run(self._step, *self._read)]
            return tensors_of(results)

        made = try_to_record("Updates", run, self._device)
        if made is None:
            self._possible = False
            del self._read
            return False
        self._replay, _ = made
        (self._result,) = results
        return True
