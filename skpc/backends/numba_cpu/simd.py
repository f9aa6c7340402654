"""A vector-register type for numba: ``LANES`` numbers that move together.

numba's own loop vectoriser keeps no accumulator in a register across a loop of unknown
shape. With an explicit vector type it does, and a plain matrix product written below
reaches 92–99 GFLOP/s at 32 units on a core where the BLAS call reaches 45 (AVX2, tiles of
128 rows): small products lose half their time in BLAS packing. Everything here is one
LLVM instruction or intrinsic; LLVM splits or joins the vectors for the processor at hand.
"""

from __future__ import annotations

import platform

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

from .lines import LINE

try:
    _FEATURES = llvm.get_host_cpu_features()
except RuntimeError:  # a host that LLVM cannot describe
    _FEATURES = {}

#: Numbers in a vector: one register of float32 on AVX-512, one on AVX2, two on NEON.
LANES = 16 if _FEATURES.get("avx512f") else 8
#: Half of them.
HALF = LANES // 2
#: Rows in a panel: two vectors, so that 4 × 2 accumulators hide the latency of a product.
PANEL = 2 * LANES

IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
_I32 = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()
_I64 = ir.IntType(64)
_BITS = {"float": (_I32, 23, 127), "double": (_I64, 52, 1023)}
_SUFFIX = {"float": "f32", "double": "f64"}


class Vector(types.Type):
    """The numba type of ``LANES`` numbers of one dtype."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector{LANES}({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, LANES))


@intrinsic
def pointer(typingctx, array):
    """The data of a contiguous array, None for None.

    Kernels pass bare pointers: an array argument is seven values. What is None in a call is cut
    out of the kernels that are compiled for it.
    """
    if isinstance(array, types.NoneType):
        return array(array), lambda context, builder, sig, args: context.get_dummy_value()
    if array.layout != "C":
        raise TypingError(f"Kernels read contiguous arrays only, not {array}.")

    def codegen(context, builder, sig, args):
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def pointer_at(typingctx, like, address):
    """What lies at an address, as a pointer of the kind of another."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[1], context.get_value_type(sig.return_type))

    return like(like, types.int64), codegen


@intrinsic
def offset(typingctx, source, n):
    """The pointer ``n`` numbers further on, None for None."""
    if isinstance(source, types.NoneType):
        return source(source, types.intp), lambda context, builder, sig, args: args[0]

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return source(source, types.intp), codegen


@intrinsic
def is_there(typingctx, source):
    """Whether a pointer is not that of address 0; None is not there."""
    if isinstance(source, types.NoneType):
        return types.bool_(source), lambda context, builder, sig, args: cgutils.false_bit

    def codegen(context, builder, sig, args):
        return builder.icmp_unsigned("!=", builder.ptrtoint(args[0], _I64), ir.Constant(_I64, 0))

    return types.bool_(source), codegen


@intrinsic
def numbers_of_line(typingctx, source):
    """How many numbers behind a pointer share a cache line."""

    def codegen(context, builder, sig, args):
        return ir.Constant(_I64, 8 * LINE // sig.args[0].dtype.bitwidth)

    return types.int64(source), codegen


@intrinsic
def prefetch(typingctx, source, index):
    """Bring the line of a number near, into the second cache; nothing happens for None."""
    return types.void(source, types.intp), _prefetching(source, 0, 2)


@intrinsic
def prefetch_to_write(typingctx, target, index):
    """Make a line one's own before it is written."""
    return types.void(target, types.intp), _prefetching(target, 1, 3)


def _prefetching(pointer, writes, nearness):
    nothing = isinstance(pointer, types.NoneType)

    def codegen(context, builder, sig, args):
        if not nothing:
            place = builder.bitcast(builder.gep(args[0], [args[1]]), _BYTES)
            how = [ir.Constant(_I32, k) for k in (writes, nearness, 1)]
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), place, *how)
        return context.get_dummy_value()

    return codegen


@intrinsic
def load(typingctx, source, index):
    """One number behind a pointer."""

    def codegen(context, builder, sig, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return source.dtype(source, types.intp), codegen


@intrinsic
def store(typingctx, target, index, value):
    """Write one number behind a pointer."""

    def codegen(context, builder, sig, args):
        number = context.cast(builder, args[2], sig.args[2], sig.args[0].dtype)
        builder.store(number, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(target, types.intp, value), codegen


def _pointer_to(builder, pointer, index, kind):
    return builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer())


def _splat(builder, value):
    kind = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def _constant(kind, value):
    return ir.Constant(kind, [value] * LANES)


def _call(builder, name, result, *args):
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, [a.type for a in args]), name
    )
    return builder.call(function, args)


def _vector_name(operation, kind):
    return f"llvm.{operation}.v{LANES}{_SUFFIX[str(kind.element)]}"


@intrinsic
def vload(typingctx, source, index):
    """LANES consecutive numbers behind a pointer."""

    def codegen(context, builder, sig, args):
        kind = context.get_value_type(sig.return_type)
        value = builder.load(_pointer_to(builder, *args, kind))
        value.align = sig.args[0].dtype.bitwidth // 8
        return value

    return Vector(source.dtype)(source, types.intp), codegen


@intrinsic
def vstore(typingctx, target, index, vector):
    """Write LANES consecutive numbers."""

    def codegen(context, builder, sig, args):
        place = _pointer_to(builder, *args[:2], args[2].type)
        builder.store(args[2], place).align = sig.args[0].dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(target, types.intp, vector), codegen


def _first_lanes(builder, n):
    """A mask of the first ``n`` lanes."""
    kind = ir.VectorType(_I64, LANES)
    return builder.icmp_signed("<", ir.Constant(kind, list(range(LANES))), _splat(builder, n))


def _masked_name(operation, kind):
    return f"llvm.masked.{operation}.v{LANES}{_SUFFIX[str(kind.element)]}.p0"


@intrinsic
def vload_some(typingctx, source, index, n):
    """The first ``n`` of LANES consecutive numbers, zeros for the others, which are not read."""

    def codegen(context, builder, sig, args):
        kind = context.get_value_type(sig.return_type)
        place = _pointer_to(builder, *args[:2], kind)
        align = ir.Constant(_I32, sig.args[0].dtype.bitwidth // 8)
        mask, nothing = _first_lanes(builder, args[2]), _constant(kind, 0.0)
        return _call(builder, _masked_name("load", kind), kind, place, align, mask, nothing)

    return Vector(source.dtype)(source, types.intp, types.int64), codegen


@intrinsic
def vstore_some(typingctx, target, index, vector, n):
    """Write the first ``n`` of LANES consecutive numbers."""

    def codegen(context, builder, sig, args):
        value = args[2]
        place = _pointer_to(builder, *args[:2], value.type)
        align = ir.Constant(_I32, sig.args[0].dtype.bitwidth // 8)
        mask = _first_lanes(builder, args[3])
        name = _masked_name("store", value.type)
        _call(builder, name, ir.VoidType(), value, place, align, mask)
        return context.get_dummy_value()

    return types.void(target, types.intp, vector, types.int64), codegen


@intrinsic
def vload_half(typingctx, source, index):
    """HALF consecutive numbers, then zeros."""

    def codegen(context, builder, sig, args):
        kind = context.get_value_type(sig.return_type)
        half = ir.VectorType(kind.element, HALF)
        low = builder.load(_pointer_to(builder, *args, half))
        low.align = sig.args[0].dtype.bitwidth // 8
        lanes = ir.Constant(ir.VectorType(_I32, LANES), list(range(LANES)))
        return builder.shuffle_vector(low, ir.Constant(half, [0.0] * HALF), lanes)

    return Vector(source.dtype)(source, types.intp), codegen


@intrinsic
def vstore_half(typingctx, target, index, vector):
    """Write the first HALF numbers of a vector."""

    def codegen(context, builder, sig, args):
        value = args[2]
        lanes = ir.Constant(ir.VectorType(_I32, HALF), list(range(HALF)))
        low = builder.shuffle_vector(value, value, lanes)
        place = _pointer_to(builder, *args[:2], low.type)
        builder.store(low, place).align = sig.args[0].dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(target, types.intp, vector), codegen


@intrinsic
def vbroadcast(typingctx, source, index):
    """One number behind a pointer in every lane."""

    def codegen(context, builder, sig, args):
        return _splat(builder, builder.load(builder.gep(args[0], [args[1]])))

    return Vector(source.dtype)(source, types.intp), codegen


@intrinsic
def vfill(typingctx, like, value):
    """A number in every lane, in the dtype of a pointer."""
    scalar = like.dtype

    def codegen(context, builder, sig, args):
        return _splat(builder, context.cast(builder, args[1], sig.args[1], scalar))

    return Vector(scalar)(like, value), codegen


def _binary(operation, doc):
    @intrinsic
    def function(typingctx, a, b):
        def codegen(context, builder, sig, args):
            return getattr(builder, operation)(*args)

        return a(a, b), codegen

    function.__doc__ = doc
    return function


vadd = _binary("fadd", "a + b")
vsub = _binary("fsub", "a - b")
vmul = _binary("fmul", "a · b")
vdiv = _binary("fdiv", "a / b")


@intrinsic
def vfma(typingctx, a, b, c):
    """a · b + c with one rounding."""

    def codegen(context, builder, sig, args):
        kind = args[0].type
        return _call(builder, _vector_name("fma", kind), kind, *args)

    return a(a, b, c), codegen


def _extremum(order, doc):
    @intrinsic
    def function(typingctx, a, b):
        def codegen(context, builder, sig, args):
            return builder.select(builder.fcmp_ordered(order, *args), *args)

        return a(a, b), codegen

    function.__doc__ = doc
    return function


vmax = _extremum(">", "The larger number of each lane; b where one is NaN.")
vmin = _extremum("<", "The smaller number of each lane; b where one is NaN.")


def divide_or_zero(builder, a, b):
    """Instructions for a / b where b > 0, else 0."""
    zero = ir.Constant(a.type, None)
    return builder.select(builder.fcmp_ordered(">", b, zero), builder.fdiv(a, b), zero)


@intrinsic
def vdivide_or_zero(typingctx, a, b):
    """a / b where b > 0, else 0, of vectors or of single numbers: a flow of 0/0 is 0."""
    return a(a, b), lambda context, builder, sig, args: divide_or_zero(builder, *args)


@intrinsic
def vselect_less(typingctx, a, b, if_less, otherwise):
    """``if_less`` in the lanes where a < b, else ``otherwise``."""

    def codegen(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

    return if_less(a, b, if_less, otherwise), codegen


@intrinsic
def vselect_code(typingctx, codes, code, if_equal, otherwise):
    """``if_equal`` in the lanes whose integer code is ``code``, else ``otherwise``."""

    def codegen(context, builder, sig, args):
        wanted = _splat(builder, builder.trunc(args[1], args[0].type.element))
        return builder.select(builder.icmp_signed("==", args[0], wanted), args[2], args[3])

    return if_equal(codes, types.intp, if_equal, otherwise), codegen


@intrinsic
def vsum(typingctx, a):
    """Sum over the lanes, in a fixed tree."""

    def codegen(context, builder, sig, args):
        value, width = args[0], LANES
        while width > 1:
            half = width // 2
            undefined = ir.Constant(value.type, ir.Undefined)
            mask = ir.VectorType(_I32, half)
            low = builder.shuffle_vector(value, undefined, ir.Constant(mask, list(range(half))))
            high = builder.shuffle_vector(
                value, undefined, ir.Constant(mask, list(range(half, width)))
            )
            value, width = builder.fadd(low, high), half
        return builder.extract_element(value, ir.Constant(_I32, 0))

    return a.dtype(a), codegen


@intrinsic
def add_four_sums(typingctx, target, index, a, b, c, d):
    """Add the lane sums of four vectors to four consecutive numbers, by a shared tree.

    By count about thirteen instructions, where four separate sums take about thirty-six.
    """

    def codegen(context, builder, sig, args):
        def pair(x, y, low, high):
            mask = ir.VectorType(_I32, len(low))
            return builder.fadd(
                builder.shuffle_vector(x, y, ir.Constant(mask, low)),
                builder.shuffle_vector(x, y, ir.Constant(mask, high)),
            )

        vectors, width = args[2:], LANES
        while width > 8:
            half = width // 2
            low, high = list(range(half)), list(range(half, width))
            vectors, width = [pair(v, v, low, high) for v in vectors], half
        first = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
        second = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
        left, right = pair(*vectors[:2], *first), pair(*vectors[2:], *first)
        both = pair(left, right, *second)
        sums = pair(both, both, [0, 1, 2, 3], [4, 5, 6, 7])
        place = _pointer_to(builder, *args[:2], sums.type)
        old = builder.load(place)
        old.align = sig.args[0].dtype.bitwidth // 8
        builder.store(builder.fadd(old, sums), place).align = old.align
        return context.get_dummy_value()

    return types.void(target, types.intp, a, b, c, d), codegen


@intrinsic
def vdouble(typingctx, a):
    """The lanes as float64."""

    def codegen(context, builder, sig, args):
        target = context.get_value_type(sig.return_type)
        return args[0] if args[0].type == target else builder.fpext(args[0], target)

    return Vector(types.float64)(a), codegen


@intrinsic
def vlike(typingctx, like, a):
    """The lanes of a float64 vector in the dtype of a pointer."""

    def codegen(context, builder, sig, args):
        target = context.get_value_type(sig.return_type)
        return args[1] if args[1].type == target else builder.fptrunc(args[1], target)

    return Vector(like.dtype)(like, a), codegen


def _exponent_bits(builder, value):
    integer, shift, bias = _BITS[str(value.type.element)]
    kind = ir.VectorType(integer, LANES)
    bits = builder.lshr(builder.bitcast(value, kind), _constant(kind, shift))
    return builder.and_(bits, _constant(kind, 2 * bias + 1)), kind, shift, bias


@intrinsic
def vexponent(typingctx, a):
    """Exponent e with a · 2^-e in [0.5, 1) for a normal a > 0; 0 for a = 0."""

    def codegen(context, builder, sig, args):
        bits, kind, _, bias = _exponent_bits(builder, args[0])
        exponent = builder.sub(bits, _constant(kind, bias - 1))
        zero = builder.icmp_signed("==", bits, _constant(kind, 0))
        exponent = builder.select(zero, _constant(kind, 0), exponent)
        narrow = ir.VectorType(_I32, LANES)
        if kind != narrow:
            exponent = builder.trunc(exponent, narrow)
        return builder.sitofp(exponent, args[0].type)

    return a(a), codegen


@intrinsic
def vpower_inverse(typingctx, a):
    """2^-e for the e of :func:`vexponent`: scaling by it loses no bit."""

    def codegen(context, builder, sig, args):
        bits, kind, shift, bias = _exponent_bits(builder, args[0])
        zero = builder.icmp_signed("==", bits, _constant(kind, 0))
        top = _constant(kind, 2 * bias - 2)
        bits = builder.select(builder.icmp_signed(">", bits, top), top, bits)
        inverse = builder.sub(_constant(kind, 2 * bias - 1), bits)
        inverse = builder.select(zero, _constant(kind, bias), inverse)
        return builder.bitcast(builder.shl(inverse, _constant(kind, shift)), args[0].type)

    return a(a), codegen


_LN2 = {
    "float": (0.693359375, -2.12194440e-4),
    "double": (0.693145751953125, 1.42860682030941723212e-6),
}
_EXP_FLOOR = {"float": -87.0, "double": -708.0}
_EXP_DEGREE = {"float": 7, "double": 13}


@intrinsic
def vexp(typingctx, a):
    """exp(a) for a ≤ 0; 0 below -87 (float32) or -708 (float64).

    a = n ln 2 + r with |r| ≤ ln 2 / 2, the Taylor polynomial of exp(r), and 2^n by its
    bits: about one unit in the last place.
    """

    def codegen(context, builder, sig, args):
        x = args[0]
        kind = x.type
        name = str(kind.element)
        integer, shift, bias = _BITS[name]
        floor = _constant(kind, _EXP_FLOOR[name])
        low = builder.fcmp_ordered("<", x, floor)
        clipped = builder.select(low, floor, x)
        n = _call(
            builder,
            _vector_name("rint", kind),
            kind,
            builder.fmul(clipped, _constant(kind, 1.4426950408889634)),
        )
        fma = _vector_name("fma", kind)
        high, rest = _LN2[name]
        r = _call(builder, fma, kind, n, _constant(kind, -high), clipped)
        r = _call(builder, fma, kind, n, _constant(kind, -rest), r)
        factorial, coefficients = 1.0, []
        for i in range(_EXP_DEGREE[name] + 1):
            factorial *= max(i, 1)
            coefficients.append(1.0 / factorial)
        value = _constant(kind, _rounded(coefficients[-1], name))
        for c in reversed(coefficients[:-1]):
            value = _call(builder, fma, kind, value, r, _constant(kind, _rounded(c, name)))
        whole = builder.fptosi(n, ir.VectorType(_I32, LANES))
        bits = ir.VectorType(integer, LANES)
        if bits != whole.type:
            whole = builder.sext(whole, bits)
        power = builder.shl(builder.add(whole, _constant(bits, bias)), _constant(bits, shift))
        value = builder.fmul(value, builder.bitcast(power, kind))
        return builder.select(low, _constant(kind, 0.0), value)

    return a(a), codegen


def _rounded(value, name):
    import numpy as np

    return float(np.float32(value)) if name == "float" else value


#: Of the control word: subnormal operands count as zero, and so do results.
_FLUSHING = 0x8040


def _rounding(doc, change):
    @intrinsic
    def function(typingctx):
        def codegen(context, builder, sig, args):
            word = cgutils.alloca_once(builder, _I32)
            if not IS_X86:
                return ir.Constant(_I32, 0)
            pointer = builder.bitcast(word, ir.IntType(8).as_pointer())
            _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), pointer)
            before = builder.load(word)
            builder.store(change(builder, before), word)
            _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), pointer)
            return before

        return types.int32(), codegen

    function.__doc__ = doc
    return function


flush_subnormals = _rounding(
    """Make this thread round numbers below the smallest normal one to zero.

    Returns the former control word for :func:`restore_rounding`. Subnormal operands cost
    twenty times a normal operation; what is lost is counted in the bounds. Only x86 has
    the register; elsewhere this does nothing.
    """,
    lambda builder, word: builder.or_(word, ir.Constant(_I32, _FLUSHING)),
)
keep_subnormals = _rounding(
    "The opposite, for parameters, which are never rounded to zero.",
    lambda builder, word: builder.and_(word, ir.Constant(_I32, ~_FLUSHING)),
)


@intrinsic
def restore_rounding(typingctx, before):
    """Undo :func:`flush_subnormals` or :func:`keep_subnormals`."""

    def codegen(context, builder, sig, args):
        if IS_X86:
            word = cgutils.alloca_once(builder, _I32)
            builder.store(args[0], word)
            pointer = builder.bitcast(word, ir.IntType(8).as_pointer())
            _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), pointer)
        return context.get_dummy_value()

    return types.void(types.int32), codegen


@intrinsic
def never_inline(typingctx):
    """Keep the function that calls this out of its callers: it is compiled once, not tenfold."""

    def codegen(context, builder, sig, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def always_inline(typingctx):
    """Make the function that calls this a part of its callers: a call takes as long as its loop."""

    def codegen(context, builder, sig, args):
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return types.void(), codegen
