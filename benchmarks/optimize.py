"""What `--optimize` brings in ONNX Runtime, batch 1, 1 thread: SCARLET-A, and networks that aren't ours.

    pip install 'hwnas[benchmark]'
    python benchmarks/optimize.py [--repeats 5] [--only seresnet18]

SCARLET-A: `torch.onnx.export` of the paper's formulation, hwnas's export, and that optimized. The others come from
pytorchcv with random weights, as torch's exporter writes them (opset 17), beside onnxslim's output and the optimized
one. The original is timed twice: how far it is from itself is the retest noise. All forms of a network are timed in the
same rounds.
"""

from __future__ import annotations

import copy
import importlib
import tempfile
from collections.abc import Mapping
from math import inf
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import torch
import typer
from common import machine, side_by_side
from export_speed import as_in_the_paper, plain_export
from torch import nn

from hwnas.arrays import Images
from hwnas.artifacts.faster import faster
from hwnas.nn.layers import weights_of
from hwnas.nn.released import load_scarlet
from hwnas.onnx.computed import block
from hwnas.onnx.write import to_onnx
from hwnas.records.optimized import OptimizedRecord
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime

CHW = (3, 224, 224)
GATED = {
    "mobilenetv3_large_w1": "mobilenetv3", "mobilenetv3_small_w1": "mobilenetv3", "efficientnet_b0": "efficientnet",
    "mnasnet_a1": "mnasnet", "regnety002": "regnet", "ghostnet": "ghostnet", "mixnet_s": "mixnet",
    "seresnet18": "seresnet", "seresnext50_32x4d": "seresnext",
}  # fmt: skip
OTHERS = {
    "resnet18": "resnet", "mobilenetv2_w1": "mobilenetv2", "densenet121": "densenet", "resnext26_32x4d": "resnext",
    "shufflenetv2b_w1": "shufflenetv2b", "proxylessnas_mobile": "proxylessnas",
    "efficientnet_edge_small_b": "efficientnetedge",
}  # fmt: skip
"""{network: its module of pytorchcv.models}, with squeeze-and-excitation or h-swish and without."""


class Ratios(NamedTuple):
    """Of one network: medians over the repeats of how many times as fast as the original."""

    again: float
    slim: float
    optimized: float


def loaded(model: bytes) -> Session:
    return get_runtime("onnxruntime").load(model, threads=1, precision="fp32")


def optimized(model: bytes, images: Images) -> bytes:
    """The model with what is faster here, each rewrite told."""
    found, record = faster(model, loaded, [images], block=block())
    tell(record)
    return found


def tell(record: OptimizedRecord) -> None:
    for rewrite in record.rewrites:
        print(f"    {'kept' if rewrite.kept else 'left'}: {rewrite}")


def medians(forms: Mapping[str, bytes], images: Images, repeats: int, first: str) -> dict[str, float]:
    """How many times as fast as ``first`` each form is."""
    calls = {name: loaded(model).bind([images]) for name, model in forms.items()}
    ratios: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        measured = side_by_side(calls)
        for name, latency in measured.items():
            ratios[name].append(measured[first].p50_ms / latency.p50_ms)
    for name, each in ratios.items():
        told = ", ".join(f"{ratio:.3f}" for ratio in each)
        print(f"  {name:<46} {measured[name].p50_ms:8.3f} ms  {median(each):.3f} × ({told})", flush=True)
    return {name: median(each) for name, each in ratios.items()}


def scarlet(images: Images, repeats: int) -> None:
    network = load_scarlet("scarlet-a").eval()
    print("scarlet-a")
    ours = to_onnx(network.graph, weights_of(network))
    plain = "torch.onnx.export, the paper's formulation"
    forms = {
        plain: plain_export(as_in_the_paper(copy.deepcopy(network)).eval()),
        "hwnas": ours,
        "hwnas, optimized": optimized(ours, images),
    }
    forms["torch.onnx.export, optimized"] = optimized(forms[plain], images)
    medians(forms, images, repeats, plain)


def foreign(name: str, module: str, images: Images, repeats: int) -> Ratios:
    original = exported(name, module)
    print(name)
    slim = slimmed(original)
    forms = {"original": original, "the original again": original, "onnxslim": slim}
    forms["optimized"] = optimized(original, images)
    found = medians(forms, images, repeats, "original")
    reference, theirs = (loaded(model).run([images])[0] for model in (original, slim))
    apart = float(np.abs(reference - theirs).max() / np.abs(reference).max())
    if apart > 0.05:
        print(f"  onnxslim's output differs by {apart:.1%}: another function, left out of the comparison")
    return Ratios(found["the original again"], found["onnxslim"] if apart <= 0.05 else -inf, found["optimized"])


def exported(name: str, module: str) -> bytes:
    """A network of random weights, its BN statistics not 0 and 1, so that nothing folds to nothing."""
    torch.manual_seed(0)
    network: nn.Module = getattr(importlib.import_module(f"pytorchcv.models.{module}"), name)(pretrained=False).eval()
    for each in network.modules():
        if isinstance(each, nn.BatchNorm2d):
            assert each.running_mean is not None
            assert each.running_var is not None
            nn.init.uniform_(each.running_mean, -0.2, 0.2)
            nn.init.uniform_(each.running_var, 0.5, 1.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        images = torch.zeros(1, *CHW)
        torch.onnx.export(network, (images,), path, dynamo=False, opset_version=17, input_names=["images"])
        return path.read_bytes()


def slimmed(model: bytes) -> bytes:
    import onnxslim

    return bytes(onnxslim.slim(onnx.load_from_string(model)).SerializeToString())


def main(
    repeats: Annotated[int, typer.Option(help="Times that all forms of a network are timed side by side.")] = 5,
    only: Annotated[list[str] | None, typer.Option(help="Networks; all when absent.")] = None,
) -> None:
    images = np.random.default_rng(0).standard_normal((1, *CHW), dtype=np.float32)
    print(f"{machine()}, onnxruntime {ort.__version__}, torch {torch.__version__}, 1 thread, batch 1, 224 px")
    if not only or "scarlet-a" in only:
        scarlet(images, repeats)
    chosen = {name: module for name, module in (GATED | OTHERS).items() if not only or name in only}
    found = {name: foreign(name, module, images, repeats) for name, module in chosen.items()}
    if not found:
        return
    gated = [each.optimized for name, each in found.items() if name in GATED]
    if gated:
        print(f"with squeeze-and-excitation or h-swish: {median(gated):.3f} × in the median of {len(gated)}")
    noise = max(abs(each.again - 1) for each in found.values())
    slowest = min(found, key=lambda name: found[name].optimized)
    rival = min(found, key=lambda name: found[name].optimized / max(found[name].slim, 1e-9))
    print(
        f"retest noise up to {noise:.1%}; least against the original {found[slowest].optimized:.3f} × ({slowest}), "
        f"against onnxslim {found[rival].optimized / found[rival].slim:.3f} × ({rival})"
    )


if __name__ == "__main__":
    typer.run(main)
