"""Artifacts: what is promised is inside, every check can fail, and a failed one leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hwnas.artifacts import source
from hwnas.artifacts.bundle import load_artifact
from hwnas.artifacts.check import check_artifact
from hwnas.artifacts.export import export_network
from hwnas.artifacts.parity import compare, misses, random_textures, shortfall
from hwnas.data.load import preprocessing_of
from hwnas.errors import (
    CheckpointError,
    ConfigError,
    CountError,
    DataError,
    ModelError,
    OutputError,
    ParityError,
    RuntimeMissingError,
)
from hwnas.flow.export import export
from hwnas.graph.count import count
from hwnas.nn.inherit import inherit
from hwnas.nn.model_folder import load_model, save_model
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.records.artifact import FailedExport
from hwnas.records.model import ModelInfo
from hwnas.records.target import Tolerance, get_target, target_names
from hwnas.shipped import shipped
from hwnas.space.chain import ChainSpace
from tests.artifacts.evidence import made_up
from tests.nn.weights import lived_in
from tests.onnx_models import onnx_of

INFO = ModelInfo(
    data="digits", labels=("zero", "one"), accuracy={"test": 0.9},
    preprocessing=preprocessing_of(16, 16, (0.5,) * 3, (0.25,) * 3),
    made_from={"supernet": "abc"},
)  # fmt: skip


@pytest.fixture
def network(small_space: ChainSpace) -> Network:
    network = inherit(lived_in(Supernet(small_space.inheriting())), [0, 3, 1, 2, 4, 1]).eval()
    network.info = INFO
    return network


def test_the_folder_holds_what_the_manifest_says(network: Network, tmp_path: Path) -> None:
    artifact = export_network(network, ["onnx-fp32"], tmp_path / "artifact")
    assert {p.name for p in artifact.path.iterdir()} == {
        "manifest.json", "README.md", "predict.py", "arch.json", "preprocessing.json", "labels.json",
        "parity.safetensors", "onnx-fp32.onnx",
    }  # fmt: skip
    manifest = artifact.manifest
    counted = count(network.graph)
    assert (manifest.network.madds, manifest.network.params) == (counted.madds, counted.params)
    (resolved,) = artifact.of_arch.stabilizers
    assert (resolved.layer, str(resolved)) == (4, "kept as layers.4: a residual on both sides")
    assert json.loads((artifact.path / "labels.json").read_text()) == ["zero", "one"]
    assert artifact.preprocessing == INFO.preprocessing
    assert artifact.arch.choices == network.choices
    assert artifact.arch.space.fingerprint == network.space.fingerprint
    (file,) = manifest.files
    assert set(file.precisions) == {"fp32"}
    assert file.bytes == (artifact.path / file.file).stat().st_size
    assert file.parity.max_relative < 1e-4
    assert file.latency is not None
    assert file.latency.p50_ms > 0


def test_the_file_gives_pytorchs_answers(network: Network, tmp_path: Path) -> None:
    images = random_textures(7, (3, 16, 16), seed=9)
    artifact = export_network(network, ["onnx-fp32"], tmp_path / "artifact", images=images)
    session = artifact.open(artifact.manifest.files[0])
    expected = network(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(session.run([images])[0], expected, rtol=1e-4, atol=1e-5)
    assert artifact.manifest.files[0].parity.images == 7


def test_export_leaves_the_network_as_it_was(network: Network, tmp_path: Path) -> None:
    network.train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    export_network(network, ["onnx-fp32"], tmp_path / "artifact")
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_a_wrong_export_is_caught_and_leaves_nothing(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Network(network.space.inheriting(), network.choices, seed=5)
    monkeypatch.setattr(source, "to_onnx", lambda _, __, **versions: onnx_of(other, **versions))
    with pytest.raises(ParityError, match="differs from PyTorch"):
        export_network(network, ["onnx-fp32"], tmp_path / "artifact")
    smaller = Network(network.space, [0] * 6)
    monkeypatch.setattr(source, "to_onnx", lambda _, __, **versions: onnx_of(smaller, **versions))
    with pytest.raises(CountError, match="graph isn't the arch"):
        export_network(network, ["onnx-fp32"], tmp_path / "artifact")
    assert sorted(path.name for path in tmp_path.glob("*artifact*")) == ["artifact.failed", "artifact.failed-2"]
    kept = FailedExport.read(tmp_path / "artifact.failed-2" / "failures.json").targets["onnx-fp32"]
    assert "graph isn't the arch" in kept.failures[0]
    evidence = {path.name for path in (tmp_path / "artifact.failed").iterdir()}
    assert evidence == {"onnx-fp32.onnx", "onnx-fp32.graph.onnx", "failures.json"}


@pytest.fixture
def strict(tmp_path: Path) -> str:
    """A target that nothing passes."""
    text = "schema: hwnas-target/1\nformat: onnx\nprecision: fp32\nruntime: onnxruntime\n"
    (tmp_path / "strict.yaml").write_text(f"{text}tolerance: {{relative: 1.0e-12, top1: 1.0}}\n")
    return str(tmp_path / "strict.yaml")


def test_what_passed_is_shipped_beside_what_failed(network: Network, tmp_path: Path, strict: str) -> None:
    """In any order, and where a file misses its tolerance as where what writes it isn't installed."""
    network.info = INFO.model_copy(update={"labels": None})
    found = export_network(network, [strict, "onnx-fp32", "tensorrt-fp16"], tmp_path / "artifact")
    assert [file.target for file in found.manifest.files] == ["onnx-fp32"]
    assert {path.name for path in found.path.iterdir()} == {"manifest.json", *load_artifact(found.path).manifest.sha256}
    assert found.failed.keys() == {"strict", "tensorrt-fp16"}
    assert "differs from PyTorch" in found.failed["strict"]
    assert "pip install" in found.failed["tensorrt-fp16"]
    assert found.evidence == tmp_path / "artifact.failed"
    assert {path.name for path in found.evidence.iterdir()} == {"strict.onnx", "strict.graph.onnx", "failures.json"}
    kept = FailedExport.read(found.evidence / "failures.json").targets
    assert {name: verdict.failures[0] for name, verdict in kept.items()} == found.failed
    assert check_artifact(found.path).passed
    again = export_network(network, ["onnx-fp32"], tmp_path / "without")
    assert (again.failed, again.evidence) == ({}, None)
    assert again.manifest.sha256.keys() == found.manifest.sha256.keys()


def test_all_or_nothing_ships_nothing(network: Network, tmp_path: Path, strict: str) -> None:
    where = str(tmp_path / "artifact.failed")
    with pytest.raises(ParityError, match=f"^strict: differs .*; nothing was shipped, the evidence is in {where}$"):
        export_network(network, ["onnx-fp32", strict], tmp_path / "artifact", all_or_nothing=True)
    with pytest.raises(RuntimeMissingError, match=r"^tensorrt-fp16: .*; nothing was shipped$"):
        export_network(network, ["onnx-fp32", "tensorrt-fp16"], tmp_path / "artifact", all_or_nothing=True)
    assert sorted(path.name for path in tmp_path.glob("artifact*")) == ["artifact.failed"]


def test_nothing_is_shipped_where_all_fail(network: Network, tmp_path: Path, strict: str) -> None:
    with pytest.raises(RuntimeMissingError, match="nothing was shipped, the evidence is in"):
        export_network(network, ["tensorrt-fp16", strict], tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()


def test_parity_judges_by_its_tolerance() -> None:
    reference = np.array([[1.0, 2.0], [4.0, 3.0]], np.float32)
    tolerance = Tolerance(relative=1e-2, top1=1.0)
    parity = compare(made_up(reference), [reference + np.float32(0.02)])
    assert parity.max_abs == pytest.approx(0.02, rel=1e-5)
    assert parity.max_relative == pytest.approx(0.005, rel=1e-5)
    assert parity.top1_agreement == 1.0
    assert 0.9999 < parity.cosine < 1
    assert misses(parity, tolerance, "PyTorch") == []
    further = compare(made_up(reference), [reference + np.float32(0.05)])
    assert "differs from PyTorch by" in misses(further, tolerance, "PyTorch")[0]
    swapped = compare(made_up(reference), [np.array([[2.0, 1.999], [4, 3]], np.float32)])
    assert "50.00%" in misses(swapped, Tolerance(relative=0.9, top1=0.9), "PyTorch")[0]
    turned = compare(made_up(reference), [np.array([[-2.0, 1.0], [4, 3]], np.float32)])
    assert turned.cosine == pytest.approx(0, abs=1e-6)
    assert "cosine" in misses(turned, Tolerance(relative=0.99, top1=0.9), "PyTorch")[-1]
    for right, wrong, why in (
        (reference, np.full((2, 2), np.nan, np.float32), "logits that aren't finite"),
        (np.full((2, 2), np.nan, np.float32), reference, "PyTorch's logits aren't finite"),
        (reference, reference[:1], r"shape \(1, 2\) where PyTorch's are \(2, 2\)"),
        (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32), "PyTorch's logits are 0 for every input"),
    ):
        with pytest.raises(ParityError, match=why):
            compare(made_up(right), [wrong])


def test_random_textures_have_coarse_and_fine_structure() -> None:
    images = random_textures(16, (3, 32, 32))
    assert images.dtype == np.float32
    assert np.allclose(images.mean((1, 2, 3)), 0, atol=1e-5)
    assert np.allclose(images.std((1, 2, 3)), 1, atol=1e-4)
    blocks = images.reshape(16, 3, 4, 8, 4, 8).mean((3, 5))  # white noise would leave a deviation of 1/8
    assert 0.4 < blocks.std() < 0.95
    assert np.array_equal(images, random_textures(16, (3, 32, 32)))
    assert not np.array_equal(images, random_textures(16, (3, 32, 32), seed=1))


@pytest.mark.parametrize("change", ["altered", "missing", "manifest"])
def test_an_altered_artifact_is_refused(network: Network, tmp_path: Path, change: str) -> None:
    artifact = export_network(network, ["onnx-fp32"], tmp_path / "artifact")
    model = artifact.path / "onnx-fp32.onnx"
    if change == "altered":
        model.write_bytes(model.read_bytes()[:-1] + b"\x00")
    elif change == "missing":
        model.unlink()
    else:
        manifest = json.loads((artifact.path / "manifest.json").read_text())
        manifest["sha256"]["../outside"] = "0"
        (artifact.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError):
        load_artifact(artifact.path)


def test_a_link_out_of_the_folder_is_refused(network: Network, tmp_path: Path) -> None:
    artifact = export_network(network, ["onnx-fp32"], tmp_path / "artifact")
    model = artifact.path / "onnx-fp32.onnx"
    shutil.move(model, tmp_path / "elsewhere.onnx")
    model.symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(ModelError, match="plain file"):
        load_artifact(artifact.path)


def test_wrong_requests(network: Network, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for error, targets, output, images in [
        (ConfigError, ["onnx-fp33"], "a", None),
        (ConfigError, [], "a", None),
        (ConfigError, ["onnx-fp32", "onnx-fp32"], "a", None),
        (OutputError, ["onnx-fp32"], "there", None),
        (DataError, ["onnx-fp32"], "a", np.zeros((2, 3, 8, 8), np.float32)),
    ]:
        with pytest.raises(error):
            export_network(network, targets, tmp_path / output, images=images)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".yaml"] == ["there"]


def test_every_shipped_target_is_valid() -> None:
    assert "onnx-fp32" in target_names()
    for name in target_names():
        assert get_target(name).name == name


def test_a_target_of_ones_own_has_a_name_of_its_own(tmp_path: Path) -> None:
    theirs = yaml.safe_load(shipped("export", "targets", "onnx-fp32.yaml").read_text())
    path = tmp_path / "onnx-fp32.yaml"
    path.write_text(yaml.safe_dump(theirs))
    assert get_target(str(path)) == get_target("onnx-fp32")
    path.write_text(yaml.safe_dump(theirs | {"tolerance": {"relative": 0.05, "top1": 0.5}}))
    with pytest.raises(ConfigError, match="called like the target onnx-fp32"):
        get_target(str(path))


def test_what_cannot_be_made_is_told_before_images_are_decoded(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no target 'onnx-fp33'"):
        export(network, "onnx-fp33", tmp_path / "a", data="nowhere")
    with pytest.raises(OutputError, match="exists already"):
        export(network, "onnx-fp32", tmp_path, data="nowhere")


@pytest.mark.parametrize(
    ("line", "words"),
    [("opset: 3", "opset"), ("precision: fp4", "precision"), ("tolerance: {relative: -1, top1: 1}", "relative")],
)
def test_a_users_target_is_checked(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    base = {"schema": "hwnas-target/1", "format": "onnx", "precision": "fp32", "runtime": "onnxruntime"}
    lines = {**{k: f"{k}: {v}" for k, v in base.items()}, "tolerance": "tolerance: {relative: 0.1, top1: 0.9}"}
    path.write_text("\n".join(lines.values()))
    assert get_target(str(path)).name == "mine"
    lines[line.split(":")[0]] = line
    path.write_text("\n".join(lines.values()))
    with pytest.raises(ConfigError, match=words):
        get_target(str(path))
    path.write_text("\n".join(lines.values()).partition("\n")[2])
    with pytest.raises(ConfigError, match=r"it has none; if it is one, begin it with schema: hwnas-target/1$"):
        get_target(str(path))


@pytest.mark.parametrize(
    ("runtime", "near"), [("onnxruntim", "onnxruntime"), ("OpenVino", "openvino"), ("tensort-rtx", "tensorrt-rtx")]
)
def test_a_misspelt_runtime_is_an_error(network: Network, tmp_path: Path, strict: str, runtime: str, near: str) -> None:
    """Not one that isn't installed, for which files would be made that nothing has run."""
    path = tmp_path / "mine.yaml"
    path.write_text(Path(strict).read_text().replace("runtime: onnxruntime", f"runtime: {runtime}"))
    with pytest.raises(RuntimeMissingError, match=f"target mine: no runtime '{runtime}'; did you mean '{near}'"):
        export_network(network, [str(path)], tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize("name", ["con", "AUX.fp32", "lpt1", "x" * 81])
def test_a_target_that_its_own_unzip_would_refuse_is_refused(tmp_path: Path, strict: str, name: str) -> None:
    path = Path(strict).rename(tmp_path / f"{name}.yaml")
    with pytest.raises(ConfigError, match=r"name: "):
        get_target(str(path))


@pytest.mark.parametrize("change", ["weights", "no weights", "json", "arch", "no json"])
def test_an_altered_model_folder_is_refused(network: Network, tmp_path: Path, change: str) -> None:
    folder = tmp_path / "model"
    save_model(network, folder)
    weights, description = folder / "weights.safetensors", folder / "model.json"
    if change == "weights":
        weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    elif change == "no weights":
        weights.unlink()
    elif change == "no json":
        description.unlink()
    else:
        data = json.loads(description.read_text())
        data |= {"choices": [0] * 6, "stabilizers": []} if change == "arch" else {"schema": "x"}
        description.write_text(json.dumps(data))
    with pytest.raises(CheckpointError if change == "arch" else ModelError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_models_are_written_once(network: Network, tmp_path: Path) -> None:
    save_model(network, tmp_path / "model")
    with pytest.raises(OutputError, match="exists already"):
        save_model(network, tmp_path / "model")


def test_most_layers_compute_as_asked() -> None:
    assert shortfall({"int8": 3, "fp32": 2}, "int8") is None
    assert shortfall({"fp16": 1}, "fp16") is None
    assert shortfall({"fp32": 2, "int8": 2}, "int8") == "computes its layers 2 in fp32, 2 in int8, where int8 was asked"
    assert shortfall({"fp32": 9}, "fp16") == "computes its layers 9 in fp32, where fp16 was asked"


@pytest.mark.parametrize("batch", ["yes", "{min: 1, opt: yes, max: 8}", "1.5", "0", "{min: 4, opt: 2, max: 8}", "'8'"])
def test_a_batch_is_whole_numbers_in_order(tmp_path: Path, batch: str) -> None:
    lines = "schema: hwnas-target/1\nformat: onnx\nprecision: fp32\nruntime: onnxruntime\n"
    path = tmp_path / "mine.yaml"
    path.write_text(f"{lines}tolerance: {{relative: 0.1, top1: 0.9}}\nbatch: {batch}\n")
    with pytest.raises(ConfigError, match="batch"):
        get_target(str(path))
