"""The space of NAS-Bench-Macro (Su et al., CVPR 2021, "Prioritized Architecture Sampling", §4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from hwnas.graph.graph import Op
from hwnas.ops.downsample import Downsample
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem
from hwnas.space.chain import ChainSpace, Stage, assemble


def _choices(c_in: int, size: int, c_out: int, stride: int) -> tuple[Op, ...]:
    shape = {"c_in": c_in, "h_in": size, "w_in": size, "c_out": c_out}
    identity: Op = Stabilizer(**shape) if (c_in, stride) == (c_out, 1) else Downsample(**shape, stride=stride)
    return (
        identity,
        MBConv(**shape, kernel=3, stride=stride, expansion=3, se=False, act="relu"),
        MBConv(**shape, kernel=5, stride=stride, expansion=6, se=False, act="relu"),
    )


WIDTH = 32
"""Channels of the published network's stem; stages have 2, 4 and 8 times as many, the head 40 times."""

_NARROWER = re.compile(r"macro-w([1-9]\d{0,3})")


def macro(resolution: int | None = None, classes: int | None = None, width: int = WIDTH) -> ChainSpace:
    """8 layers of 3 choices: 0 identity, 1 mbconv k3 e3, 2 mbconv k5 e6; 6,561 archs, input 32.

    With another ``width`` all channels scale alike: the same archs, cheaper to train.
    """
    size = resolution or 32
    name = "macro" if width == WIDTH else f"macro-w{width}"
    return assemble(
        name=name,
        source=name,
        stem=Stem(c_in=3, h_in=size, w_in=size, c_out=width, width=width, stride=1, separable=False, act="relu"),
        stages=[
            Stage(c_out=2 * width, layers=2, stride=2),
            Stage(c_out=4 * width, layers=3, stride=2),
            Stage(c_out=8 * width, layers=3, stride=2),
        ],
        choices=_choices,
        head_width=40 * width,
        classes=classes or 10,
        act="relu",
    )


def narrower_macro(name: str) -> Callable[[int | None, int | None], ChainSpace] | None:
    """The maker of ``macro-w12`` and the like, macro with a stem of 12 channels; None for other names."""
    match = _NARROWER.fullmatch(name)
    return partial(macro, width=int(match[1])) if match else None
