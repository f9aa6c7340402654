"""Numbers that threads change and look at together."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import IS_X86


@intrinsic
def peek(typingctx, flag):
    """The number behind a pointer; what was written before it is seen too."""

    def codegen(context, builder, sig, args):
        return builder.load_atomic(args[0], "acquire", 8)

    return types.int64(flag), codegen


@intrinsic
def add(typingctx, flag, value):
    """Add to the number behind a pointer, after everything this thread wrote before; the sum."""

    def codegen(context, builder, sig, args):
        return builder.add(builder.atomic_rmw("add", args[0], args[1], "acq_rel"), args[1])

    return types.int64(flag, types.int64), codegen


@intrinsic
def swap(typingctx, flag, old, new):
    """Write a number behind a pointer if another one is there; whether it was."""

    def codegen(context, builder, sig, args):
        found = builder.cmpxchg(*args, "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(flag, types.int64, types.int64), codegen


@intrinsic
def pause(typingctx):
    """Leave the core to a sibling for some cycles."""

    def codegen(context, builder, sig, args):
        if IS_X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), codegen
