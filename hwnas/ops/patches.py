"""`Patches`: what every vision transformer begins with, an image cut into tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import SpaceError
from hwnas.graph.graph import Graph
from hwnas.ops.block import Block


@dataclass(frozen=True, kw_only=True)
class Patches(Block):
    """Each patch × patch pixels become a token of ``c_out`` channels; learned positions (ViT, arXiv 2010.11929, §3.1).

    Attributes:
        patch: height and width of a patch in pixels; it divides the image's.
        token: whether a learned class token stands in front.

    Raises:
        SpaceError: the image isn't a whole number of patches.
    """

    kind: ClassVar[str] = "patches"
    patch: int
    token: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.h_in % self.patch or self.w_in % self.patch:
            raise SpaceError(f"{self.h_in}×{self.w_in} pixels aren't whole patches of {self.patch}; take a multiple")

    def expand(self) -> Graph:
        net = self.draft()
        y = net.conv("conv", net.input, self.c_out, self.patch, self.patch, bias=True, padded=False)
        count = (self.h_in // self.patch) * (self.w_in // self.patch)
        y = net.transpose("tokens", net.reshape("flatten", y, (self.c_out, count)), (2, 1))
        return net.graph(net.position("position", y, self.token))

    @property
    def label(self) -> str:
        return f"patches of {self.patch}×{self.patch}{', class token' if self.token else ''}"

    @property
    def caption(self) -> str:
        return self.kind

    def _details(self) -> str:
        return f" p{self.patch}{' token' if self.token else ''}"
