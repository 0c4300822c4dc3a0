"""What a `Kernel` has to do: multiply-adds by formula, and the bytes that it reads and writes.

The convention is that of :mod:`hwnas.graph.count`: convolutions, matrix products and attention are counted, what goes
element by element isn't (activations, additions, norms, softmax, pooling, interpolation). An operator is in one of the
two tables below, or it can't be counted; nothing is zero because nobody knows it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import NamedTuple

from hwnas.graph.kernel import ABSENT, Kernel, KernelNode, Value

_NCHWC, _MICROSOFT, _TFLITE = "com.microsoft.nchwc", "com.microsoft", "tflite"


class UncountedError(Exception):
    """Why no formula answers."""


class Work(NamedTuple):
    """Of one launch.

    Attributes:
        madds: multiply-adds of the kernel as its runtime runs it: channels that it padded are in.
        bytes_read: of all that goes in, weights included; of a table that is looked up in, what is taken out.
        bytes_written: of all that comes out. What nodes of one kernel hand on isn't in either.
    """

    madds: int
    bytes_read: int
    bytes_written: int


def work(kernel: Kernel) -> Work:
    """Raises as :func:`madds`."""
    used = {index for node in kernel.own for index in node.inputs if index != ABSENT}
    made = {index for node in kernel.own for index in node.outputs}
    written = sum(kernel.values[index].bytes for index in kernel.outputs if index in made)
    sizes = {index: kernel.values[index].bytes for index in used - made}
    for node in kernel.own:
        if node.op in _TAKING_OUT and node.inputs[0] in sizes:
            sizes[node.inputs[0]] = min(sizes[node.inputs[0]], kernel.values[node.outputs[0]].bytes)
    return Work(madds(kernel), sum(sizes.values()), written)


_TAKING_OUT = ("Gather", "GatherElements", "GatherND", "Slice")


def madds(kernel: Kernel) -> int:
    """Multiply-adds of all its own nodes.

    Raises:
        UncountedError: no formula is known for one of them, or its shapes aren't those of its operator.
    """
    return sum(_of_node(kernel, node) for node in kernel.own)


def main_node(kernel: Kernel) -> KernelNode:
    """Of a kernel's own nodes the one with most multiply-adds; the first where no formula tells."""
    return max(kernel.own, key=lambda node: _or_zero(kernel, node))


def _or_zero(kernel: Kernel, node: KernelNode) -> int:
    try:
        return _of_node(kernel, node)
    except UncountedError:
        return 0


@cache
def madds_or_zero(kernel: Kernel) -> int:
    """0 as well where no formula is known: such a kernel is told by the bytes that it moves."""
    try:
        return madds(kernel)
    except UncountedError:
        return 0


def is_free(domain: str, op: str) -> bool:
    """Whether an operator has no multiply-adds, whatever its shapes are."""
    return op in _FREE.get("" if domain == "ai.onnx" else domain, ())


def _of_node(kernel: Kernel, node: KernelNode) -> int:
    if is_free(node.domain, node.op):
        return 0
    formula = _FORMULAS.get((node.domain, node.op))
    if formula is None:
        of = f" of {node.domain}" if node.domain else ""
        raise UncountedError(f"no formula is known for {node.op}{of}")
    try:
        return formula(_Seen(node, kernel.values))
    except LookupError:
        raise UncountedError(f"the shapes around {node.op} aren't what the operator takes") from None


class _Seen(NamedTuple):
    """A node with its values; LookupError for those that aren't there."""

    node: KernelNode
    values: tuple[Value, ...]

    def has(self, place: int) -> bool:
        return place < len(self.node.inputs) and self.node.inputs[place] != ABSENT

    def input(self, place: int) -> Value:
        if not self.has(place):
            raise LookupError
        return self.values[self.node.inputs[place]]

    @property
    def output(self) -> Value:
        return self.values[self.node.outputs[0]]

    def flag(self, name: str) -> bool:
        return self.node.attribute(name, 0) == 1


_Formula = Callable[[_Seen], int]


def _conv(weight: int) -> _Formula:
    """Each output takes a filter (channels of its group, kernel): weights are (M, C / groups, kernel…)."""
    return lambda seen: seen.output.elements * prod(_at_least(3, seen.input(weight).shape)[1:])


def _depthwise_conv(seen: _Seen) -> int:
    """As TensorFlow Lite has it: weights are (1, kernel, kernel, M)."""
    return seen.output.elements * prod(_exactly(4, seen.input(1).shape)[1:3])


def _fully_connected(seen: _Seen) -> int:
    """Weights are (M, C)."""
    return seen.output.elements * _exactly(2, seen.input(1).shape)[1]


def _transposed_conv(seen: _Seen) -> int:
    """Each input goes into a filter: weights are (C, M / groups, kernel…)."""
    return seen.input(0).elements * prod(_at_least(3, seen.input(1).shape)[1:])


def _matmul(seen: _Seen) -> int:
    """Each output takes a row of the left factor."""
    axis = -1
    if seen.flag("transA"):
        axis = 0 if seen.flag("transBatchA") else -2
    return seen.output.elements * seen.input(0).shape[axis]


def _recurrent(weights: tuple[int, int]) -> _Formula:
    """Both matrices (directions, gates · H, I or H), at each step of each sequence: the input is (steps, batch, I)."""
    return lambda seen: prod(seen.input(0).shape[:2]) * sum(seen.input(place).elements for place in weights)


def _attention(past: int) -> _Formula:
    """Each query is held against all keys, and takes its share of all their values.

    Queries and keys are (B, S, H) or (B, heads, S, D); at ``past`` are the keys kept from before, (B, heads, S, D).
    """

    def formula(seen: _Seen) -> int:
        keys = _keys(seen.input(1)) + (_keys(seen.input(past)) if seen.has(past) else 0)
        return (seen.input(0).elements + seen.output.elements) * keys

    return formula


def _keys(value: Value) -> int:
    return value.shape[1 if len(value.shape) == 3 else 2]


def _projected_attention(past: int) -> _Formula:
    """Attention of ONNX Runtime's fused kind: input (B, S, I), weights (I, all of Q, K, V) inside, then as above."""

    def formula(seen: _Seen) -> int:
        batch, steps, _ = _exactly(3, seen.input(0).shape)
        sizes = seen.node.attribute("qkv_hidden_sizes", ())
        width = sizes[0] if isinstance(sizes, tuple) and sizes else seen.input(1).shape[1] // 3
        keys = steps + (seen.input(past).shape[3] if seen.has(past) else 0)
        projections = batch * steps * seen.input(1).elements
        return projections + (batch * steps * int(width) + seen.output.elements) * keys

    return formula


def _einsum(seen: _Seen) -> int:
    """Of two factors: the sizes of all indices multiplied, but for those that one factor alone has and sums up first.

    Where nothing is summed over both it is an outer or elementwise product, which isn't counted. In which order three
    are multiplied is the runtime's choice.
    """
    left, arrow, right = str(seen.node.attribute("equation", "")).replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) == 1:
        return 0
    if len(terms) > 2:
        raise UncountedError("no formula is known for an Einsum of three factors or more")
    named = [_indices(term, len(seen.input(place).shape)) for place, term in enumerate(terms)]
    once = {index for names in named for index in names if sum(each.count(index) for each in named) == 1}
    given = set(_indices(right, len(seen.output.shape))) if arrow else {i for i in once if len(i) == 1} | _dots(named)
    shared = set(named[0]) & set(named[1])
    sizes: dict[str, int] = {}
    for place, names in enumerate(named):
        for index, size in zip(names, seen.input(place).shape, strict=True):
            if index in shared | given:
                sizes[index] = max(size, sizes.get(index, 1))
    return prod(sizes.values()) if shared - given else 0


def _indices(term: str, rank: int) -> list[str]:
    """Letters of a term; those that its ellipsis stands for are numbered from the right."""
    before, dots, behind = term.partition("...")
    hidden = [f"...{place}" for place in range(rank - len(before) - len(behind), 0, -1)] if dots else []
    found = [*before, *hidden, *behind]
    if len(found) != rank:
        raise LookupError
    return found


def _dots(named: list[list[str]]) -> set[str]:
    return {index for names in named for index in names if index.startswith("...")}


def _at_least(rank: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) < rank:
        raise LookupError
    return shape


def _exactly(rank: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != rank:
        raise LookupError
    return shape


_FORMULAS: dict[tuple[str, str], _Formula] = {
    ("", "Conv"): _conv(1),
    ("", "DeformConv"): _conv(1),
    ("", "ConvInteger"): _conv(1),
    ("", "QLinearConv"): _conv(3),
    ("", "ConvTranspose"): _transposed_conv,
    ("", "Gemm"): _matmul,
    ("", "MatMul"): _matmul,
    ("", "MatMulInteger"): _matmul,
    ("", "QLinearMatMul"): _matmul,
    ("", "Einsum"): _einsum,
    ("", "RNN"): _recurrent((1, 2)),
    ("", "GRU"): _recurrent((1, 2)),
    ("", "LSTM"): _recurrent((1, 2)),
    ("", "Attention"): _attention(past=4),
    (_NCHWC, "Conv"): _conv(1),
    (_MICROSOFT, "FusedConv"): _conv(1),
    (_MICROSOFT, "NhwcFusedConv"): _conv(1),
    (_MICROSOFT, "QLinearConv"): _conv(3),
    (_MICROSOFT, "FusedGemm"): _matmul,
    (_MICROSOFT, "QGemm"): _matmul,
    (_MICROSOFT, "FusedMatMul"): _matmul,
    (_MICROSOFT, "TransposeMatMul"): _matmul,
    (_MICROSOFT, "FusedMatMulActivation"): _matmul,
    (_MICROSOFT, "MatMulNBits"): _matmul,
    (_MICROSOFT, "MatMulInteger16"): _matmul,
    (_MICROSOFT, "MatMulIntegerToFloat"): _matmul,
    (_MICROSOFT, "DynamicQuantizeMatMul"): _matmul,
    (_MICROSOFT, "DynamicQuantizeLSTM"): _recurrent((1, 2)),
    (_MICROSOFT, "Attention"): _projected_attention(past=4),
    (_MICROSOFT, "MultiHeadAttention"): _attention(past=6),
    (_TFLITE, "CONV_2D"): _conv(1),
    (_TFLITE, "DEPTHWISE_CONV_2D"): _depthwise_conv,
    (_TFLITE, "FULLY_CONNECTED"): _fully_connected,
}

_FREE = {
    domain: frozenset(names.split())
    for domain, names in {
        "": """
            Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
            Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil
            Celu CenterCropPad Clip Col2Im Compress Concat Constant ConstantOfShape Cos Cosh CumProd CumSum DepthToSpace
            DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
            GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
            GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity InstanceNormalization
            IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool Max
            MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Multinomial Neg
            NegativeLogLikelihoodLoss
            NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear RMSNormalization RandomNormal
            RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
            ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
            ReverseSequence RoiAlign RotaryEmbedding Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid
            Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze
            Sub Sum Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample
            Where Xor
        """,
        _MICROSOFT: """
            BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu DequantizeLinear EmbedLayerNormalization FastGelu
            Gelu GroupNorm LayerNormalization NhwcMaxPool QEmbedLayerNormalization QLinearAdd QLinearAveragePool
            QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
            QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu RelativePositionBias RotaryEmbedding
            SimplifiedLayerNormalization SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization Trilu
        """,
        _NCHWC: """
            AveragePool GlobalAveragePool GlobalMaxPool MaxPool ReorderInput ReorderOutput Upsample
        """,
        _TFLITE: """
            ADD AVERAGE_POOL_2D CONCATENATION HARD_SWISH LOGISTIC MAX_POOL_2D MEAN MINIMUM MUL PAD RELU RELU6 SOFTMAX
        """,
    }.items()
}
"""Operators without multiply-adds, of each domain."""
