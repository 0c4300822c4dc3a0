"""The spaces of SCARLET-NAS (arXiv 1908.06022, §4.1) and the architectures released with it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from hwnas.errors import ArchError
from hwnas.files import read_json
from hwnas.graph.graph import Op
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem
from hwnas.shipped import shipped
from hwnas.space.chain import ChainSpace, Choices, Stage, assemble


def mbconv_choices(
    kernels: Sequence[int], expansions: Sequence[float], se: Sequence[bool], act: str, skip: bool
) -> Choices:
    """Every kernel × expansion × SE, SE fastest, then the skip where the layer keeps its shape."""

    def choices(c_in: int, size: int, c_out: int, stride: int) -> tuple[Op, ...]:
        ops: list[Op] = [
            MBConv(
                c_in=c_in, h_in=size, w_in=size, c_out=c_out, kernel=k, stride=stride, expansion=e, se=with_se, act=act
            )
            for k, e, with_se in product(kernels, expansions, se)
        ]
        if skip and stride == 1 and c_in == c_out:
            ops.append(Stabilizer(c_in=c_in, h_in=size, w_in=size, c_out=c_out))
        return tuple(ops)

    return choices


def _scarlet(name: str, se: Sequence[bool], resolution: int, classes: int) -> ChainSpace:
    return assemble(
        name=name,
        source=name,
        stem=Stem(c_in=3, h_in=resolution, w_in=resolution, c_out=16, width=32, stride=2, separable=True, act="relu6"),
        stages=[
            Stage(c_out=32, layers=2, stride=2),
            Stage(c_out=40, layers=4, stride=2),
            Stage(c_out=80, layers=4, stride=2),
            Stage(c_out=96, layers=4, stride=1),
            Stage(c_out=192, layers=4, stride=2),
            Stage(c_out=320, layers=1, stride=1),
        ],
        choices=mbconv_choices((3, 5, 7), (3, 6), se, "hswish", skip=True),
        head_width=1280,
        classes=classes,
        act="relu6",
    )


def scarlet_s1(resolution: int | None = None, classes: int | None = None) -> ChainSpace:
    """S1: kernel (3, 5, 7) × expansion (3, 6), index ``2·ki + ei``; skip = 6."""
    return _scarlet("scarlet-s1", (False,), resolution or 224, classes or 1000)


def scarlet_s2(resolution: int | None = None, classes: int | None = None) -> ChainSpace:
    """S2: S1 with SE off and on, index ``4·ki + 2·ei + se``; skip = 12."""
    return _scarlet("scarlet-s2", (False, True), resolution or 224, classes or 1000)


def scarlet_tiny(resolution: int | None = None, classes: int | None = None) -> ChainSpace:
    """S1's choices in a small network for 32-pixel images (digits, CIFAR-10): 8 choice layers, 6 of them skippable.

    The stem ends in the width of the first stage, so that only two layers have no residual: with a choice's own
    basis on either side of each such layer, a small supernet takes several times as many updates to learn.
    """
    size = resolution or 32
    return assemble(
        name="scarlet-tiny",
        source="scarlet-tiny",
        stem=Stem(c_in=3, h_in=size, w_in=size, c_out=16, width=16, stride=2, separable=True, act="relu6"),
        stages=[
            Stage(c_out=16, layers=2, stride=1),
            Stage(c_out=24, layers=3, stride=2),
            Stage(c_out=48, layers=3, stride=2),
        ],
        choices=mbconv_choices((3, 5, 7), (3, 6), (False,), "hswish", skip=True),
        head_width=256,
        classes=classes or 10,
        act="relu6",
    )


def released_archs() -> dict[str, tuple[int, ...]]:
    """The released models' choices in ``scarlet-s2``, by name: what ``export/models/`` holds."""
    paths = sorted(shipped("export", "models").glob("*.json"))
    return {path.stem: tuple(read_json(path, ArchError)["choices"]) for path in paths}
