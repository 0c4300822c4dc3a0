"""What was exported: a network of a space, or somebody's file; and what files made of it are held against."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from hwnas.arrays import Port
from hwnas.graph.graph import Graph
from hwnas.graph.kernel import DType
from hwnas.record import Record, Sha256
from hwnas.records.model import Count, Pixels, SizedArch
from hwnas.records.target import Batch, Target
from hwnas.space.arch import Arch
from hwnas.space.registry import get_space

INPUT = "images"
OUTPUT = "logits"
"""Of a network of a space."""


class Tensor(Record):
    """What a model takes or gives.

    Attributes:
        dtype: as NumPy calls it; uint8 where the preprocessing of images is part of the graph.
        shape: batch included, None where it is open.
        layout: of images; None of anything else.
    """

    name: Annotated[str, Field(min_length=1, max_length=1000)]
    dtype: DType
    shape: tuple[Annotated[int, Field(ge=1, le=2**31)] | None, ...]
    layout: Literal["NCHW", "NHWC"] | None = None

    def __str__(self) -> str:
        sides = "×".join("N" if size is None else str(size) for size in self.shape) or "a number"
        return f"{self.dtype} {sides}{f' {self.layout}' if self.layout else ''}"


class Figures(Record):
    """How large a graph is.

    Attributes:
        madds: multiply-adds of convolutions and products, of a sample.
        params: numbers in its constants, batch norms folded; of what several nodes read, for each of them.
    """

    madds: Count
    params: Count


class OfArch(SizedArch):
    """A network of a space: images (batch, C, H, W) in, logits (batch, classes) out.

    Attributes:
        reference: whose answers its files are held against.
        figures: what its files are held against where blocks are somebody's own code, which whoever has the files
            mustn't have to run; the arch tells it of all others.
    """

    kind: Literal["arch"] = "arch"
    reference: Literal["PyTorch"] = "PyTorch"
    input_chw: tuple[Pixels, Pixels, Pixels]
    figures: Figures | None = None

    @model_validator(mode="after")
    def _counted(self) -> OfArch:
        if self.space.own_code and not self.figures:
            raise ValueError(
                "without figures nobody can tell what files are held against: blocks are somebody's own code"
            )
        return self

    whole: ClassVar[bool] = False
    batch: ClassVar[int | None] = None
    """Any; see :class:`OfFile`."""

    @property
    def arch(self) -> Arch:
        """ArchError or SpaceError where there is no such arch."""
        return Arch(get_space(self.space), self.choices)

    @property
    def graph(self) -> Graph:
        """Of :attr:`arch`, kept stabilizers included."""
        return self.space_of_network().graph(self.arch.choices)

    @property
    def title(self) -> str:
        return self.space.name

    @property
    def image_chw(self) -> tuple[int, int, int] | None:
        return self.input_chw

    @property
    def classes(self) -> int | None:
        return self.space.classes

    @property
    def takes(self) -> tuple[Port, ...]:
        return (Port(INPUT, "float32", self.input_chw),)

    @property
    def gives(self) -> tuple[str, ...]:
        return (OUTPUT,)

    def feed(self, batch: int) -> tuple[Port, ...]:
        return tuple(port._replace(shape=(batch, *port.shape)) for port in self.takes)

    def fitted(self, target: Target) -> Target:
        return target


class OfFile(Record):
    """Somebody's ONNX file, its sizes fixed.

    Attributes:
        reference: what its exports are held against: the file as it was, run node by node in fp32.
        name: of the file, or ``module:callable``.
        sha256: of the model whose answers these are, external weights and fixed sizes included.
        opset: of ONNX's own operators, in what is exported.
        inputs, outputs: their sizes are all known.
        madds: multiply-adds of convolutions and products, of a sample.
        params: numbers in its constants, batch norms folded; of what several nodes read, for each of them.
    """

    kind: Literal["file"] = "file"
    reference: Literal["ONNX Runtime without optimizations"] = "ONNX Runtime without optimizations"
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    sha256: Sha256
    opset: Annotated[int, Field(ge=14, le=1000)]
    inputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    outputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    madds: Count
    params: Count

    @model_validator(mode="after")
    def _fixed(self) -> OfFile:
        for tensor in (*self.inputs, *self.outputs):
            if None in tensor.shape:
                raise ValueError(f"{tensor.name} leaves a size open")
        return self

    @property
    def batch(self) -> int | None:
        """The size that comes first in all that it takes and gives; None where there is none."""
        firsts = {tensor.shape[:1] for tensor in (*self.inputs, *self.outputs)}
        return next(iter(firsts))[0] if len(firsts) == 1 and firsts != {()} else None

    @property
    def whole(self) -> bool:
        """Whether a sample is all that one inference takes, since nothing is known of a batch."""
        return self.batch is None

    @property
    def title(self) -> str:
        return self.name

    @property
    def image_chw(self) -> tuple[int, int, int] | None:
        """Of the image that is its one input; None where it takes something else."""
        match self.takes:
            case (Port(_, "float32", (1 | 3 as channels, int(height), int(width))),):
                return channels, height, width
        return None

    @property
    def classes(self) -> int | None:
        """How many, where its one output may be a score for each; None where it isn't that."""
        match self.outputs:
            case (Tensor(dtype="float32", shape=(_, int(classes))),) if self.batch and classes > 1:
                return classes
        return None

    @property
    def takes(self) -> tuple[Port, ...]:
        """Of a sample: without the batch."""
        sizes = ([size for size in tensor.shape if size] for tensor in self.inputs)
        return tuple(
            Port(tensor.name, tensor.dtype, tuple(shape if self.whole else shape[1:]))
            for tensor, shape in zip(self.inputs, sizes, strict=True)
        )

    @property
    def gives(self) -> tuple[str, ...]:
        return tuple(tensor.name for tensor in self.outputs)

    def feed(self, batch: int) -> tuple[Port, ...]:
        """What one inference of so many samples takes."""
        return tuple(port._replace(shape=port.shape if self.whole else (batch, *port.shape)) for port in self.takes)

    @property
    def fitted_batch(self) -> Batch:
        own = self.batch or 1
        return Batch(min=own, opt=own, max=own)

    def fitted(self, target: Target) -> Target:
        """What is made of it for a target: the file's own batch and opset."""
        return target.model_copy(update={"batch": self.fitted_batch, "opset": self.opset})


NetworkRecord = Annotated[OfArch | OfFile, Field(discriminator="kind")]
"""Where a network is from. Both kinds tell alike what a sample of it is (``takes``, ``gives``, ``whole``, ``batch``,
``image_chw``, ``classes``), what its files are held against (``reference``), and what a target means (``fitted``)."""
