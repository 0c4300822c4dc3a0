"""Artifact -> a model repository of NVIDIA's Triton Inference Server, a model for each file that it has a backend for.

NAME_<target>/config.pbtxt     what the model takes and gives, and how requests are batched
NAME_<target>/labels.txt       class names in the order of the outputs, where the artifact has them
NAME_<target>/1/model.*        the file as it was exported and checked

What is served is what was checked: the execution provider of a target's options is the accelerator that Triton uses.
Source of the configuration's rules: Triton's user guide ("Model Configuration", "Model Repository") and the READMEs of
its backends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.formats.base import check_fits
from hwnas.errors import ConfigError, ModelError
from hwnas.files import new_folder, read_json, write_atomic
from hwnas.records.artifact import ExportedFile
from hwnas.records.network import Tensor


class Symbol(str):
    """The name of an enum's value; other strings are quoted."""


Value = str | int | Mapping[str, "Value"] | Sequence["Value"]
"""A scalar, a message {field: value}, or a repeated field; a map is a repeated message of ``key`` and ``value``."""

# {format: (backend, {suffix: name that the backend looks for})}
_BACKENDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "onnx": ("onnxruntime", {".onnx": "model.onnx"}),
    "openvino": ("openvino", {".xml": "model.xml", ".bin": "model.bin"}),
    "tensorrt": ("tensorrt", {".engine": "model.plan"}),
}
_TYPES = {
    name: Symbol(f"TYPE_{kind}")
    for name, kind in (
        ("float32", "FP32"), ("float16", "FP16"), ("bfloat16", "BF16"), ("float64", "FP64"), ("bool", "BOOL"),
        ("int8", "INT8"), ("uint8", "UINT8"), ("int16", "INT16"), ("uint16", "UINT16"), ("int32", "INT32"),
        ("uint32", "UINT32"), ("int64", "INT64"), ("uint64", "UINT64"),
    )
}  # fmt: skip
_NAME = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Repository:
    """What was written.

    Attributes:
        models: {model's name: target}.
        skipped: {target: why Triton can't serve it}.
    """

    models: dict[str, str]
    skipped: dict[str, str]


def write_repository(
    artifact: Artifact, output: Path, *, name: str | None = None, queue_delay_us: int = 100
) -> Repository:
    """Write a model repository, whole or not at all; see :func:`hwnas.flow.artifact.triton`.

    Raises:
        ConfigError: a name that isn't one for a model, a negative delay, or no file that Triton can serve.
        ModelError: a file is missing, was altered, or isn't of the format that the manifest names.
        OutputError: the output exists already or can't be written.
    """
    name = artifact.path.resolve().name if name is None else name
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} can't begin the names of models: use letters, digits, '_', '-' and '.' (--name)")
    if queue_delay_us < 0:
        raise ConfigError(f"a queue delay is 0 µs or more, not {queue_delay_us}")
    labels = _labels(artifact)
    models: dict[str, str] = {}
    skipped: dict[str, str] = {}
    with new_folder(output) as folder:
        for file in artifact.manifest.files:
            if reason := _unserved(file):
                skipped[file.target] = reason
                continue
            model = f"{name}_{file.target}"
            models[model] = file.target
            _, names = _BACKENDS[file.settings.format]
            content = artifact.read(file)
            check_fits(file.settings, content)
            for suffix, wanted in names.items():
                write_atomic(folder / model / "1" / wanted, content[suffix])
            config = _config(model, file, queue_delay_us)
            if labels and file.settings.batch.fixed in (None, 1):
                config["output"][0]["label_filename"] = "labels.txt"
                write_atomic(folder / model / "labels.txt", "".join(f"{label}\n" for label in labels))
            write_atomic(folder / model / "config.pbtxt", to_pbtxt(config))
        if not models:
            reasons = "; ".join(f"{target}: {reason}" for target, reason in skipped.items())
            raise ConfigError(f"Triton can serve none of the files of {artifact.path}: {reasons or 'it has none'}")
    return Repository(models, skipped)


def _unserved(file: ExportedFile) -> str | None:
    """Why Triton can't serve a file; None where it can."""
    kind, batch = file.settings.format, file.settings.batch
    if kind == "tensorrt-rtx":
        return (
            "Triton has no backend for TensorRT for RTX; export a tensorrt target on the server's GPU, or an ONNX one"
        )
    if kind not in _BACKENDS:
        return f"Triton has no backend for format {kind}"
    if kind == "tensorrt" and not batch.fixed and batch.min > 1:
        return f"its engine takes batches from {batch.min}, and Triton sends any from 1; export it with batch.min 1"
    return None


def _config(model: str, file: ExportedFile, queue_delay_us: int) -> dict[str, Any]:
    """The model configuration. Dimensions leave the batch out where Triton may choose it, and only there."""
    target, batch = file.settings, file.settings.batch
    on_gpu = target.format == "tensorrt" or target.options.get("provider") in ("cuda", "tensorrt")
    inputs, outputs = (
        [(each.name, _tensor(each, batch.fixed)) for each in tensors] for tensors in (file.inputs, file.outputs)
    )
    config: dict[str, Any] = {
        "name": model,
        "backend": _BACKENDS[target.format][0],
        "max_batch_size": 0 if batch.fixed else batch.max,
        "input": [{"name": name, **entry} for name, entry in inputs],
        "output": [{"name": name, **entry} for name, entry in outputs],
        "instance_group": [{"count": 1, "kind": Symbol("KIND_GPU" if on_gpu else "KIND_CPU")}],
    }
    if not batch.fixed:
        # other sizes are as good, unless the file was built to be fastest at one
        preferred = {"preferred_batch_size": [batch.opt]} if batch.opt > 1 else {}
        config["dynamic_batching"] = {**preferred, "max_queue_delay_microseconds": queue_delay_us}
    if accelerators := _accelerators(file):
        config["optimization"] = {"execution_accelerators": accelerators}
    if target.format == "openvino":
        # the backend takes no other precision; that the others' floats are fp32 stands in their IR
        hints = {"PERFORMANCE_HINT": "LATENCY"} | ({"HINT_BF16": "YES"} if target.in_bf16 else {})
        config["parameters"] = [{"key": key, "value": {"string_value": value}} for key, value in hints.items()]
    # runtimes choose kernels, and TensorRT's provider builds its engine, at the first request: let no user wait for it
    config["model_warmup"] = [
        {
            "name": f"batch-{size}",
            "batch_size": size,
            "inputs": [{"key": name, "value": {**entry, "zero_data": True}} for name, entry in inputs],
        }
        for size in sorted({1, 1 if batch.fixed else batch.opt})
    ]
    return config


def _tensor(tensor: Tensor, batch: int | None) -> dict[str, Any]:
    """Type and dimensions; an open batch is Triton's, unless the target fixes it."""
    sizes = [batch if size is None else size for size in tensor.shape]
    return {"data_type": _TYPES[tensor.dtype], "dims": [size for size in sizes if size is not None]}


def _accelerators(file: ExportedFile) -> dict[str, Any]:
    """The execution provider that an ONNX target names, as Triton's ONNX Runtime backend takes it."""
    target = file.settings
    provider = target.options.get("provider") if target.format == "onnx" else None
    if provider == "openvino":
        return {"cpu_execution_accelerator": [{"name": "openvino"}]}
    if provider not in ("cuda", "tensorrt"):
        return {}
    parameters = {"use_tf32": "0"}  # which is on by default, and isn't fp32
    if provider == "tensorrt":
        parameters = {"precision_mode": target.precision.upper()}
        if not target.batch.fixed:
            for end, size in (("min", 1), ("opt", target.batch.opt), ("max", target.batch.max)):
                shapes = (f"{t.name}:{'x'.join(str(side or size) for side in t.shape)}" for t in file.inputs)
                parameters[f"trt_profile_{end}_shapes"] = ",".join(shapes)
    pairs = [{"key": key, "value": value} for key, value in parameters.items()]
    return {"gpu_execution_accelerator": [{"name": provider, "parameters": pairs}]}


def _labels(artifact: Artifact) -> list[str]:
    """Class names, one line each; none where the artifact doesn't name every output."""
    labels = read_json(artifact.path / "labels.json", ModelError)
    if not isinstance(labels, list) or len(labels) != artifact.manifest.network.classes:
        return []
    return [" ".join(str(label).split()) for label in labels]


def to_pbtxt(message: Mapping[str, Value]) -> str:
    """A message in protocol buffers' text format, two spaces a level; Triton's own schema isn't needed for it."""
    return "".join(f"{line}\n" for field, value in message.items() for line in _field(field, value))


def _field(name: str, value: Value) -> list[str]:
    if isinstance(value, Mapping):
        inner = [f"  {line}" for field, part in value.items() for line in _field(field, part)]
        return [f"{name} {{", *inner, "}"]
    if isinstance(value, Sequence) and not isinstance(value, str):
        if any(isinstance(part, Mapping) for part in value):
            return [line for part in value for line in _field(name, part)]
        return [f"{name}: [{', '.join(map(_scalar, value))}]"]
    return [f"{name}: {_scalar(value)}"]


def _scalar(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not isinstance(value, Symbol):
        return f'"{"".join(map(_escaped, value))}"'
    return str(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else "".join(f"\\{byte:03o}" for byte in character.encode())
