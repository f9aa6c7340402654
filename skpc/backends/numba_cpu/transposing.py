"""Blocks of rows turned into panels and back: LANES rows by LANES or by half as many numbers.

A row lies in consecutive memory here, and in a panel a lane is a row. Rows are any, by their
numbers, or follow each other.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import HALF, LANES, PANEL, Vector, divide_or_zero

#: Panels of which PANEL units are turned at once: 16 KB of numbers, which stay in the first cache.
TURNED = 4
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _shuffled(builder, a, b, lanes):
    mask = ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def _transposed(builder, vectors):
    """Transpose every square block of lanes: of so many lanes as there are vectors."""
    vectors, step = list(vectors), 1
    while step < len(vectors):
        low = [j if not j & step else LANES + j - step for j in range(LANES)]
        high = [j + step if not j & step else LANES + j for j in range(LANES)]
        for i in range(len(vectors)):
            if not i & step:
                a, b = vectors[i], vectors[i + step]
                vectors[i] = _shuffled(builder, a, b, low)
                vectors[i + step] = _shuffled(builder, a, b, high)
        step *= 2
    return vectors


def _places(context, builder, rows, first, source, at, step):
    """Pointers to the rows of a block."""
    found = []
    for i in range(LANES):
        row = builder.add(first, ir.Constant(_I64, i))
        if not isinstance(rows[0], types.NoneType):
            row = builder.load(builder.gep(rows[1], [row]))
            row = context.cast(builder, row, rows[0].dtype, types.int64)
        found.append(builder.gep(source, [builder.add(at, builder.mul(row, step))]))
    return found


def _load(builder, place, kind, bits):
    """Some consecutive numbers from a pointer."""
    found = builder.load(builder.bitcast(place, kind.as_pointer()))
    found.align = bits // 8
    return found


def _store(builder, numbers, place, bits):
    builder.store(numbers, builder.bitcast(place, numbers.type.as_pointer())).align = bits // 8


def _unit(builder, panel, start, u):
    """A pointer to a vector of a panel."""
    return builder.gep(panel, [builder.add(start, ir.Constant(_I64, u * PANEL))])


@intrinsic
def row_of(typingctx, rows, i):
    """The row of that number, itself without ``rows``."""

    def codegen(context, builder, sig, args):
        if isinstance(rows, types.NoneType):
            return args[1]
        row = builder.load(builder.gep(args[0], [args[1]]))
        return context.cast(builder, row, rows.dtype, types.int64)

    return types.int64(rows, types.int64), codegen


def _reading(width, doc):
    @intrinsic
    def function(typingctx, rows, first, source, divisor, at, step, target, t):
        bits = source.dtype.bitwidth

        def codegen(context, builder, sig, args):
            row, first, source, below, at, step, target, t = args
            whole = context.get_value_type(Vector(sig.args[2].dtype))
            kind = ir.VectorType(whole.element, width)

            def block(array):
                places = _places(context, builder, (rows, row), first, array, at, step)
                return [_load(builder, place, kind, bits) for place in places]

            parts = block(source)
            if not isinstance(divisor, types.NoneType):
                parts = [divide_or_zero(builder, *pair) for pair in zip(parts, block(below))]
            if width < LANES:
                both = list(range(LANES))
                parts = [_shuffled(builder, parts[i], parts[i + width], both) for i in range(width)]
            for u, vector in enumerate(_transposed(builder, parts)):
                _store(builder, vector, _unit(builder, target, t, u), bits)
            return context.get_dummy_value()

        kinds = rows, types.intp, source, divisor, types.intp, types.intp, target, types.intp
        return types.void(*kinds), codegen

    function.__doc__ = doc
    return function


def _writing(width, adds, doc):
    @intrinsic
    def function(typingctx, source, s, rows, first, target, at, step):
        bits = source.dtype.bitwidth

        def codegen(context, builder, sig, args):
            whole = context.get_value_type(Vector(source.dtype))
            kind = ir.VectorType(whole.element, width)
            units = [_unit(builder, *args[:2], u) for u in range(width)]
            vectors = _transposed(builder, [_load(builder, unit, whole, bits) for unit in units])
            places = _places(context, builder, (rows, args[2]), *args[3:7])
            # In the order of rows, some of which may be the same.
            for i, place in enumerate(places):
                lanes = list(range(i // width * width, i // width * width + width))
                vector = vectors[i % width]
                part = vector if width == LANES else _shuffled(builder, vector, vector, lanes)
                if adds:
                    part = builder.fadd(_load(builder, place, kind, bits), part)
                _store(builder, part, place, bits)
            return context.get_dummy_value()

        kinds = source, types.intp, rows, types.intp, target, types.intp, types.intp
        return types.void(*kinds), codegen

    function.__doc__ = doc
    return function


read_rows = _reading(
    LANES,
    "Turn LANES numbers, or quotients, of each of LANES rows into a block of a panel.",
)
read_half_rows = _reading(HALF, "The same of HALF numbers.")
write_rows = _writing(LANES, False, "Write a block of LANES units of a panel to LANES rows.")
write_half_rows = _writing(HALF, False, "The same for HALF units.")
add_rows = _writing(LANES, True, "Add a block of LANES units of a panel to LANES rows.")
add_half_rows = _writing(HALF, True, "The same for HALF units.")


@intrinsic
def room_to_turn(typingctx, like):
    """Room for so many panels on the stack of the function."""

    def codegen(context, builder, sig, args):
        with builder.goto_entry_block():
            kind = context.get_value_type(like).pointee
            place = builder.alloca(kind, ir.Constant(_I64, TURNED * PANEL * PANEL))
            place.align = 64
        return place

    return like(like), codegen
