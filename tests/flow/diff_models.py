"""Small foreign ONNX files, each as it should be, rewritten, or with one fault in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from onnx import helper, numpy_helper

WIDTH, SIDE = 4, 6
IMAGES = (1, WIDTH, SIDE, SIDE)


@dataclass
class File:
    """Collects nodes; names begin with ``prefix``, so that files may have none in common."""

    prefix: str = ""
    dtype: type = np.float32
    nodes: list[object] = field(default_factory=list)
    weights: list[object] = field(default_factory=list)

    def add(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [f"{self.prefix}{name}"], f"{self.prefix}{name}", **attributes))
        return f"{self.prefix}{name}"

    def weight(self, name: str, value: npt.ArrayLike, dtype: type | None = None) -> str:
        array = np.asarray(value, dtype or self.dtype)
        self.weights.append(numpy_helper.from_array(array, f"{self.prefix}{name}"))
        return f"{self.prefix}{name}"

    def model(
        self, inputs: dict[str, Sequence[int | str]], outputs: Sequence[str], kinds: dict[str, int] | None = None
    ) -> bytes:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        of = {name: (kinds or {}).get(name, kind) for name in (*inputs, *outputs)}
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info(name, of[name], shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, of[name], None) for name in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data: bytes = model.SerializeToString()
        return data


@dataclass(frozen=True)
class Chain:
    """Convolution, BN, activation, again and again; every second time what came before is added."""

    depth: int = 4
    seed: int = 0

    def weights(self, layer: int) -> dict[str, npt.NDArray[np.float32]]:
        rng = np.random.default_rng([self.seed, layer])
        return {
            "kernel": rng.normal(0, 0.4, (WIDTH, WIDTH, 3, 3)).astype(np.float32),
            "bias": rng.normal(0, 0.5, WIDTH).astype(np.float32),
            "scale": rng.uniform(0.5, 2, WIDTH).astype(np.float32),
            "offset": rng.normal(0, 0.5, WIDTH).astype(np.float32),
            "mean": rng.normal(0, 0.5, WIDTH).astype(np.float32),
            "variance": rng.uniform(0.5, 2, WIDTH).astype(np.float32),
        }

    def onnx(
        self,
        *,
        prefix: str = "",
        folded: bool = False,
        dtype: type = np.float32,
        acts: dict[int, str] | None = None,
        filters: dict[int, float] | None = None,
        scales: dict[int, float] | None = None,
    ) -> bytes:
        """The file.

        Args:
            prefix: of all names.
            folded: whether BN is folded into the convolutions.
            dtype: of weights and values.
            acts: {layer: its activation, where it isn't Relu}.
            filters: {layer: by what its first filter is multiplied}.
            scales: {layer: the scale of the QuantizeLinear and DequantizeLinear behind its activation}.
        """
        file = File(prefix, dtype)
        value = "images"
        for layer in range(self.depth):
            before, given = value, self.weights(layer)
            given["kernel"][0] *= (filters or {}).get(layer, 1)
            if folded:
                factor = given["scale"] / np.sqrt(given["variance"] + np.float32(1e-5))
                given["kernel"] *= factor[:, None, None, None]
                given["bias"] = (given["bias"] - given["mean"]) * factor + given["offset"]
            names = {name: file.weight(f"{name}{layer}", array) for name, array in given.items()}
            value = file.add("Conv", f"conv{layer}", value, names["kernel"], names["bias"], pads=[1] * 4)
            if not folded:
                norm = [names[name] for name in ("scale", "offset", "mean", "variance")]
                value = file.add("BatchNormalization", f"norm{layer}", value, *norm)
            value = file.add((acts or {}).get(layer, "Relu"), f"act{layer}", value)
            if scales:
                parts = file.weight(f"s{layer}", scales[layer]), file.weight(f"z{layer}", 0, np.uint8)
                value = file.add(
                    "DequantizeLinear", f"dq{layer}", file.add("QuantizeLinear", f"q{layer}", value, *parts), *parts
                )
            if layer % 2:
                value = file.add("Add", f"add{layer}", before, value)
        pooled = file.add("Flatten", "flat", file.add("GlobalAveragePool", "pool", value))
        head = np.random.default_rng(self.seed).normal(size=(WIDTH, 3))
        file.add("Gemm", "logits", pooled, file.weight("head", head))
        return file.model({"images": IMAGES}, [f"{prefix}logits"])
