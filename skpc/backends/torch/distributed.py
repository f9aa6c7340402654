"""Several processes, each with a GPU and a share of the rows: their statistics are summed.

Statistics add, so every process takes the same step from the same sums: parameters are never sent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ...circuit import Parameters, Statistics
from ..base import Backend, TopDown
from .arrays import as_arrays, as_tensors


class SummedBackend(Backend):
    """A backend whose statistics are those of the rows of all processes.

    Every process calls ``statistics`` equally often, each with rows of its own; one that has no
    more gives an empty array. The process group of ``torch.distributed`` must have been made:
    "nccl" for GPUs, "gloo" for the CPU.

    Parameters
    ----------
    backend : Backend
        Computes the rows of this process.
    group : ProcessGroup, optional
        By default all processes.
    """

    def __init__(self, backend: Backend, group: Any = None) -> None:
        if not dist.is_initialized():
            raise RuntimeError(
                "There is no process group; call torch.distributed.init_process_group in every "
                "process first."
            )
        self.backend, self.group = backend, group
        self.program, self.dtype = backend.program, backend.dtype
        self.n_jobs, self.device = backend.n_jobs, backend.device
        self.products = backend.products
        self.keeps_parameters = backend.keeps_parameters
        self.taken, self.given = backend.taken, backend.given  # type: ignore[method-assign]
        self.at_work = backend.at_work  # type: ignore[method-assign]
        self.prepared = backend.prepared  # type: ignore[method-assign]
        self.recorded = backend.recorded  # type: ignore[method-assign]

    def log_likelihood(self, parameters: Parameters, X: np.ndarray) -> np.ndarray:
        """Of the rows of this process."""
        return self.backend.log_likelihood(parameters, X)

    def statistics(
        self,
        parameters: Parameters,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        wanted: tuple[str, ...] = (),
        top_down: bool = False,
    ) -> Statistics:
        """Of the rows of all processes."""
        mine = self.backend.statistics(parameters, X, sample_weight, wanted, top_down)
        is_numpy = isinstance(mine.flows, np.ndarray)
        on_gpu = dist.get_backend(self.group) == "nccl"
        device = torch.device("cuda" if on_gpu else "cpu") if is_numpy else mine.flows.device
        total: Any = as_tensors(mine, device)
        sums = torch.tensor([mine.log_likelihood, mine.weight], dtype=torch.float64, device=device)
        for tensor in (sums, total.flows, *total.leaves, *total.extra.values()):
            dist.all_reduce(tensor, group=self.group)
        total.log_likelihood, total.weight = sums.tolist()
        return as_arrays(total) if is_numpy else total

    def top_down(self, parameters: Parameters) -> TopDown:
        return self.backend.top_down(parameters)
