"""What people name as MODEL: files, their own code, modules; and one line for what is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.arrays import Port
from hwnas.errors import HwnasWarning, ModelError
from hwnas.flow.model import names_model, open_model
from hwnas.runtimes.onnxruntime import OnnxRuntime

CODE = """
import sys
import torch
from torch import nn

import beside_my_net

print("imported")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.out = nn.BatchNorm2d(3), nn.Linear(3, beside_my_net.CLASSES)

    def forward(self, images):
        print("called")
        return self.out(self.norm(images).mean((2, 3)).relu())


class Tokens(nn.Module):
    example_input_array = torch.zeros(2, 7, dtype=torch.int64)

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 4)

    def forward(self, ids):
        return self.table(ids)


def build():
    print("built")
    return Net()


ready = Net()
number = 3


def pair():
    return Net(), "weights"


def failing():
    raise ValueError("no weights\\nhere")


def leaving():
    sys.exit(3)


def refusing():
    raise KeyboardInterrupt


def shapeless():
    class Odd(nn.Module):
        def forward(self, images):
            return "cat"

    return Odd()


def unknown():
    class Odd(nn.Module):
        def forward(self, images):
            return torch.linalg.eigh(images[0, 0])[0]

    return Odd()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "my_net.py").write_text(CODE)
    (tmp_path / "beside_my_net.py").write_text("CLASSES = 5\n")
    (tmp_path / "broken.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["my_net:build", "my_net:Net", "my_net:ready", "{}/my_net.py:build", "my_net.py:Net"])
@pytest.mark.filterwarnings("ignore::hwnas.errors.HwnasWarning")
def test_own_code(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.path[:]
    model = open_model(name.format(folder), {"images": (2, 3, 8, 8)})
    assert model.inputs == (Port("images", "float32", (2, 3, 8, 8)),)
    assert model.outputs == (Port("output", "float32", (2, 5)),)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "imported" in printed.err
    assert sys.path == before


def test_it_is_said_that_own_code_ran_and_what_was_assumed(folder: Path) -> None:
    with pytest.warns(HwnasWarning, match=r"your own code, was run, .* images=1x3x224x224, as nothing else was said"):
        model = open_model("my_net:build")
    assert model.inputs[0].shape == (1, 3, 224, 224)
    with pytest.warns(HwnasWarning, match=r"exported for x=1x3x8x8$"):
        open_model("my_net:build", {"x": (1, 3, 8, 8)})


@pytest.mark.filterwarnings("ignore::hwnas.errors.HwnasWarning")
def test_random_weights_are_the_same_again_and_nobody_elses_change(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (open_model("my_net:build", {"images": (1, 3, 8, 8)}) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert first.sha256 == second.sha256


@pytest.mark.filterwarnings("ignore::hwnas.errors.HwnasWarning")
def test_a_module_tells_its_inputs_by_an_example(folder: Path) -> None:
    assert open_model("my_net:Tokens").inputs == (Port("ids", "int64", (2, 7)),)
    assert open_model("my_net:Tokens", {"words": (1, 9)}).inputs == (Port("words", "int64", (1, 9)),)


@pytest.mark.filterwarnings("error::hwnas.errors.HwnasWarning")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere:build", "there is no module nowhere, neither installed nor in this folder"),
        (
            "my_net.nowhere:build",
            "there is no module my_net.nowhere",
        ),
        ("my_net:biuld", "no biuld is in my_net; did you mean build?"),
        ("my_net:number", "gives a int; name a function that returns an nn.Module alone"),
        ("my_net:pair", "gives a tuple; name a function that returns an nn.Module alone"),
        ("my_net:failing", "calling it raised ValueError: no weights$"),
        ("my_net:leaving", "calling it raised SystemExit: 3"),
        ("my_net:shapeless", "can't be called with images 1x3x8x8: TypeError: it gives 'cat', not tensors"),
        ("my_net:unknown", "PyTorch can't export my_net:unknown: .*linalg_eigh.*; export it yourself"),
        ("my_net:Tokens.forward", "calling it raised TypeError"),
        ("broken:build", "importing it raised ModuleNotFoundError: No module named 'no_such_package'"),
        ("absent.py:build", "can't read absent.py: No such file"),
        ("my_net.py:build.x", "no x is in"),
    ],
)
def test_one_line(folder: Path, name: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as raised:
        open_model(name, {"images": (1, 3, 8, 8)})
    assert str(raised.value).startswith((name, "can't", "PyTorch"))


def test_inputs_that_do_not_fit(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"can't be called with images 1x4x8x8: RuntimeError: .*; say what it takes"):
        open_model("my_net:build", {"images": (1, 4, 8, 8)})


def test_an_interruption_is_none_of_its_errors(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_model("my_net:refusing")


class _Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, object]:
        return {"sum": self.norm(x) + y, "rest": [None, (x - y,)]}


def test_a_module_stays_as_it_is_and_computes_the_same() -> None:
    module = _Several()
    module(torch.randn(8, 4), torch.randn(8, 4))
    module.norm.eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    model = open_model((module, (torch.zeros(2, 4), torch.zeros(2, 4))))
    assert (module.training, module.norm.training) == (True, False)
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())
    x, y = np.random.default_rng(0).standard_normal((2, 2, 4), dtype=np.float32)
    given = OnnxRuntime().load(model.data, threads=1, precision="fp32").run([x, y])
    expected = module.eval()(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose(given[0], expected["sum"].detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(given[1], x - y, rtol=1e-5)
    assert [port.name for port in model.outputs] == ["output_0", "output_1"]


def test_the_file_says_nothing_of_the_machine() -> None:
    data = open_model((nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8))).data
    assert b"/home" not in data
    assert b".py" not in data
    assert str(Path.cwd()).encode() not in data


@pytest.mark.parametrize("given", [None, 3, [nn.Linear(2, 2)], (1, 2, 3), object()])
def test_no_models(given: object) -> None:
    with pytest.raises(
        ModelError, match=r"a model is an ONNX file, module:callable, an nn.Module or an OnnxModel, got"
    ):
        open_model(given)


def test_models_and_archs_are_told_apart(folder: Path) -> None:
    (folder / "arch.json").write_text("{}")
    (folder / "net.tflite").write_text("")
    models = ["a.onnx", "my_net:build", "a.b:c.d", "x/y.py:build", "net.tflite", "my_net.py"]
    archs = ["scarlet-a", "macro:1,2", "scarlet-s2:8,6", "front.json:3", "arch.json", "small.yaml:0,1", "absent.tflite"]
    assert [name for name in models + archs if names_model(name)] == models
