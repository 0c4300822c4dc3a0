"""PyTorch: the contract, the layers it knows and those it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from hwnas.errors import ConfigError, ModelError, RuntimeMissingError
from hwnas.nn.network import Network
from hwnas.onnx.model import model_of
from hwnas.runtimes.torch import Torch, _has_bf16
from hwnas.space.chain import ChainSpace
from hwnas.testing import RuntimeContract
from tests.onnx_models import onnx_of

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


class WithoutBf16(Torch):
    """As on a processor that has none."""

    def __init__(self) -> None:
        super().__init__()
        self.precisions = ("fp32",)


class TestContract(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Torch:
        return Torch() if _has_bf16() else WithoutBf16()


@needs_gpu
class TestContractOnCuda(RuntimeContract):
    @pytest.fixture(params=["yes", "no"])
    def runtime(self, request: pytest.FixtureRequest) -> Torch:
        return Torch({"device": "cuda", "graph": request.param})


@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile passes its include folder to g++ unquoted")
@pytest.mark.xdist_group("compiler")  # which takes seconds to begin
def test_compiled_computes_the_same() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Hardswish()).eval()
    images = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
    session = Torch({"mode": "compiled"}).load(onnx_of(layer, (3, 8, 8)), threads=1, precision="fp32")
    assert isinstance(session.module, torch._dynamo.eval_frame.OptimizedModule)
    expected = layer(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(session.run([images])[0], expected, atol=1e-5)
    assert session.bind([images])() is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
def test_no_gpu() -> None:
    with pytest.raises(RuntimeMissingError, match="sees no CUDA GPU; use device=cpu"):
        Torch({"device": "cuda"})


def test_only_a_gpu_has_graphs() -> None:
    with pytest.raises(ConfigError, match="no option 'graph'; it has mode, device"):
        Torch({"graph": "yes"})


def test_refuses_bf16_where_the_processor_has_none(network: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    without = {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: without, raising=False)
    model = network.SerializeToString()
    Torch().load(model, threads=1, precision="fp32")
    with pytest.raises(ModelError, match="this processor has no bf16 arithmetic"):
        Torch().load(model, threads=1, precision="bf16")


@pytest.fixture
def network(small_space: ChainSpace) -> onnx.ModelProto:
    return onnx.load_from_string(onnx_of(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16)))


def _first(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == kind)


def _attribute(kind: str, name: str, value: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = _first(model, kind)
        others = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*others, helper.make_attribute(name, value)])

    return change


def _unknown_operator(model: onnx.ModelProto) -> None:
    _first(model, "HardSwish").op_type = "LpPool"


def _another_domain(model: onnx.ModelProto) -> None:
    _first(model, "Add").domain = "com.microsoft"


def _untransposed(model: onnx.ModelProto) -> None:
    del _first(model, "Gemm").attribute[:]


def _reads_nothing(model: onnx.ModelProto) -> None:
    _first(model, "Add").input[1] = "nothing"


def _gives_nothing(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nothing"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_unknown_operator, r"runtime torch has no operator LpPool: node .* \(LpPool\)"),
        (_another_domain, r"runtime torch has no operator com.microsoft.Add: node .* \(Add\)"),
        (_attribute("Conv", "strange", 1), r"can't read node stem\S* \(Conv\): it has strange"),
        (_untransposed, r"can't read node \S+ \(Gemm\): "),
        (_reads_nothing, "reads 'nothing', which nothing before it gives"),
        (_gives_nothing, "nothing gives the model's output 'nothing'"),
    ],
)
def test_refuses_what_it_would_get_wrong(
    network: onnx.ModelProto, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    change(network)
    with pytest.raises(ModelError, match=message):
        Torch().load(network.SerializeToString(), threads=1, precision="fp32")


def test_weights_of_the_wrong_shape_are_one_line(network: onnx.ModelProto) -> None:
    weight = network.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(np.zeros((4, 5, 3, 3), np.float32), weight.name))
    with pytest.raises(ModelError, match=r"can't read node stem\S* \(Conv\): ") as caught:
        Torch().load(network.SerializeToString(), threads=1, precision="fp32")
    assert "\n" not in str(caught.value)


def test_its_kernels_are_its_ops(small_space: ChainSpace) -> None:
    model = model_of(onnx_of(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16)), "net").data
    nodes = onnx.load_from_string(model).graph.node
    launches = Torch().kernels(model, "fp32")
    assert [launch.kernel.kind for launch in launches if launch.kernel] == [node.op_type for node in nodes]
    assert [launch.name for launch in launches] == [node.name for node in nodes]
    with pytest.raises(ModelError, match="can't be cut out of the network; use mode=eager"):
        Torch({"mode": "compiled"}).kernels(model, "fp32")
