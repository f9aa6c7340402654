"""The backends that keep one contract; a new one joins by one line in `KINDS`."""

from importlib.util import find_spec

import pytest

from skpc.backends.numba_cpu import NumbaBackend


def torch_backend(program, dtype="float32", n_jobs=1):
    """On the CPU; waking threads takes longer than the work of a test."""
    from skpc.backends.torch import TorchBackend

    return TorchBackend(program, dtype, n_jobs)


def played_back(run, device):
    """What a CUDA graph does, in Python: the same operations on the same memory."""
    result = run()

    def replay():
        for old, new in zip(result, run(), strict=True):
            old.copy_(new)

    return replay, result


KINDS = {"numba": NumbaBackend, "torch": torch_backend}
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


def each(names):
    """Parameters of a test, those of torch skipped where there is none."""
    return [pytest.param(n, marks=needs_torch if n.startswith("torch") else ()) for n in names]
