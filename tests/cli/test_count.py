"""``hwnas count`` of an arch, a file and one's own code."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from hwnas.errors import HwnasWarning
from tests.cli.run import Shell


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="stem"),
        helper.make_node("Relu", ["c"], ["r"], name="act"),
        helper.make_node("DFT", ["r"], ["y"], name="spectrum"),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, (1, 3, 1), [1, 2, 3])
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, "width"))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    return "net.onnx"


def test_a_file(hwnas: Shell, net: str) -> None:
    outcome = hwnas("count", net, "--shape", "x=2x3x7", "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json == {
        "model": net,
        "inputs": {"x": [2, 3, 7]},
        "madds": 2 * 3 * 7,
        "params": 3,
        "model_mb": 12e-6,
        "peak_activation_mb": pytest.approx((2 * 3 * 7 + 2 * 7) * 4 / 1e6),
        "ops": [
            {"name": "stem", "op": "Conv", "madds": 42, "params": 3},
            {"name": "act", "op": "Relu", "madds": 0, "params": 0},
            {"name": "spectrum", "op": "DFT", "madds": None, "params": 0},
        ],
        "uncounted": [{"name": "spectrum", "op": "DFT", "why": "no formula is known for DFT"}],
    }
    told = hwnas("count", net, "--shape", "x=2x3x7").out.splitlines()
    assert told[0].split() == ["0.000", "M", "3", "Conv", "stem"]
    assert told[1].split() == ["?", "M", "0", "DFT", "spectrum"]
    assert told[2] == "at least 0.000 M multiply-adds, 3 parameters: net.onnx for x 2x3x7"
    assert told[-1] == "not counted: DFT spectrum: no formula is known for DFT"


def test_own_code_prints_where_logs_go(hwnas: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_net_of_test_count.py").write_text(
        "from torch import nn\nprint('hello')\ndef build():\n    print('hello')\n    return nn.Conv2d(3, 4, 3)\n"
    )
    with pytest.warns(HwnasWarning, match=r"own_net_of_test_count:build, which is your own code, was run"):
        outcome = hwnas("count", "own_net_of_test_count:build", "--json")
    assert outcome.json["madds"] == 222 * 222 * 4 * 27
    assert outcome.json["params"] == 4 * 27 + 4
    assert "hello" in outcome.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["net.onnx"], "its input x is 1x3xwidth; fix the sizes, as --shape x=1x3x224"),
        (["net.onnx", "--shape", "x=1x4x7"], "its input x is nx3xwidth, not 1x4x7"),
        (["net.onnx", "--shape", "y=1x3x7"], "no input 'y'"),
        (["net.onnx", "--shape", "1x3x7"], "--shape '1x3x7' isn't NAME=SIZExSIZE…"),
        (["net.onnx", "--shape", "x=1x0x7"], "isn't NAME=SIZExSIZE…"),
        (["net.onnx", "--shape", f"x={'9' * 5000}"], "isn't NAME=SIZExSIZE…"),
        (["net.onnx", "--shape", "x=1x3x7", "--shape", "x=1x3x8"], "names the input x twice"),
        (["net.onnx", "--resolution", "64"], "a model has its own resolution and classes"),
        (["scarlet-a", "--shape", "x=1x3x7"], "shapes are of a model's inputs"),
        (["absent.onnx"], "can't read absent.onnx"),
        (["nowhere:build"], "there is no module nowhere"),
    ],
)
def test_refused(hwnas: Shell, net: str, words: list[str], says: str) -> None:
    assert says in hwnas.refused("count", *words)
