"""What is asked of a single choice of a layer: whether it is the skip, whether it deepens the network, its name."""

from __future__ import annotations

from hwnas.space.op import Downsample, MBConv, Op, Stabilizer

# These three questions are for ops themselves to answer; until they do, here is the one place that knows kinds of ops.


def is_skip(op: Op) -> bool:
    """Whether an arch without stabilizers has nothing in this layer."""
    return isinstance(op, Stabilizer)


def adds_depth(op: Op) -> bool:
    """Whether a choice adds to an arch's depth: skips don't, nor does the 1×1 convolution that is macro's identity."""
    return not isinstance(op, Stabilizer | Downsample)


def choice_name(op: Op) -> str:
    """What a choice is called: ``k3 e6 se``, ``skip``, or its kind."""
    if is_skip(op):
        return "skip"
    if isinstance(op, MBConv):
        return f"k{op.kernel} e{op.expansion:g}{' se' if op.se else ''}"
    return op.kind
