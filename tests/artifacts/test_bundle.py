"""What an artifact says of itself and carries with it: manifest, model card, predict.py, PyTorch's logits."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image
from safetensors.numpy import load

from hwnas.artifacts.bundle import load_artifact
from hwnas.artifacts.card import literal
from hwnas.artifacts.export import export_network
from hwnas.artifacts.reference import Normalization, normalization_of, read_reference, reference_of
from hwnas.artifacts.source import NetworkSource
from hwnas.data.load import load_data, preprocessing_of
from hwnas.errors import ConfigError, HwnasError, ModelError, SpaceError
from hwnas.files import validated
from hwnas.nn.model_folder import load_model, save_model
from hwnas.nn.network import Network
from hwnas.records.model import ModelInfo, Preprocessing
from hwnas.space.registry import get_space
from tests.artifacts.conftest import Copy, Shipped
from tests.artifacts.evidence import of_images

# Python as it is where hwnas isn't: whatever isn't of the standard library or named is not to be found.
ALONE = """
import runpy, sys
allowed = {*sys.stdlib_module_names, "__main__", *sys.argv[1].split(",")}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def alone(script: Path, runtime: str, *words: object) -> list[tuple[float, str]]:
    """What predict.py prints: (share, class), the likeliest first."""
    command = [sys.executable, "-I", "-c", ALONE, f"numpy,PIL,{runtime}", str(script), *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows = [line.split("  ", 1) for line in result.stdout.splitlines()]
    return [(float(share), name) for share, name in rows]


def expected(network: Network, images: torch.Tensor) -> list[list[tuple[float, int]]]:
    """PyTorch's (share, class) of each image, the likeliest five."""
    with torch.inference_mode():
        shares = network(images).double().softmax(1)
    return [[(float(row[i]), int(i)) for i in row.argsort(descending=True)[:5]] for row in shares]


def test_predict_answers_as_pytorch_does(shipped: Shipped, tmp_path: Path) -> None:
    pixels = shipped.data.test.pixels(torch.arange(3))
    for index, wanted in enumerate(expected(shipped.network, shipped.data.normalize(pixels))):
        path = tmp_path / f"{index}.png"
        Image.fromarray(pixels[index].permute(1, 2, 0).numpy()).save(path)
        found = alone(shipped.path / "predict.py", "onnxruntime", path)
        assert [name for _, name in found] == [shipped.data.classes[k] for _, k in wanted]
        assert [share for share, _ in found] == pytest.approx([share for share, _ in wanted], abs=1e-5)


def test_predict_prepares_images_as_hwnas_does(shipped: Shipped, tmp_path: Path) -> None:
    """Photographs of all shapes and kinds, resized larger than they are cropped, by OpenVINO."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cats", "dogs"):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number, (size, mode, suffix) in enumerate(
                [((40, 30), "RGB", "png"), ((31, 57), "L", "png"), ((400, 300), "RGB", "jpg"), ((20, 20), "P", "png")]
            ):
                coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
                coarse.resize(size, Image.Resampling.BICUBIC).convert(mode).save(folder / f"{number}.{suffix}")
    data = load_data(str(tmp_path / "photos"), 16, resize_px=20)
    info = ModelInfo(data="photos", labels=None, preprocessing=data.preprocessing)
    network = Network(get_space("macro-w8", 16, 10), [0, 1, 2, 0, 1, 2, 0, 1], seed=1).eval()
    network.info = info
    export_network(network, ["openvino-fp32"], tmp_path / "artifact")
    wanted = expected(network, data.normalize(data.test.pixels(torch.arange(4))))
    paths = sorted((tmp_path / "photos" / "test" / "cats").iterdir())
    for path, its in zip(paths, wanted, strict=True):
        found = alone(tmp_path / "artifact" / "predict.py", "openvino", path)
        assert [share for share, _ in found] == pytest.approx([share for share, _ in its], abs=1e-5)
        assert {name for _, name in found} <= set(map(str, range(10)))


def test_the_manifest_has_the_whole_chain(shipped: Shipped) -> None:
    manifest = load_artifact(shipped.path).manifest
    assert manifest.made_from == {**shipped.info.made_from, "weights_sha256": "1" * 64}
    assert manifest.searched == shipped.info.searched
    files = {path.name for path in shipped.path.iterdir()}
    assert files == {*manifest.sha256, "manifest.json"}
    for name, sha256 in manifest.sha256.items():
        assert hashlib.sha256((shipped.path / name).read_bytes()).hexdigest() == sha256
    for file in manifest.files:
        (entry,) = file.inputs
        assert (entry.name, entry.dtype, entry.layout) == ("images", "float32", "NCHW")
        assert (file.opset, file.ir_version) == (file.settings.opset, file.settings.ir_version)
        assert file.recheck.max_relative < 1e-4
        assert file.recheck.images == 8


def test_an_artifact_carries_its_space(shipped: Shipped) -> None:
    """The YAML file that the space was read from is gone, and its path isn't told."""
    artifact = load_artifact(shipped.path)
    assert artifact.arch.space.fingerprint == shipped.network.space.fingerprint
    assert json.loads((shipped.path / "arch.json").read_text())["space"] == "small.yaml"
    folder = str(shipped.path.parent).encode()
    assert not [path.name for path in shipped.path.iterdir() if folder in path.read_bytes()]


def test_a_model_and_an_artifact_need_no_yaml(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any folder, whether the file was edited since or is gone."""
    monkeypatch.chdir(tmp_path)
    space = get_space("small.yaml")
    save_model(Network(space, [0] * 6).eval(), tmp_path / "model")
    small_yaml.write_text(small_yaml.read_text().replace("c_out: 12", "c_out: 16"))
    artifact = export_network(load_model(tmp_path / "model"), ["onnx-fp32"], tmp_path / "artifact")
    assert artifact.arch.space.fingerprint == space.fingerprint
    small_yaml.unlink()
    monkeypatch.chdir("/")
    network = load_model(tmp_path / "model")
    assert network.space.fingerprint == space.fingerprint
    assert export_network(network, ["onnx-fp32"], tmp_path / "again").graph == artifact.graph == network.graph


def test_the_reference_is_what_the_data_path_gives(shipped: Shipped) -> None:
    """Pixels of the data set, and PyTorch's logits of what the data set makes of them."""
    data = shipped.data
    given = data.test_images(64)
    source = NetworkSource(shipped.network)
    packed = reference_of(source, of_images(given), normalization_of(data.preprocessing, 3)).packed(source.record)
    found = read_reference(packed, source.record)
    (images,) = found.samples.arrays
    pixels = data.test.pixels(torch.arange(64) * len(data.test.labels) // 64)[::8]
    np.testing.assert_array_equal(load(packed)["pixels"], pixels.permute(0, 2, 3, 1).numpy())
    np.testing.assert_array_equal(images, given[::8])
    with torch.inference_mode():
        logits = shipped.network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found.outputs["logits"], logits, rtol=1e-6, atol=1e-6)


def test_normalization_is_that_of_the_data(shipped: Shipped) -> None:
    data = shipped.data
    normalization = Normalization(mean=data.mean, std=data.std)
    pixels = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = data.normalize(pixels).contiguous().numpy()
    np.testing.assert_array_equal(normalization.images(pixels.permute(0, 2, 3, 1).numpy()), images)
    np.testing.assert_array_equal(normalization.pixels(images), pixels.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize(
    "odd", [{"mean": "grey"}, {"mean": [0.5, "0.5", 0.5]}, {"std": [1.0, 0.0, 1.0]}, {"std": [float("nan")] * 3}]
)
def test_preprocessing_that_makes_no_sense(shipped: Shipped, odd: dict[str, object]) -> None:
    assert shipped.info.preprocessing is not None
    with pytest.raises(ModelError, match=next(iter(odd))):
        validated(Preprocessing, {**shipped.info.preprocessing.plain(), **odd}, "preprocessing.json", ModelError)


def test_preprocessing_of_other_channels(shipped: Shipped) -> None:
    grey = preprocessing_of(16, 16, (0.5,), (0.5,))
    with pytest.raises(ConfigError, match="preprocessing"):
        normalization_of(grey, 3)


def test_the_model_card_says_what_is_known(shipped: Shipped) -> None:
    card = (shipped.path / "README.md").read_text("utf-8")
    for part in [
        "onnx-fp32.onnx", "openvino-fp32.bin", "test: 90.00%", "nsga2 among 12 archs", "1.500 ms", "a board",
        "1.400 to 1.600", "budget 2.000 ms", "0" * 64, "python predict.py image.jpg", "mbconv", "zero",
        "kept as layers.4",
    ]:  # fmt: skip
        assert part.replace("_", "\\_") in card or part == "zero", part
    assert "Random weights" not in card
    page = MarkdownIt().enable("table").render(card)
    assert page.count("<table>") == 2
    assert page.count("<tr>") == 2 + 2 + 1 + len(shipped.network.graph.ops) - 1  # two heads, two files, the layers


def test_the_model_card_is_honest(tmp_path: Path) -> None:
    network = Network(get_space("macro-w8", 16, 10), [0] * 8)
    network.info = ModelInfo.of_random(0)
    export_network(network, ["onnx-fp32"], tmp_path / "artifact")
    card = (tmp_path / "artifact" / "README.md").read_text("utf-8")
    for part in ["for timing only", "no data set", "Nobody knows", "have no names", "guesses", "random textures"]:
        assert part in card


HOSTILE = [
    "<script>alert(1)</script>", "[a](http://b)", "https://c.d", "www.e.f", "g@h.i", "a | b", "`x`", "**bold**",
    "# head", "- item", "1. first", "1) first", "![i](j)", "line\nbreak\n\n# x", "&lt;", "\\", "~~s~~",
    "a\u202eb\x1b[31m", "===",
    "| a |\n|---|", "$x$", "_y_", "a __b__ c_", "[x] done", "[a][b]", "[a]: http://b", "> quote", "---", "+ plus", "2.",
    "a &amp; &#35; &", "a\\*b*", "# a #", "\\_a_", "a*b*c",
]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["0.1.0", "Intel(R) Xeon(R)", "[0.0, 1.0]", "onnx_fp32", "a-b + c!", "{1}", "x > 1", "R&D"]
)
def test_words_that_markdown_shows_as_they_are_have_no_backslashes(text: str) -> None:
    assert literal(text) == text
    test_foreign_words_stay_words(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_words_stay_words(text: str) -> None:
    """Markdown shows them as they are: markdown-it gives back one paragraph of the same text."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for before, kept in (("", ""), ("- ", ""), ("| ", "| ")):
        tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(before + literal(text))
        (inline,) = [token for token in tokens if token.type == "inline"]
        assert {child.type for child in inline.children or []} <= {"text", "text_special"}
        assert "".join(child.content for child in inline.children or []) == kept + shown


@pytest.mark.parametrize("content", [b"\x80\x04cos\nsystem\n.", b"PK\x03\x04", b"", b"\xff" * 64])
def test_weights_that_are_no_safetensors(shipped: Shipped, tmp_path: Path, content: bytes) -> None:
    """A pickle in their place, and a model.json that vouches for it: refused, and never run."""
    trace = tmp_path / "trace"
    if content.startswith(b"\x80"):
        content = f"cos\nsystem\n(S'touch {trace}'\ntR.".encode()
    network = Network(get_space("macro-w8", 16, 10), [0] * 8)
    save_model(network, tmp_path / "model")
    (tmp_path / "model" / "weights.safetensors").write_bytes(content)
    described = json.loads((tmp_path / "model" / "model.json").read_text())
    described["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "model" / "model.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="isn't a safetensors file"):
        load_model(tmp_path / "model")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../outside", "sha256"),
        ("..", "sha256"),
        ("/etc/hostname", "sha256"),
        ("C:\\x", "sha256"),
        ("a/b", "sha256"),
        (".hidden", "sha256"),
        ("a\nb", "sha256"),
    ],
)
def test_a_manifest_that_names_a_file_outside(copy: Copy, name: str, words: str) -> None:
    (copy.path.parent / "outside").write_bytes(b"x")
    copy.edit(lambda manifest: manifest["sha256"].update({name: hashlib.sha256(b"x").hexdigest()}))
    with pytest.raises(ModelError, match=words) as caught:
        load_artifact(copy.path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_manifest_whose_space_lies_outside(copy: Copy, small_yaml: Path) -> None:
    """A path is only where a space came from: it is never read."""
    copy.edit(lambda manifest: manifest["network"]["space"].update(source=str(small_yaml), definition=None))
    artifact = load_artifact(copy.path)
    with pytest.raises(SpaceError, match="no space"):
        _ = artifact.arch


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_isnt_a_file_is_not_read(copy: Copy, kind: str) -> None:
    path = copy.path / "labels.json"
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)  # reading it would wait for ever
    else:
        (copy.path.parent / "labels.json").write_bytes(content)
        path.symlink_to(copy.path.parent / "labels.json")
    with pytest.raises(ModelError, match="plain file"):
        load_artifact(copy.path)


def test_an_artifact_is_written_once(shipped: Shipped) -> None:
    with pytest.raises(HwnasError, match="exists already"):
        export_network(shipped.network, ["onnx-fp32"], shipped.path)
