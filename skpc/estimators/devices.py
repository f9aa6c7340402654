"""Where an estimator computes: which backend its argument ``device`` means, on this machine."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..backends import Backend
from ..circuit import Program

#: Weights from which "auto" prefers a GPU. Not measured yet: no GPU was at hand. Below, an update
#: takes the CPU about ten milliseconds, and loading torch takes seconds.
LARGE_CIRCUIT = 1_000_000
#: Files of drivers: they are looked for before torch is loaded, which CPU work never does.
DRIVERS = ("/dev/nvidiactl", "/dev/dxg")
INSTALL = "pip install 'skpc[torch]'"
#: Values of ``dtype`` that let torch round the factors of products that it learns from, by what
#: they are rounded to. Values and scores are float32; "auto" leaves it to a GPU.
PRODUCTS = {"auto": "tf32", "tf32": "tf32", "bfloat16": "bfloat16"}


def check_device(device: Any, dtype: str = "auto") -> None:
    """Refuse what is no device, one that this machine does not have, and one without the dtype.

    Raises
    ------
    ValueError
        If there is no such device, or it does not compute in this ``dtype``.
    ImportError
        If it needs torch, which is not installed.
    RuntimeError
        If it needs a GPU, and torch finds none.
    """
    if isinstance(device, str) and device in ("auto", "cpu"):
        if dtype != "auto" and dtype in PRODUCTS:
            raise ValueError(
                f"dtype={dtype!r} needs PyTorch, but device={device!r} "
                f"{'may be' if device == 'auto' else 'is'} computed by numba; use device='cuda' or "
                "'torch', or dtype='float32'."
            )
        return
    if not isinstance(device, str) or not re.fullmatch(r"torch|cuda(:\d+)?", device):
        raise ValueError(
            f"device={device!r} is not known; use 'auto', 'cpu', 'cuda' or 'cuda:1' for a GPU and "
            "its number, or 'torch' for torch on the CPU."
        )
    if find_spec("torch") is None:
        raise ImportError(
            f"device={device!r} needs PyTorch, which is not installed: {INSTALL}; or use "
            "device='cpu'."
        )
    if device != "torch":
        _check_cuda(device)


def _check_cuda(device: str) -> None:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(device.partition(":")[2] or 0)
    if number < count:
        return
    found = f"finds {count}" if count else "finds none"
    raise RuntimeError(
        f"device={device!r} needs an NVIDIA GPU of that number, and PyTorch {torch.__version__} "
        f"{found} here. With a GPU, install its driver and a PyTorch with CUDA ({INSTALL}); "
        "without one use device='cpu', for a fitted model set_params(device='cpu')."
    )


def resolve_device(device: str, program: Program) -> str:
    """The device of a backend: "auto" is a GPU if there is one and the circuit is large."""
    if device != "auto":
        return device
    if program.n_weights < LARGE_CIRCUIT or not any(map(os.path.exists, DRIVERS)):
        return "cpu"
    if find_spec("torch") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def make_backend(
    program: Program, dtype: str, n_jobs: int | None, device: str, products: str | None = None
) -> Backend:
    """What computes; numba and torch are loaded here, not with the package.

    Parameters
    ----------
    program : Program
    dtype : {"float32", "float64"}
    n_jobs : int or None
    device : str
        As :func:`resolve_device` returns it.
    products : {None, "tf32", "bfloat16"}, default=None
        To what torch may round the factors of products that it learns from.
    """
    if device == "cpu":
        from ..backends.numba_cpu import NumbaBackend

        return NumbaBackend(program, np.dtype(dtype), n_jobs)
    check_device(device)
    from ..backends.torch import TorchBackend

    return TorchBackend(program, np.dtype(dtype), n_jobs, device, products)
