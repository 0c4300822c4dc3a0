"""The space of NAS-Bench-Macro (Su et al., CVPR 2021, "Prioritized Architecture Sampling", §4)."""

from __future__ import annotations

from hwnas.space.op import Downsample, MBConv, Op, Stabilizer, Stem
from hwnas.space.space import Space, Stage, assemble


def _choices(c_in: int, size: int, c_out: int, stride: int) -> tuple[Op, ...]:
    shape = {"c_in": c_in, "h_in": size, "w_in": size, "c_out": c_out}
    identity: Op = Stabilizer(**shape) if (c_in, stride) == (c_out, 1) else Downsample(**shape, stride=stride)
    return (
        identity,
        MBConv(**shape, kernel=3, stride=stride, expansion=3, se=False, act="relu"),
        MBConv(**shape, kernel=5, stride=stride, expansion=6, se=False, act="relu"),
    )


def macro(resolution: int | None = None, classes: int | None = None) -> Space:
    """8 layers of 3 choices: 0 identity, 1 mbconv k3 e3, 2 mbconv k5 e6; 6,561 archs, input 32."""
    size = resolution or 32
    return assemble(
        name="macro",
        source="macro",
        stem=Stem(c_in=3, h_in=size, w_in=size, c_out=32, width=32, stride=1, separable=False, act="relu"),
        stages=[
            Stage(c_out=64, layers=2, stride=2),
            Stage(c_out=128, layers=3, stride=2),
            Stage(c_out=256, layers=3, stride=2),
        ],
        choices=_choices,
        head_width=1280,
        classes=classes or 10,
        act="relu",
    )
