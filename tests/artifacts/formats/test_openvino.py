"""OpenVINO's IR: the contract, and what is its own. Where OpenVINO isn't installed, nothing of it can be tested."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from hwnas.artifacts.export import export_network
from hwnas.artifacts.formats.base import Files, Format, get_format
from hwnas.artifacts.structure import check_written, graph_structure
from hwnas.errors import ConfigError, CountError, ModelError, RuntimeMissingError
from hwnas.graph.count import count
from hwnas.nn.network import Network
from hwnas.onnx.precision.int8 import OPENVINO, quantize_by, random_feeds, ranges_of
from hwnas.records.target import Target, get_target
from hwnas.space.chain import ChainSpace
from hwnas.testing import FormatContract
from tests.artifacts.evidence import of_images
from tests.onnx_models import onnx_of

openvino = pytest.importorskip("openvino", reason="the extra openvino isn't installed")


_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class TestContract(FormatContract):
    runtime = "openvino"
    precisions = ("fp32", "bf16", "int8") if _BF16 else ("fp32", "int8")

    @pytest.fixture
    def kind(self) -> Format:
        return get_format("openvino")


@pytest.fixture
def network(small_space: ChainSpace) -> Network:
    return Network(small_space, [1] * small_space.num_layers).eval()


@pytest.fixture
def graph(network: Network) -> bytes:
    return onnx_of(network, (3, 16, 16))


@pytest.fixture
def files(graph: bytes) -> Files:
    return get_format("openvino").write(graph, get_target("openvino-fp32"))


def _computed(files: Files, **settings: str) -> set[str]:
    """What layers with weights compute in where someone opens the IR with no more than this."""
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(files[".xml"], files[".bin"]), "CPU", settings)
    told = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    return {op["runtimePrecision"].value for op in told if op["layerType"].value in ("Convolution", "FullyConnected")}


@pytest.mark.parametrize(
    ("target", "marked"),
    [("openvino-fp32", True), ("openvino-int8", True), ("openvino-bf16", False), ("openvino-int8-bf16", False)],
)
def test_floats_are_what_the_target_says_where_nobody_asks(graph: bytes, target: str, marked: bool) -> None:
    """Processors with bf16 would compute any IR in it: 4e-3 off where 1e-4 is promised."""
    if target.startswith("openvino-int8"):
        ranges = ranges_of(graph, random_feeds(graph), OPENVINO, "minmax")
        graph = quantize_by(ranges, graph, OPENVINO, ["depthwise", "first"])
    files = get_format("openvino").write(graph, get_target(target))
    layers = ElementTree.fromstring(files[".xml"]).findall("layers/layer")
    computing = [layer for layer in layers if layer.get("type") not in ("Const", "Parameter", "Result")]
    assert {layer.find("rt_info/attribute[@name='precise']") is not None for layer in computing} == {marked}
    ints = {"i8", "u8"} if target.startswith("openvino-int8") else set()
    floats = "f32" if marked or not _BF16 else "bf16"  # where there is no bf16, this proves the mark does no harm
    for settings in ({}, {"PERFORMANCE_HINT": "LATENCY"}, {"PERFORMANCE_HINT": "THROUGHPUT"}):
        assert _computed(files, **settings) - ints == {floats}


def test_an_fp32_file_gives_fp32s_numbers_in_anyones_session(network: Network, files: Files) -> None:
    core = openvino.Core()
    images = np.random.default_rng(0).standard_normal((4, 3, 16, 16), np.float32)
    logits = core.compile_model(core.read_model(files[".xml"], files[".bin"]), "CPU")(images)[0]
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max()


def _fixed(batch: int) -> Target:
    return Target.of_plain({**get_target("openvino-fp32").plain(), "batch": batch}, "target")


def test_another_process_writes_the_same_bytes(files: Files, graph: bytes, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(graph)
    program = f"""
import sys
from hwnas.artifacts.formats.base import get_format
from hwnas.records.target import get_target
graph = open({str(tmp_path / "graph.onnx")!r}, "rb").read()
sys.stdout.buffer.write(get_format("openvino").write(graph, get_target("openvino-fp32"))[".xml"])
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert told == files[".xml"]


def test_says_nothing_of_this_machine(files: Files) -> None:
    *_, info = re.findall(rb"<rt_info>.*?</rt_info>", files[".xml"], re.DOTALL)  # the others are of ops
    assert re.findall(rb'(\w+)="', info) == [b"name", b"value"]  # OpenVINO's version, and nothing else
    for word in (b"/tmp", bytes(Path.cwd()), bytes(Path.home()), b"model.xml", b"<!--"):
        assert word not in files[".xml"]


def test_a_fixed_batch_is_all_it_takes(graph: bytes) -> None:
    kind, target = get_format("openvino"), _fixed(4)
    session = kind.open(kind.write(graph, target), target, threads=1)
    assert session.run([np.zeros((4, 3, 16, 16), np.float32)])[0].shape == (4, 10)
    with pytest.raises(ModelError, match=r"takes an input of \[4,3,16,16\], not \[1, 3, 16, 16\]"):
        session.run([np.zeros((1, 3, 16, 16), np.float32)])


@pytest.mark.parametrize("name", ["openvino-fp32", "openvino-bf16", "openvino-int8"])
def test_what_is_written_is_the_network(network: Network, graph: bytes, name: str) -> None:
    """Held against PyTorch's own modules and the formulas of Ops."""
    from hwnas.artifacts.precision import in_precision

    target, kind = get_target(name), get_format("openvino")
    images = np.random.default_rng(0).standard_normal((4, 3, 16, 16), dtype=np.float32)
    converted, _ = in_precision(graph, target, kind, of_images(images))
    found = kind.structure(kind.write(converted, target))
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert found.layers == len(layers)
    assert found.weights == sum(layer.weight.numel() for layer in layers)
    assert found.madds == count(network.graph).madds


def test_another_network_is_told(small_space: ChainSpace, files: Files, graph: bytes) -> None:
    wider = onnx_of(Network(small_space, [3] * small_space.num_layers).eval(), (3, 16, 16))
    with pytest.raises(CountError, match="of convolutions and linear layers, its graph"):
        check_written(get_format("openvino").structure(files), wider)
    found = graph_structure(graph)
    check_written(found, graph)
    for name in found._fields:
        with pytest.raises(CountError, match=name):
            check_written(found._replace(**{name: getattr(found, name) + 1}), graph)


_BOMB = b'<!DOCTYPE n [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
_FILE = b'<!DOCTYPE n [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "change",
    [
        lambda xml: xml.replace(b"<net", _BOMB + b"<net"),
        lambda xml: xml.replace(b"<net", _FILE + b"<net"),
        lambda xml: xml.replace(b'offset="0"', b'offset="999999999999"'),
        lambda xml: xml.replace(b'offset="0"', b'offset="-8"'),
        lambda xml: xml.replace(b'size="4"', b'size="18446744073709551615"'),
        lambda xml: xml.replace(b'type="Convolution"', b'type="Conjuration"'),
        lambda xml: xml.replace(b'shape="?,3,16,16"', b'shape="?,5,16,16"'),
        lambda xml: xml.replace(b'shape="?,3,16,16"', b'shape="?,?,?,?"'),
        lambda xml: xml.replace(b'shape="?,3,16,16"', b'shape="..."'),
        lambda xml: xml.replace(b'to-layer="', b'to-layer="9'),
        lambda xml: xml.decode().encode("utf-16"),
        lambda xml: b'<?xml version="1.0"?>' + b"<net>" * 100_000,
        lambda xml: b'<?xml version="1.0"?><net name="n" version="11"><layers/><edges/></net>',
    ],
)
def test_refuses_hostile_xml(files: Files, change: Callable[[bytes], bytes]) -> None:
    changed = change(files[".xml"])
    assert changed != files[".xml"]
    with pytest.raises(ModelError) as caught:
        get_format("openvino").open({**files, ".xml": changed}, get_target("openvino-fp32"), threads=1)
    assert "\n" not in str(caught.value)


def test_refuses_an_onnx_model_in_its_place(graph: bytes) -> None:
    with pytest.raises(ModelError, match="not OpenVINO's IR"):
        get_format("openvino").open({".xml": graph, ".bin": b""}, get_target("openvino-fp32"), threads=1)


def test_refuses_another_runtime() -> None:
    target = get_target("openvino-fp32").model_copy(update={"runtime": "onnxruntime"})
    with pytest.raises(ConfigError, match="format openvino runs on runtime openvino, not onnxruntime"):
        get_format("openvino").runtime(target)


def test_without_bf16_the_export_goes_on(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutBf16(openvino.Core):  # type: ignore[misc]
        def get_property(self, *args: str) -> Any:
            found = super().get_property(*args)
            return [name for name in found if name != "BF16"] if args[-1] == "OPTIMIZATION_CAPABILITIES" else found

    monkeypatch.setattr(openvino, "Core", WithoutBf16)
    with pytest.raises(RuntimeMissingError, match="no bf16"):
        get_format("openvino").open(
            get_format("openvino").write(onnx_of(network, (3, 16, 16)), get_target("openvino-bf16")),
            get_target("openvino-bf16"), threads=1,
        )  # fmt: skip
    artifact = export_network(network, ["openvino-fp32", "openvino-bf16"], tmp_path / "artifact")
    here, lacking = artifact.manifest.files
    assert here.lacks is None
    assert lacking.lacks is not None
    assert "no bf16" in lacking.lacks
