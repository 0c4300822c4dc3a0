"""Kernels: what ONNX Runtime really launches, each the key of a table and a model of its own."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from hwnas.graph.kernel import Kernel
from hwnas.onnx.kernels import kernel_model
from hwnas.onnx.model import model_of
from hwnas.onnx.stand_in import stand_in
from hwnas.runtimes.onnxruntime import OnnxRuntime
from tests import onnx_models


def exported(module: nn.Module, *inputs: torch.Tensor) -> bytes:
    return model_of(onnx_models.exported(module, *inputs), "net.onnx").data


def plain(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


NET = nn.Sequential(
    nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
)  # fmt: skip


def test_onnx_runtime_tells_its_own_fused_graph() -> None:
    launched = OnnxRuntime().kernels(exported(NET, torch.zeros(1, 3, 32, 32)), "fp32")
    kernels = [each.kernel for each in launched]
    convs = [kernel for kernel in kernels if kernel and kernel.kind == "Conv"]
    assert {node.domain for kernel in convs for node in kernel.nodes} == {"com.microsoft.nchwc"}
    assert not any("Relu" in kernel.kind or "Batch" in kernel.kind for kernel in kernels if kernel)
    assert len(convs) == 3
    assert len(set(convs)) == 2  # two of them are one kernel
    assert all(each.kernel for each in launched)


def test_a_kernel_alone_takes_and_gives_what_it_does_in_the_network() -> None:
    for launch in OnnxRuntime().kernels(exported(NET, torch.zeros(1, 3, 32, 32)), "fp32"):
        assert launch.kernel
        data, ports = kernel_model(launch.kernel)
        assert kernel_model(launch.kernel)[0] == data
        given = plain(data).run(None, {port.name: stand_in(port) for port in ports})
        values = launch.kernel.values
        assert [(x.shape, x.dtype.name) for x in given] == [
            (values[i].shape, values[i].dtype) for i in launch.kernel.outputs
        ]
        assert all(np.isfinite(x).all() for x in given)


def test_a_kernel_survives_a_file() -> None:
    for launch in OnnxRuntime().kernels(exported(NET, torch.zeros(1, 3, 32, 32)), "fp32"):
        assert launch.kernel
        again = Kernel.model_validate_json(launch.kernel.model_dump_json())
        assert again == launch.kernel
        assert hash(again) == hash(launch.kernel)


class _Shapes(nn.Module):
    def __init__(self, exponent: float, width: int) -> None:
        super().__init__()
        self.exponent, self.width = exponent, width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.pow(x, self.exponent).reshape(-1, self.width)


@pytest.mark.parametrize(("one", "other"), [((2.0, 4), (0.5, 4)), ((2.0, 4), (2.0, 8))])
def test_constants_that_decide_the_work_tell_kernels_apart(one: tuple[float, int], other: tuple[float, int]) -> None:
    def kernels(exponent: float, width: int) -> set[Kernel | None]:
        launched = OnnxRuntime().kernels(exported(_Shapes(exponent, width), torch.ones(1, 3, 8, 8)), "fp32")
        return {each.kernel for each in launched}

    assert kernels(*one) == kernels(*one)
    assert kernels(*one) != kernels(*other)


def test_weights_do_not_tell_kernels_apart() -> None:
    nets = [nn.Conv2d(3, 16, 3) for _ in range(2)]
    found = [OnnxRuntime().kernels(exported(net, torch.zeros(1, 3, 16, 16)), "fp32") for net in nets]
    assert [each.kernel for each in found[0]] == [each.kernel for each in found[1]]
