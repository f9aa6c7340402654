"""Threads for lanes of work: kernels release the GIL, so plain threads run side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import joblib

_pools: list[ThreadPoolExecutor] = []
#: Threads are started as they are needed; no machine needs more of them.
MAX_THREADS = 256
_lock = threading.Lock()


def _forget_pools() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)


@cache
def _cores() -> int:
    # Reads the control group's files: 0.2 ms a call, as long as a small batch.
    return joblib.cpu_count()


def allowed_threads(n_jobs: int | None) -> int:
    """Threads to use: the allowed cores for None, and one inside a joblib worker."""
    cores = _cores()
    if n_jobs is None:
        backend, _ = joblib.parallel.get_active_backend()
        nested = getattr(backend, "nesting_level", 0) or 0
        return 1 if nested > 0 else cores
    return max(1, cores + 1 + n_jobs) if n_jobs < 0 else n_jobs


def run_lanes(tasks: Sequence[Callable[[], None]], n_threads: int) -> None:
    """Run every task once; thread i takes tasks i, i + n_threads, …

    Which thread runs a task changes nothing in its result. A pool belongs to the process
    that made it: after a fork a new one is made.
    """
    n_threads = min(n_threads, len(tasks))
    if n_threads <= 1:
        for task in tasks:
            task()
        return

    def share(first: int) -> None:
        for task in tasks[first::n_threads]:
            task()

    pool = _pool()
    others = [pool.submit(share, i) for i in range(1, n_threads)]
    try:
        share(0)
    finally:
        errors = [f.exception() for f in others]
    for error in errors:
        if error is not None:
            raise error


def _pool() -> ThreadPoolExecutor:
    with _lock:
        if not _pools:
            _pools.append(ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="skpc-lane"))
        return _pools[0]
