"""Network -> artifact: write each target's file, prove it, time it, and bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hwnas import __version__
from hwnas.artifact.bundle import SCHEMA, Artifact, load_artifact
from hwnas.artifact.target import Target, get_target
from hwnas.artifact.verify import check_structure, compare, logits_of, random_textures, run_session
from hwnas.errors import ConfigError, DataError
from hwnas.files import new_folder, refuse_existing, to_json, write_atomic
from hwnas.nn.derive import Network
from hwnas.nn.model_folder import ModelInfo
from hwnas.nn.to_onnx import to_onnx
from hwnas.predict.count import count
from hwnas.profile.measure import device_of, measure_models
from hwnas.profile.run import Model
from hwnas.profile.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Images
from hwnas.runtimes.registry import get_runtime

_TEXTURES = 32


def export(
    network: Network,
    targets: Sequence[str],
    output: str | Path,
    *,
    info: ModelInfo | None = None,
    images: Images | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Write ``network`` for each target, check every file against PyTorch, and bundle them.

    Args:
        network: exported as it computes in eval mode.
        targets: names of shipped targets, or paths of YAML files.
        output: folder to make.
        info: data, labels, preprocessing and origin of the network.
        images: normalised inputs (N, C, H, W) for the parity check, float32; random textures when None.
        progress: called with (what, done, total).

    Raises:
        ConfigError: no target, one twice, or an unknown one.
        OutputError: the output exists or can't be written.
        DataError: the images aren't of the network's input size.
        ParityError, CountError: a file isn't the network; nothing is written.
    """
    output = Path(output)
    refuse_existing(output)
    chosen = [get_target(name) for name in targets]
    names = [target.name for target in chosen]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"name one target or more, each once; got {', '.join(names) or 'none'}")
    info = info or ModelInfo()
    space = network.space
    input_chw = (space.stem.c_in, space.resolution, space.resolution)
    inputs = f"images of {info.data}" if images is not None else "random textures"
    images = random_textures(_TEXTURES, input_chw) if images is None else images
    if images.shape[1:] != input_chw or images.dtype != np.float32:
        raise DataError(f"images for the parity check must be float32 (N, {input_chw}), got {images.shape}")
    reference = logits_of(network, images)
    counted = count(network.ops)
    with new_folder(output) as folder:
        contents: dict[str, bytes] = {
            "arch.json": to_json(network.arch.to_dict()).encode(),
            "preprocessing.json": to_json(info.preprocessing).encode(),
            "labels.json": to_json(info.labels).encode(),
        }
        files = []
        for index, target in enumerate(chosen):
            model = to_onnx(network, input_chw)
            check_structure(model, network)
            files.append(_checked(target, model, input_chw, reference, images, inputs))
            contents[f"{target.name}.onnx"] = model
            if progress:
                progress("exporting", index + 1, len(chosen), "")
        manifest = {
            "schema": SCHEMA,
            "hwnas": __version__,
            "arch": network.arch.to_dict(),
            "input_chw": input_chw,
            "madds": counted.madds,
            "params": counted.params,
            "accuracy": info.accuracy,
            "data": info.data,
            "stabilizers": {str(layer): note for layer, note in network.stabilizer_notes.items()},
            "made_from": info.made_from,
            "files": files,
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
        }
        for name, data in {**contents, "manifest.json": to_json(manifest).encode()}.items():
            write_atomic(folder / name, data)
    return load_artifact(output)


def _checked(
    target: Target, model: bytes, input_chw: tuple[int, int, int], reference: Any, images: Images, inputs: str
) -> dict[str, Any]:
    """The manifest's entry of one file, once the file is proven."""
    runtime = get_runtime(target.runtime)
    session = runtime.load(model, threads=1, precision=target.precision)
    parity = compare(reference, run_session(session, images), inputs, target.tolerance, target.name)
    latency = measure_models(
        {0: Model(model, input_chw)},
        runtime,
        threads=1,
        precision=target.precision,
        rng=np.random.default_rng(0),
        effort=Effort(at_least_s=1.0, at_most_s=2.0),
    ).latency[0]
    loaded = onnx.load_from_string(model)
    floats = {onnx.TensorProto.DataType.Name(w.data_type) for w in loaded.graph.initializer}
    device = device_of(runtime, precision=target.precision, threads=1, batch=1)
    return {
        "target": target.name,
        "file": f"{target.name}.onnx",
        "bytes": len(model),
        "precision": "fp32" if floats == {"FLOAT"} else "+".join(sorted(floats)).lower(),
        "opset": loaded.opset_import[0].version,
        "ir_version": loaded.ir_version,
        "parity": asdict(parity),
        "runtime": runtime.name,
        "latency": latency.model_dump(),
        "device": device.model_dump(),
    }
