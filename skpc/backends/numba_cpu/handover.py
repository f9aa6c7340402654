"""One number by which a thread tells others, in their kernels, that they may go on."""

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
def _publish(typingctx, flag, value):
    """Set the number behind a pointer, after everything this thread wrote before."""

    def codegen(context, builder, sig, args):
        builder.store_atomic(args[1], args[0], "release", 8)
        return context.get_dummy_value()

    return types.void(flag, types.int64), codegen


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
    """The number once it is not 0, or 0 after a while: sleeping takes longer than most waits."""
    flag = pointer(ready)
    for _ in range(TURNS):
        value = _peek(flag)
        if value != 0:
            return value
        _pause()
    return 0


@entry_kernel
def announce(ready, value):
    """Let those who wait for ``ready`` go on."""
    _publish(pointer(ready), value)
