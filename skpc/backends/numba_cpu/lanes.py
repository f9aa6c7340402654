"""Threads for lanes of work: kernels release the GIL, so plain threads run side by side."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import pairwise
from typing import Any

import joblib

Task = Callable[[], None]
Result = queue.SimpleQueue[BaseException | None]
#: Least numbers that a thread goes through in a loop over parameters: with fewer, waking it
#: costs more than it saves.
PART_NUMBERS = 1 << 18
#: Rows times weights of a pass for every look whether others have come to share it: a twentieth of
#: its time. And looks while they may have to wake up.
WORK_OF_TURN, TURNS_TO_WAKE = 30_000, 20_000
#: No machine needs more.
MAX_THREADS = 256
#: Most lanes, hence threads, that rows to learn from are cut into at once.
MAX_LANES = 16


class _Worker:
    """A thread that waits for work.

    Handing it over costs a tenth of what ``concurrent.futures`` takes, which on batches of a
    millisecond is felt.
    """

    def __init__(self) -> None:
        self._given: queue.SimpleQueue[tuple[Task, Result]] = queue.SimpleQueue()
        # A daemon: a thread that waits must not keep the process alive.
        threading.Thread(target=self._run, name="skpc-lane", daemon=True).start()

    def give(self, task: Task) -> Result:
        """Start a task; where the exception it raises, or None, is put at its end."""
        result: Result = queue.SimpleQueue()
        self._given.put((task, result))
        return result

    def _run(self) -> None:
        while True:
            task, result = self._given.get()
            failed: BaseException | None = None
            try:
                task()
            except BaseException as error:
                failed = error
            # Free again, also when nobody waits for the result any more.
            _idle.append(self)
            result.put(failed)
            del task, result, failed  # what they refer to must not live until the next one


#: Workers that nobody uses at the moment; of this process, a fork begins without.
_idle: list[_Worker] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


@cache
def cores() -> int:
    # Reads the control group's files: 0.2 ms a call, as long as a small batch.
    return joblib.cpu_count()


_at_work = threading.local()


def allowed_threads(n_jobs: int | None) -> int:
    """Threads to use: the allowed cores for None, and one inside a joblib worker."""
    known = getattr(_at_work, "allowed", None)
    if known is not None and known[0] == n_jobs:
        return known[1]
    most = cores()
    if n_jobs is None:
        backend, _ = joblib.parallel.get_active_backend()
        nested = getattr(backend, "nesting_level", 0) or 0
        return 1 if nested > 0 else most
    return max(1, most + 1 + n_jobs) if n_jobs < 0 else int(n_jobs)


@contextmanager
def threads_at_work(n_jobs: int | None) -> Iterator[None]:
    """Let loops over parameters use these threads, in a ``with`` block of this thread."""
    before = getattr(_at_work, "allowed", None)
    _at_work.allowed = n_jobs, allowed_threads(n_jobs)
    try:
        yield
    finally:
        _at_work.allowed = before


def run_parts(part: Callable[[int, int], Any], n: int, size: int) -> None:
    """``part(start, stop)`` for the whole of ``range(n)``, by several threads if ``size`` numbers
    are worth it and the thread is at work: see ``threads_at_work``."""
    _, threads = getattr(_at_work, "allowed", None) or (1, 1)
    n_parts = min(threads, size // PART_NUMBERS, n)
    if n_parts < 2:
        part(0, n)
        return
    run_lanes([partial(part, *cut) for cut in pairwise(cuts(n, n_parts))], n_parts)


def run_lanes(
    tasks: Sequence[Task],
    n_threads: int,
    first: Task | None = None,
    cancel: Task | None = None,
) -> None:
    """Run every task once; each thread takes a run of them.

    Which thread runs a task changes nothing in its result. Every thread does ``first`` before
    its own, so that the others' waking up, which takes as long as a small batch, costs nothing.
    What a task needs of other threads it must wait for itself; ``cancel`` ends that when an
    error or an interrupt keeps it from coming.
    """
    n_threads = max(1, min(n_threads, len(tasks), MAX_THREADS))
    ends = cuts(len(tasks), n_threads)

    def share(i: int) -> None:
        try:
            if first is not None:
                first()
            for task in tasks[ends[i] : ends[i + 1]]:
                task()
        except BaseException:
            if cancel is not None:
                cancel()
            raise

    results: list[Result] = []
    errors: list[BaseException | None] = []
    try:
        for i in range(1, n_threads):
            results.append(hand_over(partial(share, i)))
        share(0)
    except BaseException:
        # Also when a thread could not be had, or an interrupt came between.
        if cancel is not None:
            cancel()
        raise
    finally:
        for result in results:
            errors.append(result.get())
    for error in errors:
        if error is not None:
            raise error


def hand_over(task: Task) -> Result:
    """Start a task in a thread that is free; where its exception, or None, is put at its end."""
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    return worker.give(task)


def most_panels(tile_panels: int) -> int:
    """Panels of the longest tile: a quarter more saves many a lane a second tile."""
    return tile_panels + tile_panels // 4


def cuts(n: int, n_parts: int) -> list[int]:
    """Where parts begin and the last one ends; lengths differ by one at most."""
    return [i * n // n_parts for i in range(n_parts + 1)]
