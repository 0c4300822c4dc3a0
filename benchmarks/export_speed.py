"""SCARLET-A as hwnas ships it, against a plain ``torch.onnx.export`` of the paper's formulation, batch 1, 1 thread.

    python benchmarks/export_speed.py [--repeats 5] [--epochs 6]

The plain one is written as the paper's code is, h-swish as x·relu6(x+3)/6 and h-sigmoid as relu6(x+3)/6, exported by
torch's own exporter with its default optimisation, and run by ONNX Runtime. All have the same weights, trained on
digits for some epochs at 112 pixels and one at 224, as nobody has days for ImageNet here. Answers are compared on
digits that it hasn't seen. A network that has learnt nothing tells nothing of agreement: with random weights 12 of 100
random textures change their class in bf16, and a classifier fitted to random features fares worse.

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
import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import onnxruntime as ort
import torch
import typer
from common import machine, row, side_by_side
from torch import nn
from torch.nn import functional

from hwnas.arrays import Images
from hwnas.artifacts.make import make
from hwnas.artifacts.parity import Evidence, compare, logits_of
from hwnas.artifacts.samples import Samples
from hwnas.artifacts.source import NetworkSource
from hwnas.data.load import load_data
from hwnas.errors import HwnasError
from hwnas.nn.layers import weights_of
from hwnas.nn.model_folder import load_model, save_model
from hwnas.nn.network import Network
from hwnas.nn.released import load_scarlet
from hwnas.onnx.write import to_onnx
from hwnas.records.network import OUTPUT
from hwnas.records.target import get_target
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.loop import run_training

CHW = (3, 224, 224)
PLAIN = "torch.onnx.export, the paper's formulation"
OTHERS = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))


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


def taught_network(folder: Path, epochs: int) -> Network:
    """SCARLET-A with 1,000 classes, the first ten of which are digits: an epoch in full after some at half the size."""
    settings: dict[str, Any] = {"data": "digits", "augment": "none", "batch": 32}
    small = TrainConfig(
        **settings,
        learner=NetworkConfig(network="scarlet-a", resolution=112),
        epochs=epochs,
        learning_rate=0.05,
        warmup_epochs=0.5,
    )
    trained = load_model(run_training(small, folder / "small", progress=told).result)
    large = Network(get_space("scarlet-s2", CHW[1], 10), trained.choices)
    large.load_state_dict(trained.state_dict())
    large.info = trained.info
    save_model(large, folder / "large")
    full = TrainConfig(**settings, learner=NetworkConfig(network=str(folder / "large")), epochs=1, learning_rate=0.02)
    trained = load_model(run_training(full, folder / "full", progress=told).result)
    network, weights = load_scarlet("scarlet-a"), trained.state_dict()
    own = network.state_dict()
    for name in ("head.classifier.weight", "head.classifier.bias"):
        rows = torch.zeros_like(own[name]) if own[name].dim() > 1 else torch.full_like(own[name], -10)
        rows[:10] = weights[name]  # the other 990 never win
        weights[name] = rows
    network.load_state_dict(weights)
    return network.eval()


def told(what: str, done: int, total: int, note: str = "") -> None:
    if done == total:
        print(f"{what}: {done} of {total} {note}")


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
    model, source = to_onnx(network.graph, weights_of(network)), NetworkSource(network)
    for name, precision in OTHERS:
        try:
            runtime = get_runtime(name)
            sessions[f"hwnas, {name} {precision}"] = runtime.load(model, threads=1, precision=precision)
        except HwnasError as error:
            print(f"without {name} {precision}: {error}")
    for target in ("openvino-int8", "openvino-int8-bf16"):
        made = make(source, get_target(target), Samples.of(source.record, calibration))
        print(f"{target}: {made.precisions}, {'; '.join(made.notes)}; {made.lacks or 'runs here'}")
        if made.lacks is None:
            sessions[f"hwnas, {target}"] = made.session
    return sessions


def answers(session: Session, images: Images) -> Images:
    return np.concatenate([session.run([image[None]])[0] for image in images])  # the plain export takes one image


def main(
    repeats: Annotated[int, typer.Option(help="Times that all are timed side by side.")] = 5,
    epochs: Annotated[int, typer.Option(help="Of the training at 112 pixels.")] = 6,
) -> None:
    data = load_data("digits", CHW[1])
    with tempfile.TemporaryDirectory() as folder:
        network = taught_network(Path(folder), epochs)
    seen = data.normalize(data.train.pixels(torch.arange(256))).contiguous()
    sessions = loaded(network, seen.numpy())
    print(f"{machine()}, onnxruntime {ort.__version__}, torch {torch.__version__}, 1 thread, batch 1, 224 px")
    parts = (data.validation, data.test)
    pixels = torch.cat([part.pixels(torch.arange(len(part.labels))) for part in parts])
    images = data.normalize(pixels).contiguous().numpy()
    labels = np.concatenate([part.labels.numpy() for part in parts])
    reference = logits_of(network, images)
    evidence = Evidence(
        samples=Samples(arrays=(images,)), inputs="digits", outputs={OUTPUT: reference}, source="PyTorch",
        classifies=True,
    )  # fmt: skip
    print(f"{len(images)} digits that it hasn't seen: {(reference.argmax(1) == labels).mean():.2%} right")
    for name, session in sessions.items():
        found = compare(evidence, [answers(session, images)])
        print(f"{name:<46} same class {found.same_class}, largest relative error {found.max_relative:.1e}")
    torch.set_num_threads(1)
    eager = torch.from_numpy(images[:1])
    calls = {name: session.bind([images[:1]]) for name, session in sessions.items()}
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
