"""What a graph takes: bytes normalised inside give what PyTorch gives outside, and a fixed batch is that batch only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from hwnas.artifacts.entry import Normalization
from hwnas.artifacts.export import export_network
from hwnas.artifacts.parity import random_textures
from hwnas.data.load import preprocessing_of
from hwnas.errors import ConfigError, ModelError
from hwnas.nn.network import Network
from hwnas.onnx.precision.half import to_half
from hwnas.onnx.precision.int8 import ONNXRUNTIME, quantize
from hwnas.records.model import ModelInfo, Preprocessing
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from tests.onnx_models import onnx_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALIZATION = Normalization(MEAN, STD)
INFO = ModelInfo(preprocessing=preprocessing_of(16, 16, MEAN, STD))
TARGET = """
schema: hwnas-target/1
format: {format}
precision: {precision}
preprocessing: {preprocessing}
batch: {batch}
runtime: {runtime}
tolerance: {{relative: {relative}, top1: 0.5}}
"""


@pytest.fixture
def network(small_space: ChainSpace) -> Network:
    network = Network(small_space, [1] * small_space.num_layers).eval()
    network.info = INFO
    return network


def target(folder: Path, **changes: object) -> str:
    values: dict[str, object] = {
        "format": "onnx", "precision": "fp32", "preprocessing": "inside", "batch": "{min: 1, opt: 1, max: 8}",
        "runtime": "onnxruntime", "relative": 1e-4,
    }  # fmt: skip
    path = folder / f"{'-'.join(map(str, changes.values())) or 'plain'}.yaml"
    path.write_text(TARGET.format(**values | changes))
    return str(path)


def pixels(count: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 16, 16, 3), np.uint8)


def normalised_by_torch(bytes_: np.ndarray) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (torch.from_numpy(bytes_).permute(0, 3, 1, 2).float() / 255 - mean) / std


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3), st.lists(st.floats(0.01, 2), min_size=3, max_size=3),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_bytes_survive_normalisation_and_back(mean: list[float], std: list[float], seed: int) -> None:
    normalization = Normalization(tuple(mean), tuple(std))
    bytes_ = np.random.default_rng(seed).integers(0, 256, (2, 4, 5, 3), np.uint8)
    assert np.array_equal(normalization.pixels(normalization.images(bytes_)), bytes_)


def test_images_are_what_pytorch_normalises() -> None:
    np.testing.assert_allclose(NORMALIZATION.images(pixels()), normalised_by_torch(pixels()).numpy(), atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_graph_of_any_precision_takes_bytes(network: Network, precision: str) -> None:
    model = onnx_of(network, (3, 16, 16))
    images = normalised_by_torch(pixels()).numpy()
    if precision == "fp16":
        model = to_half(model)
    elif precision == "int8":
        model = quantize(model, [[images]], ONNXRUNTIME)
    inside = NORMALIZATION.inside(model)
    proto = onnx.load_from_string(inside)
    onnx.checker.check_model(proto, full_check=True)
    entry = proto.graph.input[0].type.tensor_type
    assert entry.elem_type == TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in entry.shape.dim] == ["batch", 16, 16, 3]
    runtime = get_runtime("onnxruntime")
    expected = runtime.load(model, threads=1, precision="fp32").run([images])[0]
    result = runtime.load(inside, threads=1, precision="fp32").run([pixels()])[0]
    tolerance = {"fp32": 1e-5, "fp16": 5e-3, "int8": 5e-2}[precision]  # a value beside a step may take the other one
    assert np.abs(result - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(("format_", "suffix"), [("onnx", ".onnx"), ("openvino", ".xml")])
def test_an_exported_file_takes_bytes_and_gives_pytorchs_answers(
    network: Network, tmp_path: Path, format_: str, suffix: str
) -> None:
    runtime = "onnxruntime" if format_ == "onnx" else "openvino"
    pytest.importorskip(runtime)
    name = target(tmp_path, format=format_, runtime=runtime)
    artifact = export_network(network, [name], tmp_path / "artifact")
    (file,) = artifact.manifest.files
    assert file.file.endswith(suffix)
    assert file.settings.preprocessing == "inside"
    assert file.parity.max_relative < 1e-4
    images = normalised_by_torch(pixels())
    expected = network(images).detach().numpy()
    np.testing.assert_allclose(artifact.open(file).run([images.numpy()])[0], expected, rtol=1e-4, atol=1e-4)
    if format_ == "onnx":  # what somebody without hwnas does
        session = get_runtime("onnxruntime").load(artifact.read(file)[".onnx"], threads=1, precision="fp32")
        np.testing.assert_allclose(session.run([pixels()])[0], expected, rtol=1e-4, atol=1e-4)


def test_files_with_and_without_are_held_against_the_same_images(network: Network, tmp_path: Path) -> None:
    names = [target(tmp_path), target(tmp_path, preprocessing="outside")]
    artifact = export_network(network, names, tmp_path / "artifact", images=random_textures(4, (3, 16, 16)))
    assert all(file.parity.max_relative < 1e-4 for file in artifact.manifest.files)


@pytest.mark.parametrize("change", ["mean", "std", "channels", "channel order", "scale"])
def test_a_wrong_normalisation_is_caught(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    wrong = {
        "mean": Normalization((0.5, 0.456, 0.406), STD), "std": Normalization(MEAN, (0.229, 0.3, 0.225)),
        "channels": Normalization(MEAN[::-1], STD[::-1]),
    }  # fmt: skip
    inside = Normalization.inside

    def faulty(self: Normalization, graph: bytes) -> bytes:
        made = inside(wrong.get(change, self), graph)
        proto = onnx.load_from_string(made)
        if change == "scale":
            scale = next(w for w in proto.graph.initializer if w.name == "preprocessing.scale.constant")
            scale.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * 255, scale.name))
        if change == "channel order":
            transpose = next(n for n in proto.graph.node if n.op_type == "Transpose")
            transpose.attribute[0].ints[:] = [0, 3, 2, 1]
        return bytes(proto.SerializeToString())

    monkeypatch.setattr(Normalization, "inside", faulty)
    with pytest.raises(Exception, match="differs from PyTorch"):
        export_network(network, [target(tmp_path)], tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize(
    "preprocessing", [None, preprocessing_of(16, 16, (0.5,), (0.5,)), preprocessing_of(16, 16, MEAN, (0.5,))]
)
def test_a_model_that_does_not_say_how_it_normalises_is_refused(
    network: Network, tmp_path: Path, preprocessing: Preprocessing | None
) -> None:
    network.info = ModelInfo(preprocessing=preprocessing)
    with pytest.raises(ConfigError, match="mean and std"):
        export_network(network, [target(tmp_path)], tmp_path / "artifact")


def test_a_fixed_batch_is_a_number_in_the_file(network: Network, tmp_path: Path) -> None:
    artifact = export_network(network, [target(tmp_path, batch=4, precision="int8", relative=0.5)], tmp_path / "a")
    graph = onnx.load_from_string(artifact.read(artifact.manifest.files[0])[".onnx"]).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_value == 4
    session = artifact.open(artifact.manifest.files[0])
    assert session.run([random_textures(4, (3, 16, 16))])[0].shape == (4, 10)
    with pytest.raises(Exception, match="dimensions"):
        session.run([random_textures(3, (3, 16, 16))])


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ("opset: 27\nir_version: 13", "read opset 27"),
        ("ir_version: 14", "IR version 14"),
        ("opset: 99", "opsets up to"),
    ],
)
def test_versions_that_nothing_reads_are_one_error_before_any_work(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: str, words: str
) -> None:
    monkeypatch.setattr(network, "forward", lambda _: pytest.fail("the network ran"))
    path = Path(target(tmp_path))
    path.write_text(f"{path.read_text()}{versions}\n")
    with pytest.raises((ConfigError, ModelError), match=words) as caught:
        export_network(network, [str(path)], tmp_path / "artifact")
    assert "\n" not in str(caught.value)


def test_versions_asked_for_are_those_of_the_file(network: Network, tmp_path: Path) -> None:
    path = Path(target(tmp_path))
    path.write_text(f"{path.read_text()}opset: 17\nir_version: 8\n")
    artifact = export_network(network, [str(path)], tmp_path / "artifact")
    proto = onnx.load_from_string(artifact.read(artifact.manifest.files[0])[".onnx"])
    assert (proto.opset_import[0].version, proto.ir_version) == (17, 8)
    assert json.loads((artifact.path / "manifest.json").read_text())["files"][0]["settings"]["opset"] == 17
