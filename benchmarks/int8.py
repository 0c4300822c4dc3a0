"""INT8 on a trained network: accuracy before and after, latency beside fp32 in the same rounds, size.

    python benchmarks/int8.py                        # trains on digits first, a minute or two
    python benchmarks/int8.py --model runs/model     # a MODEL folder of your own, with its data set
    python benchmarks/int8.py --model runs/model --nncf      # NNCF's quantization for OpenVINO beside ours

Every int8 target of ``export/targets/`` that can be made here is exported as a user would; the exit status is 1 where a
target lost more than a point, or failed another check.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import machine, row, side_by_side

from hwnas.artifacts.export import export_network
from hwnas.artifacts.parity import Logits, logits_of, sqnr_db
from hwnas.errors import ParityError
from hwnas.flow.export import RealImages, real_images
from hwnas.nn.layers import weights_of
from hwnas.nn.model_folder import load_model
from hwnas.nn.network import Network
from hwnas.onnx.precision.int8 import OPENVINO, quantize_by, ranges_of
from hwnas.onnx.write import to_onnx
from hwnas.runtimes.base import Session
from hwnas.runtimes.openvino import OpenVino
from hwnas.training.config import TrainConfig
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.loop import run_training

TARGETS = ("onnx-int8-cpu", "openvino-int8", "openvino-int8-bf16", "onnx-int8-tensorrt")
ARCH = "scarlet-tiny:4,2,2,4,2,5,3,2"


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy, latency and size of int8.")
    parser.add_argument("--model", type=Path, help="MODEL folder; one trained on digits when absent")
    parser.add_argument("--data", help="its data set, where the folder doesn't name it")
    parser.add_argument("--nncf", action="store_true", help="compare with NNCF, which must be installed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        network = load_model(options.model or _trained(Path(folder)))
        images = real_images(network, options.data)
        assert images is not None, "name its data set: --data"
        print(f"{machine()}, {network.arch}, {len(images.labels)} test images of {options.data or network.info.data}")
        failed = [name for name in TARGETS if not _exported(network, images, name, Path(folder) / name)]
        if options.nncf:
            _beside_nncf(network, images)
    raise SystemExit(1 if failed else 0)


def _trained(folder: Path) -> Path:
    config = TrainConfig(
        data="digits",
        learner=NetworkConfig(network=ARCH, resolution=32),
        epochs=15,
        augment="none",
        learning_rate=0.1,
        threads=1,
    )
    return run_training(config, folder / "training").result


def _exported(network: Network, images: RealImages, target: str, output: Path) -> bool:
    begin = time.monotonic()
    try:
        artifact = export_network(
            network, [target], output, images=images.images, labels=images.labels,
            calibration=images.calibration,
        )  # fmt: skip
    except ParityError as error:
        print(f"{target:<20} FAILED {error}")
        return False
    (file,) = artifact.manifest.files
    assert file.accuracy_before is not None
    assert file.accuracy_after is not None
    points = 100 * (file.accuracy_before - file.accuracy_after)
    ratio = (
        f"{file.fp32_ms / file.latency.p50_ms:.2f}× fp32's speed" if file.latency and file.fp32_ms else "not run here"
    )
    print(
        f"{target:<20} {file.accuracy_before:.2%} -> {file.accuracy_after:.2%} ({points:+.2f} points lost)  "
        f"{file.parity.sqnr_db or 0:.1f} dB, {ratio}{', POINTLESS' if file.pointless else ''}  "
        f"{file.bytes / 1e6:.2f} MB  {file.precisions}  made in {time.monotonic() - begin:.0f} s"
    )
    for note in file.notes:
        print(f"    {note}")
    return points <= 1


def _beside_nncf(network: Network, images: RealImages) -> None:
    import nncf  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import openvino as ov  # type: ignore[import-untyped]

    model = to_onnx(network.graph, weights_of(network))
    calibration, runtime, core = images.calibration[:256], OpenVino(), ov.Core()
    sessions: dict[str, Session] = {"fp32": runtime.load(model, threads=1, precision="fp32")}
    seconds = {"fp32": 0.0}
    begin = time.monotonic()
    batches = [(calibration[i : i + 16],) for i in range(0, len(calibration), 16)]
    ours = quantize_by(ranges_of(model, batches, OPENVINO, "mse"), model, OPENVINO)
    sessions["hwnas"] = runtime.load(ours, threads=1, precision="int8")
    seconds["hwnas"] = time.monotonic() - begin
    for preset in (nncf.QuantizationPreset.PERFORMANCE, nncf.QuantizationPreset.MIXED):
        name = f"NNCF {preset.value}"
        begin = time.monotonic()
        dataset = nncf.Dataset([image[None] for image in calibration])
        theirs = nncf.quantize(core.read_model(model), dataset, preset=preset, subset_size=len(calibration))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.xml"
            ov.save_model(theirs, path, compress_to_fp16=False)
            xml, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
        sessions[name] = runtime.load_ir(xml, weights, threads=1, precision="int8")
        seconds[name] = time.monotonic() - begin
    reference = logits_of(network, images.images)
    timed = side_by_side({name: session.bind([images.images[:1]]) for name, session in sessions.items()}, rounds=60)
    for name, session in sessions.items():
        logits = _logits(session, images)
        note = (
            f"accuracy {(logits.argmax(1) == images.labels).mean():.2%}, {sqnr_db(reference, logits) or 0:.1f} dB, "
            f"{timed['fp32'].p50_ms / timed[name].p50_ms:.2f}× fp32's speed, made in {seconds[name]:.0f} s"
        )
        print(row(name, timed[name], note))


def _logits(session: Session, images: RealImages) -> Logits:
    size = 32
    return np.concatenate([session.run([images.images[i : i + size]])[0] for i in range(0, len(images.images), size)])


if __name__ == "__main__":
    main()
