"""Triton's model repository: against Triton's own schema, its documented rules, and the runtimes that will load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import openvino as ov
import pytest
import torch
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2 as pb

from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.export import export_network
from hwnas.artifacts.triton import to_pbtxt, write_repository
from hwnas.data.load import preprocessing_of
from hwnas.errors import ConfigError, ModelError, OutputError
from hwnas.nn.network import Network
from hwnas.records.model import ModelInfo
from tests.cli.run import Shell
from tests.deploy.artifacts import retargeted
from tests.deploy.conftest import LABELS

CUDA, TENSORRT = {"provider": "cuda"}, {"provider": "tensorrt"}
FIXED = {"min": 3, "opt": 3, "max": 3}
PROFILE = {"min": 1, "opt": 8, "max": 32}


def read_config(model: Path) -> pb.ModelConfig:
    """As Triton reads it: an unknown field or a value of the wrong type is an error."""
    return text_format.Parse((model / "config.pbtxt").read_text(), pb.ModelConfig())


def check_rules(model: Path) -> pb.ModelConfig:
    """What Triton's user guide asks of any model of a repository."""
    config = read_config(model)
    assert config.name == model.name
    assert [path.name for path in model.iterdir() if path.is_dir()] == ["1"]
    (entry,), (result,) = config.input, config.output
    batching = config.max_batch_size > 0
    assert config.HasField("dynamic_batching") == batching
    assert all(1 <= size <= config.max_batch_size for size in config.dynamic_batching.preferred_batch_size)
    for warmup in config.model_warmup:
        assert 1 <= warmup.batch_size <= max(config.max_batch_size, 1)
        assert list(warmup.inputs) == [entry.name]
        assert (warmup.inputs[entry.name].data_type, warmup.inputs[entry.name].dims) == (entry.data_type, entry.dims)
    if result.label_filename:
        assert len((model / result.label_filename).read_text().splitlines()) == result.dims[-1]
    return config


def full(dims: list[int], config: pb.ModelConfig) -> list[int]:
    """ "For models with max_batch_size greater than 0, the full shape is formed as [-1] + dims"."""
    return [-1, *dims] if config.max_batch_size else list(dims)


def test_the_onnx_model_is_what_its_configuration_says(exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    _, artifact = exported
    written = write_repository(artifact, tmp_path / "repository")
    assert written.models["small_onnx-fp32"] == "onnx-fp32"
    model = tmp_path / "repository" / "small_onnx-fp32"
    config = check_rules(model)
    assert config.backend == "onnxruntime"
    assert config.max_batch_size == 64
    assert config.dynamic_batching.max_queue_delay_microseconds == 100
    assert [group.kind for group in config.instance_group] == [pb.ModelInstanceGroup.KIND_CPU]
    assert (model / "labels.txt").read_text().splitlines() == list(LABELS)

    session = ort.InferenceSession(model / "1" / "model.onnx")
    for told, (real,) in ((config.input[0], session.get_inputs()), (config.output[0], session.get_outputs())):
        assert told.name == real.name
        assert (told.data_type, real.type) == (pb.TYPE_FP32, "tensor(float)")
        assert full(told.dims, config) == [-1 if isinstance(size, str) else size for size in real.shape]


def test_a_model_that_takes_bytes(exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    """Type, layout and warm-up are those of the file."""
    network = Network(exported[0].space, exported[0].choices).eval()
    network.info = ModelInfo(data="made up", preprocessing=preprocessing_of(16, 16, (0.5,) * 3, (0.25,) * 3))
    bytes_in = export_network(network, ["onnx-fp32-uint8"], tmp_path / "bytes")
    write_repository(bytes_in, tmp_path / "repository")
    model = tmp_path / "repository" / "bytes_onnx-fp32-uint8"
    config = check_rules(model)
    (real,) = ort.InferenceSession(model / "1" / "model.onnx").get_inputs()
    assert (config.input[0].data_type, real.type) == (pb.TYPE_UINT8, "tensor(uint8)")
    assert full(config.input[0].dims, config) == [-1, *real.shape[1:]]
    assert config.input[0].dims[-1] == 3


def test_the_openvino_model_is_what_its_configuration_says(exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    network, artifact = exported
    write_repository(artifact, tmp_path / "repository", name="mine", queue_delay_us=0)
    model = tmp_path / "repository" / "mine_openvino-up-to-8"
    config = check_rules(model)
    assert config.backend == "openvino"
    assert config.max_batch_size == 8
    assert config.dynamic_batching.preferred_batch_size == [4]
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 4]
    assert {key: value.string_value for key, value in config.parameters.items()} == {"PERFORMANCE_HINT": "LATENCY"}

    read = ov.Core().read_model(model / "1" / "model.xml")  # finds model.bin beside it, as Triton's backend does
    for told, real in ((config.input[0], read.input(0)), (config.output[0], read.output(0))):
        assert told.name in real.get_names()
        assert real.get_element_type() == ov.Type.f32
        assert full(told.dims, config) == [-1 if size.is_dynamic else size.get_length() for size in real.partial_shape]
    images = np.random.default_rng(0).standard_normal((2, *config.input[0].dims), np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    # as the backend does, without a precision: bf16 is what some processors would choose by themselves
    compiled = ov.Core().compile_model(read, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    np.testing.assert_allclose(compiled(images)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_what_was_checked_is_what_is_served(exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    settings = {
        "gpu-fp32": {"options": CUDA},
        "gpu-fp16": {"options": CUDA, "precision": "fp16", "batch": PROFILE},
        "trt-fp16": {"options": TENSORRT, "precision": "fp16", "batch": PROFILE},
        "trt-int8": {"options": TENSORRT, "precision": "int8", "batch": FIXED},
        "cpu-openvino": {"options": {"provider": "openvino"}},
        "engine": {"format": "tensorrt", "runtime": "tensorrt", "precision": "fp16", "batch": PROFILE},
        "ir-bf16": {"format": "openvino", "runtime": "openvino", "precision": "bf16"},
    }
    artifact = retargeted(exported[1], tmp_path / "net", settings)
    assert list(write_repository(artifact, tmp_path / "r").models) == [f"net_{name}" for name in settings]
    configs = {name: check_rules(tmp_path / "r" / f"net_{name}") for name in settings}

    gpu, cpu = pb.ModelInstanceGroup.KIND_GPU, pb.ModelInstanceGroup.KIND_CPU
    kinds = {name: config.instance_group[0].kind for name, config in configs.items()}
    assert kinds == {name: cpu if name in ("cpu-openvino", "ir-bf16") else gpu for name in settings}

    accelerators = {name: config.optimization.execution_accelerators for name, config in configs.items()}
    on_gpu = {name: list(found.gpu_execution_accelerator) for name, found in accelerators.items()}
    assert [(a.name, a.parameters) for a in on_gpu["gpu-fp16"]] == [("cuda", {"use_tf32": "0"})]
    assert [(a.name, a.parameters) for a in on_gpu["trt-int8"]] == [("tensorrt", {"precision_mode": "INT8"})]
    assert [(a.name, a.parameters) for a in on_gpu["trt-fp16"]] == [
        (
            "tensorrt",
            {
                "precision_mode": "FP16",
                "trt_profile_min_shapes": "images:1x3x16x16",
                "trt_profile_opt_shapes": "images:8x3x16x16",
                "trt_profile_max_shapes": "images:32x3x16x16",
            },
        )
    ]
    assert [a.name for a in accelerators["cpu-openvino"].cpu_execution_accelerator] == ["openvino"]
    assert not any(on_gpu[name] for name in ("engine", "ir-bf16", "cpu-openvino"))

    assert configs["engine"].backend == "tensorrt"
    assert [path.name for path in (tmp_path / "r" / "net_engine" / "1").iterdir()] == ["model.plan"]
    assert configs["engine"].dynamic_batching.preferred_batch_size == [8]
    assert configs["ir-bf16"].parameters["HINT_BF16"].string_value == "YES"


def test_a_fixed_batch_is_part_of_the_dimensions(exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    one = {"batch": {"min": 1, "opt": 1, "max": 1}}
    artifact = retargeted(exported[1], tmp_path / "net", {"three": {"batch": FIXED}, "one": one})
    write_repository(artifact, tmp_path / "r")
    three = check_rules(tmp_path / "r" / "net_three")
    assert (three.max_batch_size, three.input[0].dims, three.output[0].dims) == (0, [3, 3, 16, 16], [3, 10])
    assert [warmup.batch_size for warmup in three.model_warmup] == [1]  # the only one that a model without batching has
    # Triton's classes are the elements of an output: those of three images have no names
    assert not three.output[0].label_filename
    assert check_rules(tmp_path / "r" / "net_one").output[0].label_filename == "labels.txt"


def test_what_triton_has_no_backend_for_is_skipped_and_said(exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    unserved = {
        "rtx": {"format": "tensorrt-rtx"},
        "phone": {"format": "ncnn"},
        "many": {"format": "tensorrt", "batch": {"min": 2, "opt": 4, "max": 8}},
    }
    artifact = retargeted(exported[1], tmp_path / "net", {"plain": {}, **unserved})
    written = write_repository(artifact, tmp_path / "r")
    assert list(written.models.values()) == ["plain"]
    assert "RTX" in written.skipped["rtx"]
    assert "ncnn" in written.skipped["phone"]
    assert "batch.min" in written.skipped["many"]
    with pytest.raises(ConfigError, match=r"none of the files.*rtx: .*phone: "):
        write_repository(retargeted(exported[1], tmp_path / "none", unserved), tmp_path / "none-r")
    assert not list(tmp_path.glob("*none-r*"))


def test_bad_requests_leave_nothing(exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    _, artifact = exported
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        write_repository(artifact, tmp_path / "there")
    for name in ("", "a/b", "a b", "é", "a\n"):
        with pytest.raises(ConfigError, match="--name"):
            write_repository(artifact, tmp_path / "r", name=name)
    with pytest.raises(ConfigError, match="delay"):
        write_repository(artifact, tmp_path / "r", queue_delay_us=-1)
    altered = retargeted(artifact, tmp_path / "net", {"plain": {}})
    (altered.path / "plain.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match="hash differs"):
        write_repository(altered, tmp_path / "r")
    assert {path.name for path in tmp_path.iterdir()} == {"there", "net"}


def test_labels_are_one_line_each_or_not_there(exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    _, artifact = exported
    again = retargeted(artifact, tmp_path / "net", {"plain": {}})
    for content, expected in (("null", None), ('["a"]', None), ('["a\\nb"' + ', "c"' * 9 + "]", ["a b", *"c" * 9])):
        (again.path / "labels.json").write_text(content)
        write_repository(again, tmp_path / f"r{len(content)}")
        labels = tmp_path / f"r{len(content)}" / "net_plain" / "labels.txt"
        assert (labels.read_text().splitlines() if labels.exists() else None) == expected


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=4), st.text(), st.lists(st.integers(0, 2**31 - 1)))
def test_any_text_survives_the_text_format(parameters: dict[str, str], name: str, sizes: list[int]) -> None:
    pairs = [{"key": key, "value": {"string_value": value}} for key, value in parameters.items()]
    written = to_pbtxt({"name": name, "parameters": pairs, "dynamic_batching": {"preferred_batch_size": sizes}})
    config = text_format.Parse(written, pb.ModelConfig())
    assert config.name == name
    assert {key: value.string_value for key, value in config.parameters.items()} == parameters
    assert config.dynamic_batching.preferred_batch_size == sizes


def test_the_verb(
    exported: tuple[Network, Artifact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shell, folder = Shell(monkeypatch, capsys), tmp_path / "r"
    artifact = retargeted(exported[1], tmp_path / "net", {"plain": {}, "rtx": {"format": "tensorrt-rtx"}})
    told = shell(
        "artifact", "triton", artifact.path, "-o", folder, "--name", "digits", "--queue-delay-us", 7, "--json"
    ).json
    assert told["models"] == {"digits_plain": "plain"}
    assert list(told["skipped"]) == ["rtx"]
    assert check_rules(folder / "digits_plain").dynamic_batching.max_queue_delay_microseconds == 7
    assert "exists already" in shell.refused("artifact", "triton", artifact.path, "-o", folder)
    assert "manifest.json" in shell.refused("artifact", "triton", tmp_path, "-o", tmp_path / "s")
    lines = shell("artifact", "triton", artifact.path, "-o", tmp_path / "t").out.splitlines()
    assert lines[0] == "net_plain: plain"
    assert lines[1].startswith("skipped rtx: Triton has no backend")
