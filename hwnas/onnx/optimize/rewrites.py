"""Every rewrite by the name that people read, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from onnx import ModelProto

from hwnas.onnx.optimize.activations import hard_sigmoid, hard_swish, one_clamp
from hwnas.onnx.optimize.batchnorm import fold_batchnorm
from hwnas.onnx.optimize.edit import Rewritten
from hwnas.onnx.optimize.gates import spread_gates
from hwnas.onnx.optimize.groups import merge_groups
from hwnas.onnx.optimize.padding import pad_channels
from hwnas.onnx.optimize.pads import pads_into_convolutions
from hwnas.onnx.optimize.pooling import global_average_pool
from hwnas.onnx.optimize.tidy import fold_constants, leave_out_unread, pass_idle


class Rewrite(NamedTuple):
    """A model -> another one that computes the same function; None where there is nothing to rewrite."""

    name: str
    apply: Callable[[ModelProto], Rewritten | None]


ALWAYS = (
    Rewrite("constants computed once", fold_constants),
    Rewrite("nodes that change nothing passed by", pass_idle),
    Rewrite("unread nodes and constants left out", leave_out_unread),
    Rewrite("BatchNormalization folded into the layer before", fold_batchnorm),
)
"""Never slower, so not timed."""


def timed(block: int) -> tuple[tuple[Rewrite, ...], ...]:
    """What may be slower. Of alternatives, which stand together, at most one is taken, the fastest.

    ``block``: channels that the runtime has in one block of its layout, 1 where it has no such layout.
    """
    groups = (
        Rewrite(f"groups merged to blocks of {block}", partial(merge_groups, block=block)),
        Rewrite(f"channels padded, groups merged to blocks of {block}", partial(_padded_and_merged, block=block)),
    )
    blocked = (
        Rewrite("gates spread over the pixels", spread_gates),
        Rewrite(f"channels padded to blocks of {block}", partial(pad_channels, block=block)),
        Rewrite(f"gates spread, channels padded to blocks of {block}", partial(_spread_and_padded, block=block)),
    )
    return (
        (Rewrite("x·clip(x/6 + 1/2, 0, 1) as HardSwish", hard_swish),),
        (Rewrite("clip(a·x + b, 0, 1) as HardSigmoid", hard_sigmoid),),
        (Rewrite("a clamp of a clamp as one Clip", one_clamp),),
        (Rewrite("means over all pixels as GlobalAveragePool", global_average_pool),),
        (Rewrite("zeros around a convolution as its own padding", pads_into_convolutions),),
        *((groups, blocked) if block > 1 else ()),
    )


def _spread_and_padded(model: ModelProto, block: int) -> Rewritten | None:
    """One may pay only beside the other: a set of channels leaves the blocked layout by either."""
    return _both(spread_gates(model), partial(pad_channels, block=block))


def _padded_and_merged(model: ModelProto, block: int) -> Rewritten | None:
    """Where the number of groups can't be divided until channels are padded."""
    return _both(pad_channels(model, block), partial(merge_groups, block=block))


def _both(first: Rewritten | None, then: Callable[[ModelProto], Rewritten | None]) -> Rewritten | None:
    second = then(first.model) if first else None
    return Rewritten(second.model, (*first.places, *second.places)) if first and second else None
