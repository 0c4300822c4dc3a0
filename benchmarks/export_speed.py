"""SCARLET-A as hwnas ships it, against a plain ``torch.onnx.export`` of the paper's formulation, batch 1, 1 thread.

    python benchmarks/export_speed.py [--repeats 5] [--inputs 1024]

The plain one is written as the paper's code is, h-swish as x·relu6(x+3)/6 and h-sigmoid as relu6(x+3)/6, exported by
torch's own exporter with its default optimisation, and run by ONNX Runtime. All have the same weights: random ones,
with BN statistics and a classifier fitted to digits (by least squares on the features of 773 images), so that answers
mean something. They are compared on other digits. A network whose answers mean nothing tells nothing: with a random
classifier 12 of 100 random textures change their class in bf16.

Where ONNX Runtime 1.31's time goes on an EPYC (Zen 4), of 9.9 ms: pointwise convolutions 6.3 at 80 to 100 GFLOP/s,
depthwise ones 1.9 (fused HardSwish is 0.55 of both), SE's small convolutions and the classifier 0.8 (15 MB of weights
at 20 GB/s), SE's products and pooling 0.3, reorders 0.3. Tried, by processor time against the plain export in one run:

    as shipped                                                                               1.33 to 1.37 ×
    SE's gate spread by a nearest Resize, so that its product stays blocked (10 of 12)       1.34 to 1.36 ×
    the same in all 12, channels of two blocks padded with zeros from 120 to 128             1.37 to 1.44 ×
    padding alone                                                                            as shipped
    Resize without telling its output's batch: ONNX Runtime then keeps no residual fused     slower
    a fixed batch                                                                            as shipped
    HardSwish as x·HardSigmoid(x); the classifier as a 1×1 convolution                       no gain

The third has no reorder left (39 before). It isn't shipped: its file has parameters that the arch hasn't, and a Resize
that other runtimes don't fuse. With ReLU in place of every HardSwish, which is another network, it would be 1.48 ×.
"""

from __future__ import annotations

import copy
from statistics import median
from typing import Annotated

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
import typer
from common import machine, row, side_by_side
from torch import nn
from torch.nn import functional

from hwnas.artifact.make import make
from hwnas.artifact.target import get_target
from hwnas.artifact.verify import compare, logits_of
from hwnas.data.load import load_data
from hwnas.errors import HwnasError
from hwnas.evaluate.batchnorm import recalibrate
from hwnas.nn.derive import Network, load_scarlet
from hwnas.nn.to_onnx import to_onnx
from hwnas.runtimes.base import Images, Session
from hwnas.runtimes.registry import get_runtime

CHW = (3, 224, 224)
PLAIN = "torch.onnx.export, the paper's formulation"
OTHERS = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))


_FIT = 1024
"""Digits before this one are compared on, those from it on fitted to."""


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


def digits() -> tuple[Images, npt.NDArray[np.int64]]:
    """All 1,797, in a random order, as inputs (N, C, H, W)."""
    data = load_data("digits", CHW[1])
    parts = (data.train, data.validation, data.test)
    pixels = torch.cat([part.pixels(torch.arange(len(part.labels))) for part in parts])
    order = np.random.default_rng(0).permutation(len(pixels))
    labels = np.concatenate([part.labels.numpy() for part in parts])
    return data.normalize(pixels).contiguous().numpy()[order], labels[order]


def taught_network(images: Images, labels: npt.NDArray[np.int64]) -> Network:
    """SCARLET-A with a random body, its BN statistics and its classifier of these images (N, C, H, W)."""
    network = load_scarlet("scarlet-a")
    recalibrate(network, [torch.from_numpy(images[start : start + 32]) for start in range(0, 256, 32)])
    classifier = network.head.get_submodule("classifier")
    assert isinstance(classifier, nn.Linear)
    features: list[torch.Tensor] = []
    hook = classifier.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    logits_of(network, images)
    hook.remove()
    seen = torch.cat(features).double().numpy()
    mean = seen.mean(axis=0)
    # ridge regression on one-hot labels in its dual form: fewer images than features
    centred, wanted = seen - mean, np.eye(10)[labels] - 0.1
    gram = centred @ centred.T
    weights = centred.T @ np.linalg.solve(gram + 1e-2 * np.trace(gram) / len(gram) * np.eye(len(gram)), wanted)
    with torch.no_grad():
        classifier.weight.zero_()[:10] = torch.from_numpy(weights.T)
        classifier.bias.fill_(-1)[:10] = torch.from_numpy(-mean @ weights)  # the other 990 classes never win
    return network


def plain_export(network: nn.Module) -> bytes:
    program = torch.onnx.export(network, (torch.zeros(1, *CHW),), dynamo=True, verbose=False)
    assert program is not None
    model: bytes = program.model_proto.SerializeToString()
    return model


def loaded(network: Network, calibration: Images) -> dict[str, Session]:
    fp32 = get_runtime("onnxruntime")
    sessions: dict[str, Session] = {
        PLAIN: fp32.load(plain_export(as_in_the_paper(copy.deepcopy(network)).eval()), threads=1, precision="fp32")
    }
    model = to_onnx(network, CHW)
    for name, precision in OTHERS:
        try:
            runtime = get_runtime(name)
            sessions[f"hwnas, {name} {precision}"] = runtime.load(model, threads=1, precision=precision)
        except HwnasError as error:
            print(f"without {name} {precision}: {error}")
    int8 = make(network, get_target("openvino-int8"), calibration)
    sessions["hwnas, openvino int8"] = int8.session
    print(*int8.notes, sep="\n")
    return sessions


def answers(session: Session, images: Images) -> Images:
    return np.concatenate([session.run(image[None]) for image in images])  # the plain export takes one image


def main(
    repeats: Annotated[int, typer.Option(help="Times that all are timed side by side.")] = 5,
    inputs: Annotated[int, typer.Option(help="Images to compare answers on, 1,024 at most.")] = 1024,
) -> None:
    images, labels = digits()
    network = taught_network(images[_FIT:], labels[_FIT:])
    sessions = loaded(network, images[_FIT:][:256])
    print(f"{machine()}, onnxruntime {ort.__version__}, torch {torch.__version__}, 1 thread, batch 1, 224 px")
    images, labels = images[:inputs], labels[:inputs]
    reference = logits_of(network, images)
    print(f"{inputs} images of digits that it wasn't fitted to: {(reference.argmax(1) == labels).mean():.2%} right")
    for name, session in sessions.items():
        found = compare(reference, answers(session, images), "digits")
        print(f"{name:<46} same class {found.top1_agreement:.2%}, largest relative error {found.max_relative:.1e}")
    torch.set_num_threads(1)
    eager = torch.from_numpy(images[:1])
    calls = {name: session.bind(images[:1]) for name, session in sessions.items()}
    ratios: dict[str, list[float]] = {}
    with torch.inference_mode():
        for _ in range(repeats):
            measured = side_by_side({**calls, "PyTorch eager": lambda: network(eager)})
            for name, latency in measured.items():
                ratios.setdefault(name, []).append(measured[PLAIN].p50_ms / latency.p50_ms)
    for name, latency in measured.items():
        told = ", ".join(f"{ratio:.2f}" for ratio in ratios[name])
        print(row(name, latency, f"{median(ratios[name]):.2f}× ({told})"))
    ours = "hwnas, onnxruntime fp32"
    against = [ratios[ours][i] / ratios["PyTorch eager"][i] for i in range(repeats)]
    print(f"{ours} against PyTorch eager: {median(against):.2f}×")


if __name__ == "__main__":
    typer.run(main)
