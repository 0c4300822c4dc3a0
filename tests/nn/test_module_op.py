"""Blocks of the user's own code: such a block that computes what one of ours computes is like it in everything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from hwnas.artifacts.bundle import load_artifact
from hwnas.artifacts.check import check_artifact
from hwnas.errors import SpaceError
from hwnas.files import validated
from hwnas.flow.export import export
from hwnas.graph.count import cost, count, peak_elements
from hwnas.graph.graph import Op, expanded
from hwnas.nn.inherit import inherit
from hwnas.nn.layers import build, weights_of
from hwnas.nn.module_op import ModuleOp
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.onnx.write import to_onnx
from hwnas.ops import MBConv
from hwnas.prediction.costs import madds, model_mb, params, peak_activation_mb
from hwnas.space.blocks import blocks_space
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import BlocksDefinition
from hwnas.space.registry import get_space

pytestmark = pytest.mark.filterwarnings("ignore:.*your own code.*")

CODE = '''
import torch
from torch import nn

class Inverted(nn.Module):
    """MBConv without SE, written by somebody else."""

    def __init__(self, c_in, c_out, expansion=3, kernel=3, stride=1):
        super().__init__()
        hidden = c_in * expansion
        self.conv1 = nn.Conv2d(c_in, hidden, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.act1 = nn.Hardswish()
        self.conv2 = nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.act2 = nn.Hardswish()
        self.conv3 = nn.Conv2d(hidden, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x):
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.act2(self.bn2(self.conv2(y)))))
        return x + y if self.residual else y

class Shuffled(nn.Module):
    """Nearly nothing of it is a primitive of hwnas."""

    def __init__(self, c_in, c_out, groups=2):
        super().__init__()
        self.groups = groups
        self.conv = nn.Conv2d(c_in, c_out, (1, 3), padding=(0, 1), groups=groups)
        self.norm = nn.GroupNorm(groups, c_out)
        self.scale = nn.Parameter(torch.full((c_out, 1, 1), 0.5))
        self.register_buffer("steps", torch.arange(4.0).reshape(4, 1, 1), persistent=False)

    def forward(self, x):
        y = self.norm(self.conv(x))
        b, c, h, w = y.shape
        y = y.view(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)
        return nn.functional.silu(y) * self.scale + self.steps.repeat(c // 4, 1, 1)

class Attending(nn.Module):
    """Of tokens: PyTorch's own attention, which exports reshapes that the batch is part of."""

    def __init__(self, c_in, tokens):
        super().__init__()
        self.mix = nn.MultiheadAttention(c_in, 2, batch_first=True)
        self.place = nn.Parameter(torch.zeros(tokens, c_in))

    def forward(self, x):
        return x + self.mix(x + self.place, x, x, need_weights=False)[0]

def printing(c_in):
    print("made")
    return nn.Identity()

def raising(c_in):
    raise RuntimeError("no luck")

def nothing(c_in):
    return None

class Two(nn.Module):
    def __init__(self, c_in): super().__init__()
    def forward(self, x): return x, x

class Dropping(nn.Module):
    def __init__(self, c_in): super().__init__()
    def forward(self, x): return nn.functional.dropout(x, 0.5, training=True)

class Depends(nn.Module):
    def __init__(self, c_in): super().__init__()
    def forward(self, x): return x if x[0].sum() > 0 else -x * 2

class Drawn(nn.Module):
    def __init__(self, c_in):
        super().__init__()
        self.drawn = torch.randn(c_in, 1, 1)
    def forward(self, x): return x * self.drawn

class Spread(nn.Module):
    def __init__(self, c_in): super().__init__()
    def forward(self, x): return x.reshape(-1)

class Infinite(nn.Module):
    def __init__(self, c_in): super().__init__()
    def forward(self, x): return x / 0

class Wide(nn.Module):
    def __init__(self, c_in): super().__init__()
    def forward(self, x): return x.double()
'''

OURS = {"kind": "mbconv", "c_out": 8, "kernel": [3, 5], "stride": 1, "expansion": [2, 3], "se": False, "act": "hswish"}
THEIRS = {"module": "blocks.py:Inverted", "c_out": 8, "kernel": [3, 5], "expansion": [2, 3]}


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "blocks.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "blocks.py"


def of_theirs(**given: object) -> Op:
    return ModuleOp.made((8, 6, 6), {"module": "blocks.py:Inverted", "c_out": 8, **given})


def of_ours(**given: object) -> MBConv:
    fields = {"kernel": 3, "stride": 1, "expansion": 3, "c_out": 8, **given}
    return MBConv(c_in=8, h_in=6, w_in=6, se=False, act="hswish", **fields)  # type: ignore[arg-type]


def definition(said: object) -> BlocksDefinition:
    return validated(BlocksDefinition, said, "own.yaml", SpaceError)


def definition_of_own(block: object) -> dict[str, object]:
    return {
        "name": "own", "resolution": 12, "classes": 5, "stages": [{"layers": 2, "block": block, "skip": True}],
        "stem": {"kind": "stem", "width": 8, "c_out": 8, "stride": 2, "separable": False, "act": "relu"},
        "head": {"kind": "head", "width": 16, "act": "relu"},
    }  # fmt: skip


def space_of(block: object) -> ChainSpace:
    return blocks_space(definition(definition_of_own(block)))


def session(model: bytes) -> ort.InferenceSession:
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("given", [{}, {"kernel": 5, "expansion": 2}, {"stride": 2, "c_out": 12}])
def test_what_computes_the_same_costs_the_same(given: dict[str, int]) -> None:
    theirs, ours = of_theirs(**given), of_ours(**given)
    assert theirs.out_shape == ours.out_shape
    assert cost(theirs) == cost(ours)
    assert peak_elements(theirs) == peak_elements(ours)


def test_what_computes_the_same_gives_the_same() -> None:
    theirs, ours = of_theirs(), of_ours()
    torch.manual_seed(0)
    module, other = build(theirs), build(ours)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    other.load_state_dict(module.state_dict())
    x = torch.randn(3, 8, 6, 6)
    assert torch.equal(module.eval()(x), other.eval()(x))
    assert torch.equal(module.train()(x), other.train()(x))
    graphs = [expanded(op) for op in (theirs, ours)]
    answers = [
        session(to_onnx(g, weights_of(m))).run(None, {"images": x.numpy()})[0]
        for g, m in zip(graphs, (module, other), strict=True)
    ]
    np.testing.assert_allclose(answers[0], module.eval()(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5, atol=1e-5)


def test_a_space_of_it_has_the_same_sums() -> None:
    theirs, ours = space_of(THEIRS), space_of(OURS)
    archs = ours.sample(50, 0)
    assert theirs.size == ours.size
    for cost_of in (madds, params, model_mb, peak_activation_mb):
        found = {tuple(arch): value for arch, value in zip(archs.tolist(), cost_of(ours)(archs), strict=True)}
        again = cost_of(theirs)(archs)
        np.testing.assert_allclose(again, [found[tuple(arch)] for arch in archs.tolist()])


def test_a_supernet_trains_it_and_a_network_inherits_it() -> None:
    space = space_of([{"module": "blocks.py:Shuffled", "c_out": 8, "groups": [2, 4]}, OURS]).inheriting()
    assert [len(choices) for choices in space.layers] == [7, 7]
    supernet = Supernet(space, seed=3)
    again = Supernet(space, seed=3).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in supernet.state_dict().items())
    x, arch = torch.randn(4, 3, 12, 12), (1, 0)
    before = {name: tensor.clone() for name, tensor in supernet.named_parameters()}
    supernet(x, arch).square().sum().backward()
    with torch.no_grad():
        for tensor in supernet.parameters():
            if tensor.grad is not None:
                tensor -= 0.01 * tensor.grad
    moved = {name for name, tensor in supernet.named_parameters() if not torch.equal(tensor, before[name])}
    assert {"layers.0.1.scale", "layers.1.0.conv.weight"} <= moved
    network = inherit(supernet, arch).eval()
    expected = supernet.eval()(x, arch)
    torch.testing.assert_close(network(x), expected)
    model = to_onnx(network.graph, weights_of(network))
    np.testing.assert_allclose(
        session(model).run(None, {"images": x.numpy()})[0], expected.detach().numpy(), rtol=1e-4, atol=1e-4
    )
    counted = sum(tensor.numel() for tensor in network.parameters())
    assert count(network.graph).params == counted


def test_tokens_for_any_batch() -> None:
    op = ModuleOp.made((6, 8), {"module": "blocks.py:Attending"})
    module, x = build(op).eval(), torch.randn(5, 6, 8)
    answers = session(to_onnx(expanded(op), weights_of(module))).run(None, {"images": x.numpy()})[0]
    np.testing.assert_allclose(answers, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert cost(op).madds == 4 * 6 * 8 * 8 + 2 * 6 * 6 * 8  # Q, K, V and what comes out; scores and their sums
    assert cost(op).params == 4 * 8 * 8 + 4 * 8 + 6 * 8


def test_an_artifact_of_it_is_checked_without_the_code(code: Path, tmp_path: Path) -> None:
    said = definition_of_own([{"module": "blocks.py:Shuffled", "c_out": 8, "groups": [2, 4]}, OURS])
    (tmp_path / "own.yaml").write_text(json.dumps(said))
    network = Network(get_space("own.yaml"), (1, 2))
    export(network, targets=["onnx-fp32"], output=tmp_path / "artifact")
    written = load_artifact(tmp_path / "artifact").of_arch
    assert written.figures
    assert written.madds == count(network.graph).madds
    code.unlink()
    assert not [each for each in check_artifact(tmp_path / "artifact").checks if each.passed is False]


def test_each_making_has_weights_of_its_own() -> None:
    supernet = Supernet(space_of({"module": "blocks.py:Shuffled", "c_out": 8}), seed=0)
    assert not torch.equal(supernet.block(0, 0).conv.weight, supernet.block(1, 0).conv.weight)
    state = torch.random.get_rng_state()
    Supernet(space_of({"module": "blocks.py:Shuffled", "c_out": 8}), seed=1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_file_keeps_it() -> None:
    op = of_theirs(kernel=5)
    assert Op.from_dict(op.to_dict()) == op
    assert str(op) == "module 8x6x6->8x6x6 blocks.py:Inverted kernel 5"
    assert op.short == "Inverted kernel 5"


def test_changed_code_is_noticed_where_it_computes_something_else(code: Path) -> None:
    before = of_theirs()
    code.write_text(CODE.replace('"""MBConv without SE', '"""The same without SE'))
    assert of_theirs() == before
    code.write_text(CODE.replace("nn.Hardswish", "nn.ReLU"))
    assert of_theirs() != before
    with pytest.raises(SpaceError, match="doesn't compute what it did"):
        cost.__wrapped__(before)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raising", "raised RuntimeError: no luck"),
        ("nothing", "gives a NoneType; a block's code returns an nn.Module"),
        ("Two", "it gives a tuple, not one tensor"),
        ("Dropping", "other numbers each time"),
        ("Depends", "depends on the data"),
        ("Drawn", "neither parameters nor buffers"),
        ("Spread", "not one value for each"),
        ("Infinite", "a NaN or an infinity"),
        ("Wide", "float64"),
        ("absent", "no absent is in blocks.py"),
        ("Inverted", "missing 1 required positional argument: 'c_out'"),
    ],
)
def test_what_can_not_be_a_block_is_told_in_a_line(name: str, said: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space_of({"module": f"blocks.py:{name}"})
    assert said in str(caught.value), caught.value
    assert str(caught.value).startswith("own: stages.0.block: ")
    assert "\n" not in str(caught.value)


def test_what_it_prints_goes_where_logs_go(capsys: pytest.CaptureFixture[str]) -> None:
    space_of({"module": "blocks.py:printing"})
    told = capsys.readouterr()
    assert told.out == ""
    assert "made" in told.err


@pytest.mark.parametrize("module", [3, "blocks.pkl", "blocks", "blocks.py:", ":Inverted", ["blocks.py:Inverted", 3]])
def test_what_names_no_code_is_told(module: object) -> None:
    with pytest.raises(SpaceError, match=r"must be file\.py:callable or package\.module:callable, got "):
        space_of({"module": module, "c_out": 8})


def test_a_table_of_others_may_say_anything() -> None:
    said = of_theirs().to_dict()
    for wrong in ({"arguments": "[1]"}, {"arguments": "{"}, {"module": "blocks"}, {"to": [0]}, {"shape": "abc"}):
        with pytest.raises(SpaceError, match="module"):
            Op.from_dict({**said, **wrong})


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SpaceError, match=r"other\.py"):
        space_of({"module": "other.py:Block"})


def test_code_that_only_a_file_of_others_names_is_not_run(tmp_path: Path) -> None:
    said = definition(definition_of_own(THEIRS))
    ref = space_of(THEIRS).ref.model_copy(update={"source": "own.yaml", "definition": said})
    (tmp_path / "blocks.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(SpaceError, match=r"run only where own\.yaml lies and names it"):
        get_space(ref)
