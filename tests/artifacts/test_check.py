"""Every check of an artifact passes on a good one, and each can fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from safetensors.numpy import load, save

from hwnas.artifacts.bundle import load_artifact
from hwnas.artifacts.check import check_artifact
from hwnas.artifacts.triton import write_repository
from hwnas.errors import ModelError
from hwnas.files import to_json
from hwnas.runtimes import registry
from tests.artifacts.conftest import Copy, Shipped

OLDER = "0.0.1"
"""Of hwnas, whose targets may have asked for something else."""

pytestmark = pytest.mark.usefixtures("in_this_process")


def missed(path: Path) -> dict[str, str]:
    """{what: why} of the checks that a folder misses."""
    return {finding.about: finding.text for finding in check_artifact(path).checks if finding.passed is False}


def test_a_good_artifact_passes_every_check(shipped: Shipped) -> None:
    found = {finding.about: finding for finding in check_artifact(shipped.path).checks}
    for about in ("manifest", "arch", "labels", "preprocessing", "contents", "README.md", "predict.py",
                  "onnx-fp32: structure", "onnx-fp32: parity", "onnx-fp32: precision", "openvino-fp32: parity",
                  "openvino-fp32: precision"):  # fmt: skip
        assert found[about].passed is True, found[about]
    assert not [finding for finding in found.values() if finding.passed is False]
    assert {path.name for path in shipped.path.iterdir()} - found.keys() == {"manifest.json"}


@pytest.mark.parametrize(
    "name", ["README.md", "predict.py", "onnx-fp32.onnx", "openvino-fp32.bin", "parity.safetensors"]
)
def test_a_file_that_was_altered(copy: Copy, name: str) -> None:
    content = (copy.path / name).read_bytes()
    (copy.path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert list(missed(copy.path)) == [name]
    (copy.path / name).unlink()
    assert list(missed(copy.path)) == [name]


def test_a_file_too_much_or_too_little(copy: Copy) -> None:
    (copy.path / "new\nfile").write_bytes(b"")
    copy.edit(lambda manifest: manifest["sha256"].pop("predict.py"))
    (copy.path / "README.md").unlink()
    copy.edit(lambda manifest: manifest["sha256"].pop("README.md"))
    found = missed(copy.path)
    assert found.keys() == {"new\\nfile", "predict.py", "README.md"}


@pytest.mark.parametrize("key", ["madds", "params", "input_chw"])
def test_counts_that_arent_the_archs(copy: Copy, key: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        network = manifest["network"]
        network[key] = [3, 32, 32] if key == "input_chw" else network[key] + 1

    copy.edit(change)
    assert "arch" in missed(copy.path)


def test_another_arch(copy: Copy) -> None:
    copy.edit(lambda manifest: manifest["network"].update(choices=[0] * 6))
    assert {"arch", "labels", "onnx-fp32: structure"} <= missed(copy.path).keys()
    copy.edit(lambda manifest: manifest["network"].update(choices=[99] * 6))
    assert "out of range" in missed(copy.path)["arch"]


@pytest.mark.parametrize("labels", [["one"], ["a"] * 9 + [1], {"a": 1}, "labels"])
def test_labels_that_arent_the_classes(copy: Copy, labels: object) -> None:
    copy.replace("labels.json", json.dumps(labels).encode())
    assert missed(copy.path).keys() == {"labels"}


def test_other_weights_than_pytorchs(copy: Copy) -> None:
    """The hash is right and the structure is the arch's: only parity tells."""
    model = onnx.load(copy.path / "onnx-fp32.onnx")
    weights = max(model.graph.initializer, key=lambda weight: int(np.prod(weight.dims)))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.01), weights.name))
    copy.replace("onnx-fp32.onnx", model.SerializeToString())
    found = missed(copy.path)
    assert found.keys() == {"onnx-fp32: parity"}
    assert "differs from PyTorch" in found["onnx-fp32: parity"]


def test_what_passed_on_many_inputs_passes_again_on_these(copy: Copy) -> None:
    """One image more or less of eight is much of a share: as near as when it was exported is near enough."""

    def edit(key: str, most: float) -> None:
        copy.edit(lambda manifest: manifest["files"][0][key].update(max_relative=most))
        copy.rewrite()

    then = json.loads((copy.path / "manifest.json").read_text())["files"][0]["recheck"]["max_relative"]
    edit("parity", 1e-13)
    copy.edit(lambda manifest: manifest["files"][0]["settings"]["tolerance"].update(relative=0.7 * then))
    assert missed(copy.path) == {
        "onnx-fp32: parity": "the manifest's settings aren't those of the target onnx-fp32 of hwnas"
    }
    copy.edit(lambda manifest: manifest.update(hwnas=OLDER))
    assert missed(copy.path) == {}
    edit("recheck", 0.5 * then)
    assert missed(copy.path).keys() == {"onnx-fp32: parity"}
    edit("recheck", 0.5)  # as far as no network is from itself
    assert missed(copy.path).keys() == {"onnx-fp32: parity"}
    edit("recheck", then)
    copy.edit(lambda manifest: manifest["files"][0]["settings"]["tolerance"].update(relative=0.1 * then))
    assert missed(copy.path).keys() == {"onnx-fp32: parity"}


def test_a_forged_recheck_hides_no_altered_weights(copy: Copy) -> None:
    model = onnx.load(copy.path / "onnx-fp32.onnx")
    weights = next(each for each in model.graph.initializer if "classifier.weight" in each.name)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.05), weights.name))
    copy.replace("onnx-fp32.onnx", model.SerializeToString())
    forged = {"max_relative": 0.09, "max_abs": 1.0, "cosine": 0.9}
    copy.edit(lambda manifest: manifest["files"][0]["recheck"].update(forged))
    copy.rewrite()
    assert "differs from PyTorch by" in missed(copy.path)["onnx-fp32: parity"]


def test_a_manifest_that_says_itself_that_a_check_was_missed(copy: Copy) -> None:
    copy.edit(lambda manifest: manifest["files"][0]["parity"].update(max_relative=0.3))
    copy.rewrite()
    assert missed(copy.path) == {
        "onnx-fp32: parity": "by the manifest itself, it differs from PyTorch by 3.00e-01 (allowed 1e-04)"
    }


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("relative", 0.11, "tolerance.relative of fp32 is at most 0.1"),
        ("relative", 1e9, "tolerance.relative"),
        ("cosine", 0.0, "tolerance.cosine"),
        ("top1", 1e-9, "tolerance.top1"),
        ("accuracy_points", 100, "tolerance.accuracy_points"),
    ],
)
def test_tolerances_that_anything_would_pass(copy: Copy, key: str, value: float, why: str) -> None:
    copy.edit(lambda manifest: manifest["files"][0]["settings"]["tolerance"].update({key: value}))
    with pytest.raises(ModelError, match=why):
        check_artifact(copy.path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda files: files.clear(), "files"),
        (lambda files: files.append(files[0]), "a target twice"),
        (lambda files: files[1].update(files=files[0]["files"]), "are named after it"),
        (lambda files: files[0].update(target="onnx-FP32"), "are named after it"),
        (lambda files: files[0]["files"].append("onnx-fp32.onnx"), "a file twice"),
        (lambda files: files[0]["files"].append("onnx-fp32.ONNX"), "a file twice"),
    ],
)
def test_no_file_or_one_twice(copy: Copy, change: Callable[[list[Any]], object], why: str) -> None:
    copy.edit(lambda manifest: change(manifest["files"]))
    with pytest.raises(ModelError, match=why):
        check_artifact(copy.path)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        (None, "fp32_ms", -1.0),
        (None, "memory_mb", -1.0),
        ("parity", "max_abs", -0.1),
        ("parity", "cosine", 5.0),
        ("recheck", "max_relative", -1.0),
        ("parity", "max_abs", 0.0),
        (None, "fp32_ms", 1e300),
        (None, "memory_mb", 1e300),
        ("recheck", "cosine", 5.0),
    ],
)
def test_numbers_that_nothing_measures(copy: Copy, part: str | None, key: str, value: float) -> None:
    copy.edit(lambda manifest: (manifest["files"][0][part] if part else manifest["files"][0]).update({key: value}))
    with pytest.raises(ModelError, match=key):
        check_artifact(copy.path)


def test_a_shipped_targets_name_is_not_somebody_elses_target(copy: Copy) -> None:
    copy.edit(lambda manifest: manifest["files"][0]["settings"]["tolerance"].update(relative=0.09))
    copy.rewrite()
    assert missed(copy.path) == {
        "onnx-fp32: parity": "the manifest's settings aren't those of the target onnx-fp32 of hwnas"
    }


@pytest.mark.parametrize("version", ["\n", "", "0.1 or so"])
def test_a_version_that_is_none(copy: Copy, version: str) -> None:
    copy.edit(lambda manifest: manifest.update(hwnas=version))
    with pytest.raises(ModelError, match="hwnas"):
        check_artifact(copy.path)


def test_a_recheck_of_other_inputs(copy: Copy) -> None:
    copy.edit(lambda manifest: manifest["files"][0]["recheck"].update(inputs="/etc/passwd"))
    copy.rewrite()
    assert "recheck isn't of this file" in missed(copy.path)["onnx-fp32: parity"]


def test_models_without_an_opset_or_with_a_broken_ir(copy: Copy) -> None:
    """What is wrong is told, not how the reader stumbled."""
    model = onnx.load(copy.path / "onnx-fp32.onnx")
    del model.opset_import[:]
    copy.replace("onnx-fp32.onnx", model.SerializeToString())
    copy.replace("openvino-fp32.xml", b"<net/>")
    copy.rewrite()
    found = missed(copy.path)
    assert found["onnx-fp32: structure"].startswith("opset 0, ")
    assert "Exception from" not in found["openvino-fp32: structure"]


def test_a_file_that_is_vouched_for_and_serves_nothing(copy: Copy) -> None:
    (copy.path / "run_me.sh").write_bytes(b"")
    copy.replace("run_me.sh", b"rm -rf ~")
    assert missed(copy.path) == {"run_me.sh": "is listed in the manifest, and no target has it"}


def test_another_size_than_the_manifest_says(copy: Copy) -> None:
    copy.edit(lambda manifest: manifest["files"][0].update(bytes=5))
    copy.rewrite()
    assert "the manifest says 5" in missed(copy.path)["onnx-fp32: structure"]


@pytest.mark.parametrize("name", ["README.md", "predict.py", "arch.json", "labels.json", "preprocessing.json"])
def test_what_isnt_what_the_facts_give(copy: Copy, name: str) -> None:
    """Its hash is vouched for, and it can be read: only writing it anew tells."""
    content = (copy.path / name).read_bytes()
    copy.replace(name, content + (b"import os  # and worse\n" if name == "predict.py" else b"\n"))
    assert missed(copy.path) == {"contents": f"{name} isn't what the manifest's facts give when it is written anew"}


@pytest.mark.parametrize(("key", "value"), [("accuracy", {"test": 0.99}), ("data", "imagenet")])
def test_facts_that_the_card_doesnt_tell(copy: Copy, key: str, value: object) -> None:
    copy.edit(lambda manifest: manifest.update({key: value}))
    assert missed(copy.path).keys() == {"contents"}
    copy.rewrite()
    assert missed(copy.path) == {}


def test_another_version_wrote_it(copy: Copy) -> None:
    """Then its text can't be compared, and that is said; what is no text still is."""
    copy.edit(lambda manifest: manifest.update(hwnas="0.0.1"))
    copy.replace("predict.py", b"print('hello')\n")
    found = {each.about: each for each in check_artifact(copy.path).checks}
    assert found["contents"].passed is None
    assert "are by hwnas 0.0.1, and this is" in found["contents"].text
    assert found["preprocessing"].passed is True


@pytest.mark.parametrize(
    ("key", "value"), [("mean", [0.1] * 3), ("std", [0.3] * 3), ("mean", [0.1]), ("resolution", 15), ("resize_px", 8),
                       ("range", [0.0, 255.0])],
)  # fmt: skip
def test_preprocessing_that_the_network_doesnt_take(copy: Copy, key: str, value: object) -> None:
    how = json.loads((copy.path / "preprocessing.json").read_text())
    copy.replace("preprocessing.json", to_json({**how, key: value}).encode())
    assert "preprocessing" in missed(copy.path)
    copy.rewrite()
    assert missed(copy.path).keys() == {"preprocessing"}


def test_a_tolerance_that_was_widened_lets_nothing_through_that_the_graph_tells(copy: Copy) -> None:
    """Another network of other size, vouched for by hash, tolerance and count."""
    model = onnx.load(copy.path / "onnx-fp32.onnx")
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    weights = next(weight for weight in model.graph.initializer if weight.name == conv.input[1])
    narrower = numpy_helper.to_array(weights)[..., :1, :1]
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(narrower), weights.name))
    for attribute in conv.attribute:
        if attribute.name == "kernel_shape":
            attribute.ints[:] = [1, 1]
        if attribute.name == "pads":
            attribute.ints[:] = [0, 0, 0, 0]
    copy.replace("onnx-fp32.onnx", model.SerializeToString())
    copy.edit(
        lambda manifest: manifest["files"][0]["settings"]["tolerance"].update(relative=0.01, cosine=0.5, top1=0.5)
    )
    assert "onnx-fp32: structure" in missed(copy.path)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("runtime", "nosuch", "no runtime 'nosuch'"),
        ("format", "evil", "no format 'evil'"),
        ("format", "openvino", "format openvino is files .xml, .bin, not .onnx"),
        ("format", "tensorrt", "format tensorrt is files .engine, .json, not .onnx"),
        ("options", {"provider": "magic"}, "option provider of runtime onnxruntime"),
    ],
)
def test_a_format_and_a_runtime_that_dont_fit_the_file(copy: Copy, key: str, value: object, why: str) -> None:
    copy.edit(lambda manifest: manifest["files"][0]["settings"].update({key: value}))
    copy.rewrite()
    found = missed(copy.path)
    assert found.keys() == {"onnx-fp32: structure"}
    assert why in found["onnx-fp32: structure"]
    if value not in ("evil", {"provider": "magic"}):  # of the format it knows nothing; options are a ConfigError
        with pytest.raises(ModelError, match=why):
            write_repository(load_artifact(copy.path), copy.path.parent / "repository")
        assert not (copy.path.parent / "repository").exists()


@pytest.mark.parametrize("altered", [True, False])
def test_an_onnx_file_is_run_whatever_runtime_is_named(copy: Copy, altered: bool) -> None:
    """A manifest that names one that isn't here hides nothing."""
    copy.edit(lambda manifest: manifest["files"][0]["settings"].update(runtime="tensorrt"))
    copy.edit(lambda manifest: manifest.update(hwnas=OLDER))
    if altered:
        model = onnx.load(copy.path / "onnx-fp32.onnx")
        weights = model.graph.initializer[0]
        weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) + 0.5, weights.name))
        copy.replace("onnx-fp32.onnx", model.SerializeToString())
    copy.rewrite()
    found = {each.about: each for each in check_artifact(copy.path).checks}["onnx-fp32: parity"]
    assert found.passed is not altered
    assert "on ONNX Runtime's CPU provider (runtime tensorrt" in found.text


def test_another_opset_than_the_manifest_says(copy: Copy) -> None:
    copy.edit(lambda manifest: manifest["files"][0].update(opset=14))
    assert "opset" in missed(copy.path)["onnx-fp32: structure"]


def test_another_precision_than_was_asked(copy: Copy) -> None:
    copy.edit(lambda manifest: manifest["files"][0]["settings"].update(precision="int8"))
    copy.edit(lambda manifest: manifest.update(hwnas=OLDER))
    copy.rewrite()
    found = missed(copy.path)
    assert found.keys() == {"onnx-fp32: precision"}
    assert "in fp32, where int8 was asked" in found["onnx-fp32: precision"]


def test_weights_in_another_file(copy: Copy) -> None:
    """External data that leads out of the folder isn't followed, though its hash is right."""
    model = onnx.load(copy.path / "onnx-fp32.onnx")
    weights = model.graph.initializer[0]
    (copy.path.parent / "secret").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../secret")
    copy.replace("onnx-fp32.onnx", model.SerializeToString())
    assert "another file" in missed(copy.path)["onnx-fp32: structure"]


@pytest.mark.parametrize("name", ["onnx-fp32.onnx", "openvino-fp32.xml", "openvino-fp32.bin"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04cos\nsystem\n.", b"<net/>", b"\x08\x0a\x3a\x02"])
def test_files_that_are_no_models(copy: Copy, name: str, content: bytes) -> None:
    copy.replace(name, content)
    copy.rewrite()
    target = name.partition(".")[0]
    found = missed(copy.path)
    assert found
    assert all(len(text.splitlines()) == 1 for text in found.values())
    assert not [about for about in found if not about.startswith(target)]


@pytest.mark.parametrize("change", ["garbage", "no logits", "no pixels", "size", "count", "nan"])
def test_a_reference_that_is_none(copy: Copy, change: str) -> None:
    tensors = load((copy.path / "parity.safetensors").read_bytes())
    match change:
        case "no logits":
            del tensors["outputs.logits"]
        case "no pixels":
            del tensors["pixels"]
        case "size":
            tensors["pixels"] = np.ascontiguousarray(tensors["pixels"][:, :8])
        case "count":
            tensors["outputs.logits"] = np.ascontiguousarray(tensors["outputs.logits"][:3])
        case "nan":
            tensors["mean"] = np.full(3, np.nan)
    copy.replace("parity.safetensors", b"\x80\x04" if change == "garbage" else save(tensors))
    assert missed(copy.path).keys() == {"preprocessing", "onnx-fp32: parity", "openvino-fp32: parity"}


def test_a_runtime_that_isnt_here(shipped: Shipped, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwnas.runtimes.base import missing

    def gone(_: object = None) -> object:
        raise missing("openvino", "pip install 'hwnas[openvino]'", ImportError("No module named 'openvino'"))

    monkeypatch.setitem(registry.RUNTIMES._built_in, "openvino", gone)
    found = {finding.about: finding for finding in check_artifact(shipped.path).checks}
    assert found["openvino-fp32: parity"].passed is None
    assert "pip install" in found["openvino-fp32: parity"].text
    assert found["openvino-fp32: precision"].passed is None
    assert not [finding for finding in found.values() if finding.passed is False]


def test_without_a_manifest_there_is_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="isn't an artifact: it has no manifest"):
        check_artifact(tmp_path)
