"""What threads do for each other before their kernels go on, and the number that says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .kernel_cache import entry_kernel, kernel
from .simd import IS_X86, pointer

#: More than anybody waits for.
CANCELLED = 1 << 40
#: Looks at the number before a thread gives up for the time being: some milliseconds.
TURNS = 100_000


@intrinsic
def _peek(typingctx, flag):
    """The number behind a pointer; what was written before it is seen too."""

    def codegen(context, builder, sig, args):
        return builder.load_atomic(args[0], "acquire", 8)

    return types.int64(flag), codegen


@intrinsic
def _add(typingctx, flag, value):
    """Add to the number behind a pointer, after everything this thread wrote before; the sum."""

    def codegen(context, builder, sig, args):
        return builder.add(builder.atomic_rmw("add", args[0], args[1], "acq_rel"), args[1])

    return types.int64(flag, types.int64), codegen


@intrinsic
def _pause(typingctx):
    """Leave the core to a sibling for some cycles."""

    def codegen(context, builder, sig, args):
        if IS_X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), codegen


@kernel
def wait_for(ready):
    """Until ``ready[0]`` is not above 0; False after a while, when sleeping costs less."""
    flag = pointer(ready)
    for _ in range(TURNS):
        if _peek(flag) <= 0:
            return True
        _pause()
    return False


@entry_kernel
def count_down(ready, by):
    """Subtract from ``ready[0]``; what is left. Nobody waits any more at 0 and below."""
    return _add(pointer(ready), -by)


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
