"""Passes that are recorded once as a CUDA graph and then replayed.

Small and medium circuits are bound by launches of kernels: a level of an HCLT takes about twenty of
them each way, a graph takes one for all. It reads and writes the memory of its recording, so what
is new in a batch is copied there. Full batches and the ragged last one have a graph each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from ...circuit import Parameters, Statistics
from .arrays import mapped
from .leaves import GivenLeaves
from .passes import Passes
from .workspace import Model, Totals

#: Recordings that are kept; passes of other sizes run as they are.
MOST_GRAPHS = 4


def record(run: Callable[[], Any], device: torch.device) -> tuple[Callable[[], None], Any]:
    """A function that runs the same operations on the same memory again, and their result.

    ``run`` is called twice: libraries ask for memory at their first call, which cannot be recorded.
    """
    with torch.cuda.device(device):
        first, second = _streams(torch.cuda.current_device())
        first.wait_stream(torch.cuda.current_stream())
        # It is left again if recording fails, unlike that of torch.cuda.graph.
        with torch.cuda.stream(first):
            run()
            graph = torch.cuda.CUDAGraph()
            # Other threads may ask for memory meanwhile.
            with torch.cuda.graph(graph, stream=second, capture_error_mode="thread_local"):
                result = run()
    return graph.replay, result


@cache
def _streams(device: int) -> tuple[torch.cuda.Stream, torch.cuda.Stream]:
    """For the first run and for recordings; torch's own one stays on the first GPU that records.

    Kept, for libraries keep memory for every stream.
    """
    return torch.cuda.Stream(device), torch.cuda.Stream(device)


def try_to_record(
    what: str, run: Callable[[], Any], device: torch.device
) -> tuple[Callable[[], None], Any] | None:
    """The same, or None and a warning where CUDA refuses."""
    try:
        return record(run, device)
    except RuntimeError as error:
        warnings.warn(
            f"{what} are not recorded as a CUDA graph, which makes them slower: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


class Recording(NamedTuple):
    """A recorded pass, and where it reads its rows and their weights and leaves its result.

    ``codes`` are the rows as they were uploaded, None where no layer reads them; ``cells`` what
    families made of them on the CPU, None for layers that read codes.
    """

    replay: Callable[[], None]
    codes: torch.Tensor | None
    cells: list[Any]
    row_weight: torch.Tensor
    result: tuple[torch.Tensor, torch.Tensor]


class RecordedPasses(Passes):
    """Passes that learn are recorded at the second one of a size, and replayed from then on.

    Groups of columns are computed by their families on the CPU, which cannot be recorded.
    """

    #: Recorded in inference mode, torch's own numbers belong to it; recordings of updates, which
    #: are made outside of it, fail: pytorch/pytorch issue 166792.
    without_grad: ClassVar[Any] = torch.no_grad

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self.possible = not any(isinstance(leaf, GivenLeaves) for leaf in self.leaves)
        self.forget()

    def forget(self) -> None:
        super().forget()
        self._recordings: dict[tuple, Recording] = {}
        self._seen: set[tuple] = set()
        self._model: Model | None = None
        self._source: Model | None = None
        self._totals: Totals | None = None

    @torch.no_grad()
    def learn(self, model: Model, X: np.ndarray, weight: np.ndarray, totals: Totals):
        kind = len(X), X.dtype
        if not self.possible or (kind not in self._recordings and not self._is_worth(kind)):
            return super().learn(model, X, weight, totals)
        self._load(model, totals)
        codes, cells = self._given(model, X)
        if kind not in self._recordings:
            made = self._record(len(X), codes, cells)
            if made is None:
                self.possible = False
                self.forget()
                return super().learn(model, X, weight, totals)
            self._recordings[kind] = made
        known = self._recordings[kind]
        copy_into((known.codes, known.cells), (codes, cells))
        known.row_weight.copy_(torch.from_numpy(weight))
        known.replay()
        for total, part in zip(tensors_of(totals), tensors_of(self._totals), strict=True):
            total.add_(part)
        log_likelihood, bound = known.result
        return log_likelihood.clone(), bound.clone()

    def _given(self, model: Model, X: np.ndarray) -> tuple[torch.Tensor | None, list[Any]]:
        """Rows as they are uploaded, and what the CPU must make of them."""
        pairs = zip(self.leaves, model.leaves, strict=True)
        cells = [None if leaf.reads_codes else leaf.encode(X, None, part) for leaf, part in pairs]
        return self.codes(X), cells

    def _is_worth(self, kind: tuple) -> bool:
        """Whether a pass of this size came before, and there is room for one more recording."""
        again = kind in self._seen
        self._seen.add(kind)
        return again and len(self._recordings) < MOST_GRAPHS

    def _load(self, model: Model, totals: Totals) -> None:
        """Copy a model to where the recordings read it; it is the same for the passes of a call."""
        if self._model is None:
            self._model = copied(model)
            self._totals = copied(totals)
        if self._source is not model:
            copy_into(self._model, model)
            self._source = model

    def _record(self, n: int, codes: torch.Tensor | None, cells: list[Any]) -> Recording | None:
        model, totals = self._model, self._totals
        assert model is not None and totals is not None
        codes, cells = copied((codes, cells))
        row_weight = torch.zeros(n, dtype=self.dtype, device=self.device)
        # The memory of the usual passes, whose views change their size.
        space = copy(self.workspace(n))

        def run():
            for part in tensors_of(totals):
                part.zero_()
            read = [
                leaf.encode(None, codes, None) if leaf.reads_codes else cell
                for leaf, cell in zip(self.leaves, cells, strict=True)
            ]
            return self.up_and_down(space, model, read, row_weight, totals, None)

        made = try_to_record("Passes", run, self.device)
        if made is None:
            return None
        replay, result = made
        return Recording(replay, codes, cells, row_weight, result)


def tensors_of(thing: Any) -> list[torch.Tensor]:
    """All tensors of a structure, in order."""
    if thing is None:
        return []
    if isinstance(thing, torch.Tensor):
        return [thing]
    if isinstance(thing, Parameters | Statistics):
        found: list[torch.Tensor] = []
        mapped(thing, found.append)
        return found
    parts = thing.values() if isinstance(thing, dict) else thing
    return [tensor for part in parts for tensor in tensors_of(part)]


def copied(thing: Any) -> Any:
    """A copy of a structure with tensors of its own."""
    if thing is None:
        return None
    if isinstance(thing, torch.Tensor):
        return thing.clone()
    if isinstance(thing, Parameters | Statistics | dict):
        return mapped(thing, copied)
    parts = [copied(part) for part in thing]
    if isinstance(thing, list):
        return parts
    return type(thing)(*parts) if hasattr(thing, "_fields") else tuple(parts)


def copy_into(mine: Any, new: Any) -> None:
    """Copy the tensors of one structure into those of another."""
    for here, there in zip(tensors_of(mine), tensors_of(new), strict=True):
        here.copy_(there)
