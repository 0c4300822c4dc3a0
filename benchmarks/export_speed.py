"""The exported SCARLET-A against a plain ``torch.onnx.export`` of the paper's formulation, in ONNX Runtime, 1 thread.

    python benchmarks/export_speed.py

The plain one is written as the paper's code is: h-swish as x·relu6(x+3)/6, h-sigmoid as relu6(x+3)/6. Both have the
same weights; their outputs are compared first.
"""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime as ort
import torch
from common import machine, row, side_by_side
from torch import nn
from torch.nn import functional

from hwnas.artifact.verify import random_textures
from hwnas.nn.derive import load_scarlet
from hwnas.nn.to_onnx import to_onnx
from hwnas.runtimes.registry import get_runtime


class PaperSwish(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * functional.relu6(x + 3) / 6


class PaperSigmoid(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu6(x + 3) / 6


def as_in_the_paper(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.Hardswish):
            setattr(module, name, PaperSwish())
        elif isinstance(child, nn.Hardsigmoid):
            setattr(module, name, PaperSigmoid())
        else:
            as_in_the_paper(child)
    return module


def main() -> None:
    network = load_scarlet("scarlet-a")
    images = random_textures(8, (3, 224, 224))
    paper = as_in_the_paper(copy.deepcopy(network)).eval()
    program = torch.onnx.export(paper, (torch.from_numpy(images[:1]),), dynamo=True, verbose=False)
    assert program is not None
    runtime = get_runtime("onnxruntime")
    sessions = {
        "torch.onnx.export, the paper's formulation": program.model_proto.SerializeToString(),
        "torch.onnx.export, HardSwish modules": _plain_export(network, images[:1]),
        "hwnas": to_onnx(network, (3, 224, 224)),
    }
    loaded = {name: runtime.load(model, threads=1, precision="fp32") for name, model in sessions.items()}
    reference, *others = (np.concatenate([s.run(image[None]) for image in images]) for s in loaded.values())
    for other in others:
        assert np.abs(other - reference).max() <= 1e-4 * np.abs(reference).max()
    torch.set_num_threads(1)
    calls = {name: session.bind(images[:1]) for name, session in loaded.items()}
    eager = torch.from_numpy(images[:1])
    with torch.inference_mode():
        measured = side_by_side({**calls, "PyTorch eager": lambda: network(eager)})
    print(f"{machine()}, onnxruntime {ort.__version__}, torch {torch.__version__}, 1 thread, batch 1, 224 px")
    base = measured["torch.onnx.export, the paper's formulation"].p50_ms
    for name, latency in measured.items():
        print(row(name, latency, f"{base / latency.p50_ms:.2f}×"))


def _plain_export(network: nn.Module, image: np.ndarray) -> bytes:
    program = torch.onnx.export(network, (torch.from_numpy(image),), dynamo=True, verbose=False)
    assert program is not None
    model: bytes = program.model_proto.SerializeToString()
    return model


if __name__ == "__main__":
    main()
