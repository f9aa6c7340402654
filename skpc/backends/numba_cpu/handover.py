"""One number by which threads tell each other, in their kernels, that they may go on."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .kernel_cache import entry_kernel, kernel
from .simd import IS_X86, pointer

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
