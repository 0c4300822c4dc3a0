"""Somebody's ONNX file, exported: held against itself, whatever it takes and gives, and as strictly as our own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.artifacts.check import check_artifact
from hwnas.artifacts.export import export_network
from hwnas.artifacts.source import FileSource
from hwnas.artifacts.triton import write_repository
from hwnas.errors import ConfigError, CountError, DataError, ModelError, ParityError
from hwnas.flow.bench import bench
from hwnas.onnx.model import OnnxModel, model_of, read_model
from hwnas.profiling.timer import Effort
from hwnas.records.network import OfFile
from hwnas.records.target import get_target
from tests.foreign_models import ds_cnn, onnx_file, resnet8, text_encoder, vit

REFERENCE = "ONNX Runtime without optimizations"


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return read_model(onnx_file(tmp_path_factory.mktemp("resnet") / "resnet8.onnx", resnet8(), "pixels"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return read_model(onnx_file(tmp_path_factory.mktemp("text") / "text.onnx", text_encoder(), "ids", "mask"))


def answers(data: bytes, *inputs: np.ndarray) -> list[np.ndarray]:
    """Of ONNX Runtime, as anyone would run a file."""
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([each.name for each in session.get_inputs()], inputs, strict=True)))  # type: ignore[no-any-return]


def missed(artifact: Artifact) -> dict[str, str]:
    return {each.about: each.text for each in check_artifact(artifact.path).missed}


def test_an_image_classifier_in_every_kind_of_file(resnet: OnnxModel, tmp_path: Path) -> None:
    targets = ["onnx-fp32", "onnx-int8-cpu", "openvino-fp32", "openvino-int8", "onnx-fp16"]
    artifact = export_network(resnet, targets, tmp_path / "a")
    assert artifact.failed == {}
    network = artifact.manifest.network
    assert isinstance(network, OfFile)
    assert (network.reference, network.name, network.sha256) == (REFERENCE, "resnet8.onnx", resnet.sha256)
    assert (network.batch, network.image_chw, network.classes) == (1, (3, 32, 32), 10)
    assert network.madds == 12_501_632  # by hand: MLPerf Tiny's README has 12.5 million
    assert {file.target: set(file.precisions) >= {kind} for file, kind in zip(
        artifact.manifest.files, ("fp32", "int8", "fp32", "int8", "fp16"), strict=True
    )} == dict.fromkeys(targets, True)  # fmt: skip
    assert missed(artifact) == {}
    images = np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32)
    (expected,), (given,) = (
        answers(resnet.data, images),
        answers((artifact.path / "onnx-fp32.onnx").read_bytes(), images),
    )
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_several_inputs_and_numbers_that_are_no_classes(text: OnnxModel, tmp_path: Path) -> None:
    artifact = export_network(text, ["onnx-fp32", "onnx-fp16", "openvino-fp32"], tmp_path / "a")
    assert artifact.failed == {}
    for file in artifact.manifest.files:
        assert [(each.name, each.dtype, each.shape) for each in file.inputs] == [
            ("ids", "int64", (1, 16)), ("mask", "int64", (1, 16))
        ]  # fmt: skip
        assert file.parity.sqnr_db is not None
    assert missed(artifact) == {}
    assert "predict.py" not in artifact.manifest.sha256
    assert "There is no predict.py" in (artifact.path / "README.md").read_text()
    assert not (artifact.path / "arch.json").exists()
    with pytest.raises(ModelError, match=r"is of the file text.onnx, and of no arch"):
        _ = artifact.arch


def two_outputs() -> bytes:
    """x -> (2x, a sum that depends on nothing of a sample but its length)."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["double"]),
        helper.make_node("ReduceMean", ["double"], ["mean"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("double", "mean")],
        [numpy_helper.from_array(np.float32(2), "two")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return bytes(model.SerializeToString())


def test_each_output_is_told_and_the_worst_counts(tmp_path: Path) -> None:
    artifact = export_network(model_of(two_outputs(), "two.onnx"), ["onnx-fp16"], tmp_path / "a")
    (file,) = artifact.manifest.files
    assert file.opset == 14  # an opset of before int8's operators is raised
    assert list(file.parity.outputs) == ["double", "mean"]
    assert file.parity.top1_agreement is None
    for figure, worst in (("max_relative", max), ("cosine", min), ("sqnr_db", min)):
        of_outputs = [getattr(each, figure) for each in file.parity.outputs.values()]
        assert getattr(file.parity, figure) == worst(of_outputs)
    assert missed(artifact) == {}


def test_what_has_no_batch_is_run_as_a_whole(tmp_path: Path) -> None:
    """A recurrent state has its layers first, its step one more."""
    node = helper.make_node("Add", ["state", "step"], ["next"])
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, 1, 8]),
                      helper.make_tensor_value_info("step", TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info("next", TensorProto.FLOAT, [2, 1, 8])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    artifact = export_network(model_of(model.SerializeToString(), "rnn.onnx"), ["onnx-fp32"], tmp_path / "a")
    network = artifact.manifest.network
    assert (network.whole, network.batch) == (True, None)
    assert missed(artifact) == {}
    states = np.arange(5 * 16, dtype=np.float32).reshape(5, 2, 1, 8)
    steps = np.arange(5, dtype=np.float32)
    model_again = model_of(model.SerializeToString(), "rnn.onnx")
    again = export_network(model_again, ["onnx-fp32"], tmp_path / "b", images=[states, steps])
    assert again.manifest.files[0].parity.images == 5


def test_an_output_that_may_hold_nothing_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["places"]), helper.make_node("Cast", ["places"], ["y"], to=1)]
    graph = helper.make_graph(
        [helper.make_node("Sub", ["input", "input"], ["x"]), *nodes], "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, None])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match=r"output y holds nothing .* its size depends on what goes in"):
        export_network(model_of(model.SerializeToString(), "nms.onnx"), ["onnx-fp32"], tmp_path / "a")


def test_of_a_small_network_most_layers_become_int8(tmp_path: Path) -> None:
    """Where the first and the last of three stay float, it isn't int8 that was asked for."""
    weights = [numpy_helper.from_array(np.eye(8, dtype=np.float32) * (n + 1), f"w{n}") for n in range(3)]
    nodes = [helper.make_node("Gemm", [f"x{n}", f"w{n}"], [f"x{n + 1}"]) for n in range(3)]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("x3", TensorProto.FLOAT, [1, 8])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    artifact = export_network(model_of(model.SerializeToString(), "three.onnx"), ["onnx-int8-cpu"], tmp_path / "a")
    assert artifact.manifest.files[0].precisions == {"int8": 3}


def test_a_batch_that_the_file_fixes_is_kept(resnet: OnnxModel, tmp_path: Path) -> None:
    file = onnx_file(tmp_path / "net.onnx", resnet8(), "pixels")
    proto = onnx.load(file)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    model = model_of(proto.SerializeToString(), "net.onnx", {"pixels": (4, 3, 32, 32)})
    images = np.random.default_rng(0).standard_normal((6, 3, 32, 32), dtype=np.float32)
    artifact = export_network(model, ["onnx-fp32", "openvino-fp32"], tmp_path / "a", images=images)
    assert {file.settings.batch.fixed for file in artifact.manifest.files} == {4}
    assert {file.inputs[0].shape for file in artifact.manifest.files} == {(4, 3, 32, 32)}
    assert artifact.manifest.network.madds == FileSource(resnet).record.madds  # of one image
    assert artifact.manifest.files[0].parity.images == 6
    assert missed(artifact) == {}


@pytest.mark.parametrize("kind", ["scaled weights", "another activation", "a layer more"])
def test_a_graph_that_is_another_function_is_refused(
    resnet: OnnxModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from hwnas.artifacts import source

    plain = source.plain

    def broken(*given: object) -> bytes:
        proto = onnx.load_from_string(plain(*given))  # type: ignore[arg-type]
        node = next(each for each in proto.graph.node if each.op_type == "Conv")
        if kind == "scaled weights":
            weight = next(each for each in proto.graph.initializer if each.name == node.input[1])
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.5), weight.name))
        elif kind == "another activation":
            next(each for each in proto.graph.node if each.op_type == "Relu").op_type = "HardSwish"
        else:
            extra = numpy_helper.from_array(np.eye(10, dtype=np.float32), "extra")
            proto.graph.initializer.append(extra)
            result = proto.graph.output[0].name
            proto.graph.node[-1].output[0] = "before"
            proto.graph.node.append(helper.make_node("MatMul", ["before", "extra"], [result], "more"))
        return bytes(proto.SerializeToString())

    record = FileSource(resnet).record
    monkeypatch.setattr(source, "plain", broken)
    monkeypatch.setattr(FileSource, "record", record)
    wrong = (CountError, "multiply-adds, the original") if kind == "a layer more" else (ParityError, REFERENCE)
    with pytest.raises(wrong[0], match=wrong[1]):
        export_network(resnet, ["onnx-fp32"], tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.fixture(scope="module")
def shipped(resnet: OnnxModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_network(resnet, ["onnx-fp32", "openvino-fp32"], tmp_path_factory.mktemp("shipped") / "a").path


def _of_madds(manifest: dict[str, object]) -> None:
    manifest["network"]["madds"] += 1  # type: ignore[index]


def _of_shape(manifest: dict[str, object]) -> None:
    manifest["network"]["inputs"][0]["shape"] = [1, 3, 16, 16]  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "words"),
    [(_of_madds, "structure"), (_of_shape, "parity.safetensors")],
)
def test_a_forged_manifest_is_found(
    shipped: Path, tmp_path: Path, change: Callable[[dict[str, object]], None], words: str
) -> None:
    copy = Path(shutil.copytree(shipped, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    change(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    found = check_artifact(copy).missed
    assert any(words in f"{each.about}: {each.text}" for each in found)


def test_a_reference_of_another_kind_is_refused(shipped: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["network"]["reference"] = "PyTorch"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="reference"):
        check_artifact(copy)


def test_bench_triton_and_the_card_know_such_an_artifact(shipped: Path, text: OnnxModel, tmp_path: Path) -> None:
    words = export_network(text, ["onnx-fp32"], tmp_path / "text").path
    found = bench([shipped, words], effort=Effort(at_least_s=0.1, at_most_s=0.3), runtimes=("onnxruntime", "openvino"))
    assert {(row.target, row.runtime) for row in found.results} == {
        ("onnx-fp32", "onnxruntime"), ("onnx-fp32", "openvino"), ("openvino-fp32", "openvino")
    }  # fmt: skip
    assert all(row.parity is not None and row.parity.max_relative < 1e-3 for row in found.results)
    write_repository(load_artifact(words), tmp_path / "triton")
    config = (tmp_path / "triton" / "text_onnx-fp32" / "config.pbtxt").read_text()
    assert config.count("TYPE_INT64") == 4  # two inputs, and what warms them up
    assert 'name: "mask"' in config
    card = (shipped / "README.md").read_text()
    assert f"The difference to what {REFERENCE} gives" in card
    assert "Of the file resnet8.onnx: pixels (float32 1×3×32×32 NCHW) in" in card


def test_bytes_inside_take_one_image(resnet: OnnxModel, text: OnnxModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"preprocessing of one image inside, and text\.onnx takes something else"):
        export_network(text, ["onnx-fp32-uint8"], tmp_path / "a")
    with pytest.raises(ConfigError, match="doesn't say mean and std"):
        export_network(resnet, ["onnx-fp32-uint8"], tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([np.zeros((4, 16), np.int64)], "are 1 arrays, and the network takes 2"),
        ([np.zeros((4, 16), np.int64), np.zeros((4, 8), np.int64)], r"mask for the checks must be int64"),
        ([np.zeros((4, 16), np.int64), np.zeros((3, 16), np.int64)], "mask has 3 rows, others 4"),
        ([np.zeros((4, 16), np.float32), np.zeros((4, 16), np.int64)], r"ids for the checks must be int64"),
    ],
)
def test_inputs_that_the_network_doesnt_take(
    text: OnnxModel, tmp_path: Path, images: list[np.ndarray], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        export_network(text, ["onnx-fp32"], tmp_path / "a", images=images)


@pytest.mark.parametrize(("name", "targets"), [("vit", ["openvino-fp32"]), ("ds-cnn", ["onnx-int8-cpu"])])
def test_transformers_and_depthwise_networks_pass(tmp_path: Path, name: str, targets: list[str]) -> None:
    model = read_model(onnx_file(tmp_path / "net.onnx", vit() if name == "vit" else ds_cnn(), "x"))
    artifact = export_network(model, ["onnx-fp32", *targets], tmp_path / "a")
    assert artifact.failed == {}
    assert missed(artifact) == {}


def test_a_tensorrt_engine_of_a_file_is_built_without_a_gpu(resnet: OnnxModel, text: OnnxModel, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    for name, model in (("resnet", resnet), ("text", text)):
        artifact = export_network(model, ["tensorrt-rtx-fp16"], tmp_path / name)
        (file,) = artifact.manifest.files
        assert set(file.precisions) == {"fp16"}
        assert missed(artifact) == {}


def ocr_models() -> list[tuple[Path, tuple[int, ...]]]:
    """The three models of rapidocr-onnxruntime, trained ones, and a size of an image that each takes."""
    from importlib.util import find_spec

    found = find_spec("rapidocr_onnxruntime")
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).parent / "models"
    sizes = {"det": (1, 3, 64, 96), "rec": (1, 3, 48, 96), "cls": (1, 3, 48, 192)}
    return [(path, size) for path in sorted(folder.glob("*.onnx")) for part, size in sizes.items() if part in path.name]


def lettered(size: tuple[int, ...]) -> np.ndarray:
    """Pictures of letters: of textures alone such networks say that there is nothing, to the last bit."""
    pictures = []
    for text in ("one", "two", "three", "four"):
        picture = Image.new("L", size[:1:-1], 255)
        ImageDraw.Draw(picture).text((4, 4), text, fill=0, font_size=24)
        pictures.append(np.repeat(np.asarray(picture, np.float32)[None] / 127.5 - 1, 3, axis=0))
    return np.stack(pictures)


@pytest.mark.skipif(not ocr_models(), reason="rapidocr-onnxruntime isn't installed")
def test_trained_networks_with_open_sizes(tmp_path: Path) -> None:
    for path, size in ocr_models():
        model = read_model(path, {"x": size})
        images = lettered(size)
        artifact = export_network(model, ["onnx-fp32", "openvino-fp32"], tmp_path / path.stem, images=images)
        assert artifact.failed == {}
        assert missed(artifact) == {}


def test_the_targets_meaning_is_the_files_own(resnet: OnnxModel) -> None:
    fitted = FileSource(resnet).record.fitted(get_target("onnx-fp32"))
    assert (fitted.opset, fitted.batch.fixed, fitted.tolerance) == (17, 1, get_target("onnx-fp32").tolerance)
