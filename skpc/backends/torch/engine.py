"""The torch backend: packed parameters, passes of rows, and the guard against lost mass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import torch

from ...circuit import Parameters, Program, Statistics
from ...utils.lazy import lazy
from .. import log_curvature, log_domain
from ..base import Backend, TopDown, check_wanted
from ..numba_cpu.lanes import allowed_threads
from .arrays import as_arrays, as_tensors
from .banks import Banks
from .graphs import RecordedPasses
from .matmul import float32_factors
from .memory import rows_that_fit, with_fewer_rows
from .passes import Passes
from .plan import Plan
from .scales import LOST_SHARE
from .updates import RecordedUpdate, can_record
from .uses import Uses
from .workspace import Model, Totals, Workspace

#: Rows whose flows are added up in the precision of the values before float64 takes over.
SPAN = 1 << 13


def in_torch(method):
    """Run a method with the threads that ``n_jobs`` allows."""

    @wraps(method)
    def run(self, *args, **others):
        with self.at_work():
            return method(self, *args, **others)

    return run


class Packed(NamedTuple):
    """Parameters as they were given, as tensors where they lie, and as the layers read them."""

    parameters: Parameters
    tensors: Parameters
    model: Model


class TorchBackend(Backend):
    """Computes a program with torch, on a GPU or the CPU.

    Parameters
    ----------
    program : Program
    dtype : {float32, float64}
        Of values inside a pass. Scales, leaf statistics and sums over passes are float64.
    n_jobs : int or None
        Threads on a CPU; None means the allowed cores, and one inside a joblib worker.
    device : str, default="torch"
        "torch" for torch on the CPU, "cuda" or "cuda:1" for a GPU.
    products : {None, "tf32", "bfloat16"}, default=None
        To what the factors of the matrix products of ``statistics`` may be rounded, in float32:
        "tf32" to 11 bits by a GPU, a CPU ignores it; "bfloat16" to 8 bits anywhere. Sums,
        scales and flows stay float32 or better, and scores never see it.
    """

    def __init__(
        self,
        program: Program,
        dtype: Any = np.float32,
        n_jobs: int | None = None,
        device: str = "torch",
        products: str | None = None,
    ) -> None:
        if products not in (None, "tf32", "bfloat16"):
            raise ValueError(f"products={products!r} is not known; use None, 'tf32' or 'bfloat16'.")
        self.program = program
        self.dtype = np.dtype(dtype)
        self.n_jobs = n_jobs
        self.device = device
        self.products = products
        self._rows: int | None = None
        self._last: Packed | None = None

    def __reduce__(self):
        # Buffers and tables stay behind: a copy makes its own.
        return TorchBackend, (
            self.program,
            self.dtype,
            self.n_jobs,
            self.device,
            self.products,
        )

    # -- the contract -----------------------------------------------------------------

    @in_torch
    def prepared(self, parameters: Parameters | Packed) -> Packed:
        if isinstance(parameters, Packed):
            return parameters
        if self._last is not None and self._last.parameters is parameters:
            return self._last
        self._check(parameters)
        tensors = parameters
        if isinstance(parameters.weights, np.ndarray):
            tensors = as_tensors(parameters, torch.device("cpu"))
        packed = Packed(parameters, tensors, self._model(tensors))
        # A training step reads its parameters twice; arrays of users may change in between.
        self._last = packed if tensors is parameters else None
        return packed

    @in_torch
    def log_likelihood(self, parameters: Parameters | Packed, X: np.ndarray) -> np.ndarray:
        packed = self.prepared(parameters)

        def score(rows: int) -> tuple[np.ndarray, np.ndarray]:
            parts = [(np.empty(0), np.empty(0))]
            for start in range(0, len(X), rows):
                result = self._passes.score(packed.model, X[start : start + rows])
                parts.append(tuple(part.cpu().numpy() for part in result))
            log_likelihood, bound = map(np.concatenate, zip(*parts))
            return log_likelihood, bound

        out, bound = self._in_passes(score)
        damaged = np.flatnonzero(~(bound <= LOST_SHARE))
        if damaged.size:
            host = as_arrays(packed.parameters)
            out[damaged] = self._slow(damaged.size).log_likelihood(host, X[damaged])
        return out

    @in_torch
    def statistics(
        self,
        parameters: Parameters | Packed,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        wanted: tuple[str, ...] = (),
        top_down: bool = False,
    ) -> Statistics:
        """As in the contract; what is ``wanted`` beside flows is computed in float64 on the CPU."""
        check_wanted(self.program, wanted)
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
        if weight.shape != (len(X),):
            raise ValueError(f"sample_weight has shape {weight.shape}; {(len(X),)} is needed.")
        packed = self.prepared(parameters)
        if wanted:
            return log_curvature.statistics(as_arrays(packed.parameters), X, weight, wanted)
        tensors: Any = packed.tensors
        # Made where they are added up: zeros of the CPU would have to be sent there.
        leaves = [mean.new_zeros(len(mean), 1 + mean.shape[1]) for mean in tensors.leaves]
        total = Statistics(0.0, 0.0, torch.zeros_like(tensors.weights), leaves)  # type: ignore
        for start in range(0, len(X), SPAN):
            span = slice(start, start + SPAN)
            if weight[span].any():
                self._learn(packed, X[span], weight[span], total)
        return as_arrays(total) if packed.parameters is not tensors else total

    @in_torch
    def top_down(self, parameters: Parameters) -> TopDown:
        """As in the contract; of tensors, in the precision of the values."""
        if isinstance(parameters.weights, np.ndarray):
            return self._host_backend.top_down(parameters)
        last = self._last
        if last is not None and last.parameters is parameters:
            banks = last.model.banks
        else:
            # Not kept: where this is recorded, other numbers come to stand in the same tensors.
            self._check(parameters)
            banks = self._read(parameters)
        return self._uses.top_down(banks, self._passes.layers)

    def recorded(self, run: Callable[..., Any]) -> Callable[..., Any] | None:
        """As in the contract; on a GPU, for circuits that are bound by launches of kernels."""
        if not can_record(self.program, self.torch_device):
            return None

        def with_model(step, *things):
            arrays, new = run(step, *things)
            return arrays, new, self._model(new)

        update = RecordedUpdate(with_model, self.torch_device)

        def learnt(step, *things):
            arrays, new, model = update(step, *things)
            self._last = Packed(new, new, model)
            return arrays, new

        return learnt

    # -- parameters that stay on the device -----------------------------------------------

    keeps_parameters = True

    def taken(self, thing: Any) -> Any:
        return as_tensors(thing, self.torch_device)

    def given(self, thing: Any) -> Any:
        return as_arrays(thing)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The threads of torch that ``n_jobs`` allows, and float32 products of float32 factors."""
        before, allowed = torch.get_num_threads(), allowed_threads(self.n_jobs)
        if before != allowed:
            torch.set_num_threads(allowed)
        try:
            with float32_factors("ieee"):
                yield
        finally:
            if before != allowed:
                torch.set_num_threads(before)

    # -- layout, made once ----------------------------------------------------------------

    @lazy
    def torch_device(self) -> torch.device:
        """Where it computes, as torch names it."""
        return torch.device("cpu" if self.device == "torch" else self.device)

    @property
    def _kind(self) -> torch.dtype:
        return torch.float32 if self.dtype == np.float32 else torch.float64

    @property
    def n_places(self) -> int:
        """Numbers a row that a pass holds: values and flows of all units."""
        return self._plan.n_places

    @lazy
    def _plan(self) -> Plan:
        return Plan(self.program)

    @lazy
    def _passes(self) -> Passes:
        kind = RecordedPasses if self.torch_device.type == "cuda" else Passes
        return kind(self._plan, self._kind, self.torch_device, self.products)

    def _banks(self, device: torch.device) -> Banks:
        """Of flat arrays on a device."""
        known = self.__dict__.setdefault("_known_banks", {})
        if device not in known:
            known[device] = Banks(self._plan, device)
        return known[device]

    def _read(self, tensors: Any) -> dict[tuple, torch.Tensor]:
        """Weights as the layers read them."""
        flat = tensors.weights
        return self._banks(flat.device).read(flat, self._kind, self.torch_device)

    def _model(self, tensors: Parameters) -> Model:
        """Parameters as the layers read them."""
        leaves = [leaf.pack(tensors, self._kind) for leaf in self._passes.leaves]
        return Model(self._read(tensors), leaves)

    @lazy
    def _uses(self) -> Uses:
        return Uses(self._plan, self._kind, self.torch_device)

    @lazy
    def _host_backend(self) -> Backend:
        from ..numba_cpu import NumbaBackend

        return NumbaBackend(self.program, np.float64, self.n_jobs)

    def _slow(self, n: int) -> Any:
        """What computes so many rows again that may have lost mass."""
        return self._host_backend if log_domain.takes_long(self.program, n) else log_domain

    # -- rows -----------------------------------------------------------------------------

    def _in_passes(self, run) -> Any:
        """``run(rows)`` with as many rows a pass as the memory holds."""
        if self._rows is None:
            per_row = Workspace.bytes_per_row(self._plan, self.dtype.itemsize)
            self._rows = rows_that_fit(per_row, self.torch_device)
        result, rows = with_fewer_rows(run, self._rows, self.torch_device, self._passes.forget)
        if rows < self._rows:
            self._rows = rows
        return result

    # -- learning -------------------------------------------------------------------------

    def _learn(self, packed: Packed, X: np.ndarray, weight: np.ndarray, total: Any) -> None:
        # Weights at most one keep the derivatives in the range of the dtype.
        unit = float(weight.max())

        def learn(rows: int):
            totals = self._zeros()
            parts = []
            for start in range(0, len(X), rows):
                part = slice(start, start + rows)
                share = weight[part] / unit
                result = self._passes.learn(packed.model, X[part], share, totals)
                parts.append(tuple(x.cpu().numpy() for x in result))
            return totals, *map(np.concatenate, zip(*parts))

        totals, log_likelihood, bound = self._in_passes(learn)
        flat = packed.tensors.weights
        flows = torch.empty_like(flat)
        self._banks(flat.device).write(totals.banks, flows)
        leaves = [part.to(flat.device).double() for part in totals.leaves]
        used, whole = weight > 0, bound <= LOST_SHARE
        if torch.isfinite(sum((part.sum() for part in leaves), start=flows.sum())):
            total.flows.addcmul_(flat, flows, value=unit)
            for leaf, part in zip(self._passes.leaves, leaves, strict=True):
                leaf.collect(unit * part, total.leaves[leaf.f])
        else:
            # A derivative left the range of the dtype, which weights near its smallest
            # number can bring about although no mass was lost.
            whole[:] = False
        kept = used & whole
        total.weight += float(weight[whole].sum())
        total.log_likelihood += float(np.dot(weight[kept], log_likelihood[kept]))
        if not whole.all():
            damaged = np.flatnonzero(~whole)
            parameters = as_arrays(packed.parameters)
            again = self._slow(damaged.size)
            slow = again.statistics(parameters, X[damaged], weight[damaged])
            extra = as_tensors(slow, flat.device)
            total.weight += extra.weight
            total.log_likelihood += extra.log_likelihood
            total.flows += extra.flows
            for mine, more in zip(total.leaves, extra.leaves, strict=True):
                mine += more

    def _zeros(self) -> Totals:
        shape = self._banks(self.torch_device).shape
        banks = {
            key: torch.zeros(shape(key), dtype=self._kind, device=self.torch_device)
            for key in self._plan.banks
        }
        return Totals(banks, [leaf.zeros(self._kind) for leaf in self._passes.leaves])

    # -- small things -----------------------------------------------------------------------

    def _check(self, parameters: Parameters) -> None:
        """Wrong lengths would be read as other weights."""
        needed: list[tuple[int, ...]] = [(self.program.n_weights,)]
        needed += [
            (n, f.n_statistics)
            for f, n in zip(self.program.families, self.program.family_units, strict=True)
        ]
        found = [a.shape for a in (parameters.weights, *parameters.leaves)]
        if found != needed:
            raise ValueError(
                f"parameters have arrays of shapes {found}, but the program needs {needed}; use "
                "parameters of the same circuit."
            )
