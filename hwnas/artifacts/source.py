"""What is exported: a network of hwnas, or somebody's ONNX file; its graph, and what its files are held against."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from hwnas.arrays import Array, Port
from hwnas.artifacts.entry import tensor_of
from hwnas.artifacts.parity import RANDOM_TEXTURES, logits_of, random_textures
from hwnas.artifacts.samples import Samples
from hwnas.artifacts.structure import file_figures
from hwnas.errors import ModelError
from hwnas.files import read_bytes
from hwnas.graph.count import count
from hwnas.graph.opaque import is_opaque
from hwnas.nn.layers import weights_of
from hwnas.nn.network import Network
from hwnas.onnx.model import OnnxModel
from hwnas.onnx.plain import opset_of, plain
from hwnas.onnx.stand_in import index_limits, stand_in
from hwnas.onnx.write import to_onnx
from hwnas.records.model import ModelInfo, Preprocessing
from hwnas.records.network import OUTPUT, NetworkRecord, OfArch, OfFile
from hwnas.records.target import IR_VERSION, Target
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime


class Source(Protocol):
    """A network with its weights."""

    @property
    def info(self) -> ModelInfo:
        """What is known of it beside its weights."""

    @property
    def record(self) -> NetworkRecord:
        """What it is, as an artifact tells it."""

    def graph(self, target: Target) -> bytes:
        """The fp32 ONNX graph that a target's files are made of.

        Raises:
            ModelError: it can't be had in the target's opset.
        """

    def answers(self, samples: Samples) -> Mapping[str, Array]:
        """{output: (N, …)}, by whoever the record names as its reference.

        Raises:
            ModelError: it can't run.
        """

    def stand_ins(self, count: int, seed: int) -> tuple[Samples, str]:
        """So many samples for where no data is at hand, and what they are called."""


@dataclass(frozen=True)
class NetworkSource:
    """See :class:`Source`: a network as it computes in eval mode."""

    network: Network

    @property
    def info(self) -> ModelInfo:
        return self.network.info

    @cached_property
    def record(self) -> OfArch:
        network, counted = self.network, count(self.network.graph)
        channels, height, width = network.graph.in_shapes[0]
        space = network.space.ref
        if space.definition:  # it says everything: where it came from is nobody's business
            space = space.model_copy(update={"source": Path(space.source).name})
        figures = file_figures(to_onnx(network.graph, weights_of(network))) if is_opaque(network.graph) else None
        return OfArch(
            figures=figures, space=space, choices=network.choices, stabilizers=network.stabilizers,
            input_chw=(channels, height, width), madds=counted.madds, params=counted.params,
        )  # fmt: skip

    def graph(self, target: Target) -> bytes:
        weights = weights_of(self.network)
        return to_onnx(self.network.graph, weights, opset=target.opset, ir_version=target.ir_version)

    def answers(self, samples: Samples) -> Mapping[str, Array]:
        (images,) = samples.arrays
        return {OUTPUT: logits_of(self.network, images)}

    def stand_ins(self, count: int, seed: int) -> tuple[Samples, str]:
        return Samples.of(self.record, random_textures(count, self.record.input_chw, seed)), RANDOM_TEXTURES


@dataclass(frozen=True)
class FileSource:
    """See :class:`Source`: somebody's file. ``preprocessing``: of the images that it takes, where anybody knows."""

    model: OnnxModel
    preprocessing: Preprocessing | None = None

    @cached_property
    def info(self) -> ModelInfo:
        path, made_from = Path(self.model.name), {"model": self.record.name}
        if path.is_file():
            made_from = {"file": path.name, "file_sha256": hashlib.sha256(read_bytes(path, ModelError)).hexdigest()}
        return ModelInfo(preprocessing=self.preprocessing, made_from=made_from)

    @cached_property
    def record(self) -> OfFile:
        inputs, outputs = (tuple(map(tensor_of, ports)) for ports in (self.model.inputs, self._gives))
        figures = file_figures(self._plain)
        return OfFile(
            name=Path(self.model.name).name[-1000:], sha256=self.model.sha256, inputs=inputs, outputs=outputs,
            opset=opset_of(onnx.load_from_string(self._plain)), madds=figures.madds, params=figures.params,
        )  # fmt: skip

    def graph(self, target: Target) -> bytes:
        if target.ir_version == IR_VERSION:
            return self._plain
        proto = onnx.load_from_string(self._plain)
        proto.ir_version = target.ir_version
        return bytes(proto.SerializeToString(deterministic=True))

    def answers(self, samples: Samples) -> Mapping[str, Array]:
        batch = self.record.fitted_batch
        return dict(zip(self.record.gives, samples.run(self._session, batch), strict=True))

    def stand_ins(self, count: int, seed: int) -> tuple[Samples, str]:
        record = self.record
        if record.image_chw:
            return Samples.of(record, random_textures(count, record.image_chw, seed)), RANDOM_TEXTURES
        rng = np.random.default_rng(seed)
        drawn = [self._drawn(int(rng.integers(2**31))) for _ in range(-(-count // (record.batch or 1)))]
        stack = np.stack if record.whole else np.concatenate
        return Samples.of(record, *(stack(each)[:count] for each in zip(*drawn, strict=True))), "drawn inputs"

    @cached_property
    def _plain(self) -> bytes:
        return plain(self.model, self._gives, IR_VERSION)

    @cached_property
    def _gives(self) -> list[Port]:
        """Its outputs, of the sizes that they really have: some files don't say."""
        given = self._session.run(self._drawn(0))
        pairs = list(zip(self.model.outputs, given, strict=True))
        for port, array in pairs:
            if not array.size:
                raise ModelError(
                    f"{self.model.name}: its output {port.name} holds nothing for inputs that were drawn, so its size "
                    "depends on what goes in: files can't be held against it"
                )
        return [Port(port.name, array.dtype.name, array.shape) for port, array in pairs]

    @cached_property
    def _session(self) -> Session:
        try:
            return get_runtime("onnxruntime").load(self.model.data, threads=1, precision="fp32", as_is=True)
        except ModelError as error:
            raise ModelError(f"{self.model.name}: {error}") from None

    def _drawn(self, seed: int) -> list[Array]:
        """What one inference takes."""
        rng, limits = np.random.default_rng(seed), index_limits(self.model.proto)
        return [
            rng.integers(limits[port.name], size=port.shape).astype(port.dtype)
            if port.name in limits
            else stand_in(port, rng)
            for port in self.model.inputs
        ]
