"""What threads do for each other before their kernels go on, and the number that says so."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from .atomics import add, pause, peek, swap
from .kernel_cache import entry_kernel, kernel
from .lanes import hand_over
from .simd import pointer

#: States of the flag of a thread: called to work, standing by for a call, at work, and none.
CALLED, STANDING, AT_WORK, AWAY = 0, 1, 2, -1
#: More than anybody waits for.
CANCELLED = 1 << 40
#: Looks at the number before a thread gives up for the time being: some milliseconds.
TURNS = 400_000


@kernel
def wait_for(ready):
    """Until ``ready[0]`` is not above 0; False after a while, when sleeping costs less."""
    flag = pointer(ready)
    for _ in range(TURNS):
        if peek(flag) <= 0:
            return True
        pause()
    return False


@kernel
def begin(flag):
    """Begin the work called for; False if the call was taken back."""
    return swap(pointer(flag), CALLED, AT_WORK)


@kernel
def stand(flag):
    """Stand by again, with what was written for all to see."""
    add(pointer(flag), STANDING - AT_WORK)


@kernel
def leave(flag):
    """Stand by no longer; False if there was a call."""
    return swap(pointer(flag), STANDING, AWAY)


@entry_kernel
def call(flag):
    """Call a thread that stands by; whether it does."""
    return swap(pointer(flag), STANDING, CALLED)


@entry_kernel
def take_back(flag):
    """Take a call back; False if the thread has begun, or ended with an error."""
    return swap(pointer(flag), CALLED, STANDING)


@entry_kernel
def is_back(flag):
    """Whether a thread that was called has done its work, waiting some milliseconds for it."""
    flag = pointer(flag)
    for _ in range(TURNS):
        state = peek(flag)
        if state != CALLED and state != AT_WORK:
            return True
        pause()
    return False


@kernel
def end_call(flag):
    """Take a call back, or wait until it is done."""
    if swap(flag, CALLED, STANDING):
        return
    while True:
        state = peek(flag)
        if state != CALLED and state != AT_WORK:
            return
        pause()


@entry_kernel
def count_down(ready, by):
    """Subtract from ``ready[0]``; what is left. Nobody waits any more at 0 and below."""
    return add(pointer(ready), -by)


class Helper:
    """A thread that stands by in a kernel, so that every call reaches it within a microsecond.

    A thread that sleeps takes as long to wake up as a small batch, and one that runs Python
    keeps others from it.

    Parameters
    ----------
    kernel : callable
        Works at every call, told by the flag it is passed, which says so: see ``learn_tiles``.
        It returns when it has waited for some milliseconds.
    """

    def __init__(self, kernel: Callable[[np.ndarray], object]) -> None:
        self._kernel = kernel
        self._flag = np.full(1, AWAY)
        self._process = 0
        self._reads: object = None
        self._error: BaseException | None = None

    @property
    def address(self) -> int:
        """Where kernels find its flag."""
        return self._flag.ctypes.data

    def come(self) -> None:
        """Let a thread stand by, if none does: a fork leaves them behind."""
        if self._flag[0] == AWAY or self._process != os.getpid():
            self._process, self._error = os.getpid(), None
            # Before it is true, so that a call need not wait for it.
            self._flag[0] = STANDING
            hand_over(self._stand_by)

    def call(self, reads: object = None) -> None:
        """Begin the kernel's work; it is over after ``wait``.

        What the kernel ``reads`` at addresses of its own is kept until the next call: if an
        interrupt ends the caller's work, the thread goes on.
        """
        self.keep(reads)
        self.come()
        while not call(self._flag):
            self.come()

    def keep(self, reads: object) -> None:
        """Keep what the kernel reads at addresses of its own until the next call."""
        self._reads = reads

    def take_back(self) -> bool:
        """Take the call back, unless the thread has begun.

        On a busy machine it may get no core for longer than the work takes.
        """
        return take_back(self._flag)

    def wait(self) -> None:
        """Until the work is done."""
        while not is_back(self._flag):
            time.sleep(0)
        if self._error is not None:
            raise self._error

    def _stand_by(self) -> None:
        try:
            self._kernel(self._flag)
        except BaseException as error:
            # Otherwise the kernel said that it left, and another thread may stand by already.
            self._error = error
            self._flag[0] = AWAY


class Chores:
    """Work that kernels wait for; whichever thread comes first takes the next piece of it.

    Attributes
    ----------
    left : ndarray of shape (1,)
        For the kernels, which spin: pieces still to be done, below 0 when they never will be.
    """

    def __init__(self) -> None:
        self.left = np.zeros(1, dtype=np.int64)
        self._told = threading.Event()
        self._needed: list[Callable[[], None]] = []
        self._beside: list[Callable[[], None]] = []

    def begin(
        self, needed: Sequence[Callable[[], None]], beside: Callable[[], None] | None
    ) -> None:
        """Take new work, and some that nobody waits for."""
        self._told.clear()
        self._needed = list(reversed(needed))
        self._beside = [] if beside is None else [beside]
        self.left[0] = len(needed)

    def do_now(
        self, needed: Sequence[Callable[[], None]], beside: Callable[[], None] | None
    ) -> None:
        """Do all of it in this thread, where no other one would be faster."""
        self._needed, self._beside = [], []
        for piece in needed:
            piece()
        if beside is not None:
            beside()
        self.left[0] = 0

    def help_out(self) -> None:
        """Do what is left and not taken yet."""
        for work in (self._needed, self._beside):
            while work:
                try:
                    piece = work.pop()
                except IndexError:  # another thread was faster
                    break
                piece()
                if work is self._needed:
                    self._count_down(1)

    def wait(self, kernel: Callable[[], bool]) -> None:
        """Call a kernel until it says that there was nothing more to wait for."""
        while not kernel():
            self._told.wait()

    def cancel(self) -> None:
        """Let nobody wait any longer: an error or an interrupt ended some piece."""
        self._count_down(CANCELLED)

    def _count_down(self, by: int) -> None:
        if count_down(self.left, by) <= 0:
            self._told.set()
