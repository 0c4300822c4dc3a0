"""The spaces of SCARLET-NAS (arXiv 1908.06022, §4.1) and the architectures released with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product

from hwnas.errors import ArchError
from hwnas.files import read_json
from hwnas.graph.graph import Op
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem
from hwnas.shipped import shipped
from hwnas.space.chain import ChainSpace, Choices, Stage, assemble
from hwnas.space.ref import HeadDefinition, SpaceDefinition, StageDefinition, StemDefinition


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


def mbconv_space(
    said: SpaceDefinition, resolution: int | None = None, classes: int | None = None, *, source: str | None = None
) -> ChainSpace:
    """The space that is described.

    Args:
        said: the description.
        resolution: input size in pixels; as described when None.
        classes: outputs; as described when None.
        source: path of the YAML file that said it; None where the space's name says everything.

    Raises:
        SpaceError: the resolution doesn't fit.
    """
    size = resolution or said.resolution
    return assemble(
        name=said.name,
        source=source or said.name,
        definition=said if source else None,
        stem=Stem(c_in=3, h_in=size, w_in=size, **said.stem.model_dump()),
        stages=[Stage(**stage.model_dump()) for stage in said.stages],
        choices=mbconv_choices(said.kernels, said.expansions, said.se, said.act, said.skip),
        head_width=said.head.width,
        classes=classes or said.classes,
        act=said.head.act,
    )


def _stages(*stages: tuple[int, int, int]) -> tuple[StageDefinition, ...]:
    return tuple(StageDefinition(c_out=c_out, layers=layers, stride=stride) for c_out, layers, stride in stages)


_S1 = SpaceDefinition(  # kernel × expansion: choice 2·ki + ei; skip = 6
    name="scarlet-s1",
    resolution=224,
    classes=1000,
    act="hswish",
    kernels=(3, 5, 7),
    expansions=(3, 6),
    stem=StemDefinition(width=32, c_out=16),
    stages=_stages((32, 2, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1)),
    head=HeadDefinition(width=1280),
)

# With SE off and on: choice 4·ki + 2·ei + se; skip = 12
_S2 = _S1.model_copy(update={"name": "scarlet-s2", "se": (False, True)})

# S1's choices in a small network for 32-pixel images (digits, CIFAR-10): 8 choice layers, 6 of them skippable. The stem
# ends in the width of the first stage, so that only two layers have no residual: with a choice's own basis on either
# side of each such layer, a small supernet takes several times as many updates to learn.
_TINY = _S1.model_copy(
    update={
        "name": "scarlet-tiny",
        "resolution": 32,
        "classes": 10,
        "stem": StemDefinition(width=16, c_out=16),
        "stages": _stages((16, 2, 1), (24, 3, 2), (48, 3, 2)),
        "head": HeadDefinition(width=256),
    }
)

scarlet_s1, scarlet_s2, scarlet_tiny = (partial(mbconv_space, said) for said in (_S1, _S2, _TINY))


def released_archs() -> dict[str, tuple[int, ...]]:
    """The released models' choices in ``scarlet-s2``, by name: what ``export/models/`` holds."""
    paths = sorted(shipped("export", "models").glob("*.json"))
    return {path.stem: tuple(read_json(path, ArchError)["choices"]) for path in paths}
