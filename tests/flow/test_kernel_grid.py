"""A device that is profiled once for anyone's models: which kernels that is, and what it is good for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.errors import ConfigError, OutputError
from hwnas.flow.kernel_grid import KernelGrid, design_kernels, profile_kernels
from hwnas.flow.kernels import predict_models
from hwnas.graph.kernel import Kernel
from hwnas.onnx.model import model_of
from hwnas.onnx.typical.networks import networks_of_a_round
from hwnas.prediction.kernels import kind_of
from hwnas.profiling.kernels import prepare
from hwnas.profiling.plan import network_model
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.space.arch import parse_arch

RUNTIME = OnnxRuntime()


def kernels_of(grid: KernelGrid) -> dict[str, Kernel]:
    whole = prepare(grid.networks, RUNTIME, "fp32")
    launched = [launch.kernel for each in whole for launch in each.launches if launch.kernel]
    return {kernel.key: kernel for kernel in (*launched, *grid.kernels)}


def test_a_design_has_the_kernels_asked_for_and_is_the_same_again() -> None:
    grid, again = (design_kernels(RUNTIME, count=20, seed=2) for _ in range(2))
    assert grid == again
    assert design_kernels(RUNTIME, count=20, seed=3) != grid
    assert len(kernels_of(grid)) >= 20


def test_kinds_that_networks_of_hwnas_have_are_all_in_it() -> None:
    grid = design_kernels(RUNTIME, count=5 * networks_of_a_round())
    kinds = {kind_of(kernel) for kernel in kernels_of(grid).values()}
    for name in ("scarlet-a", "macro:1,2,0,1,2,0,1,2"):
        arch = parse_arch(name)
        made = network_model(arch.space, arch.choices)
        model = model_of(made.data, name, {port.name: port.shape for port in made.inputs})
        (prepared,) = prepare([model], RUNTIME, "fp32")
        missing = {kind_of(launch.kernel) for launch in prepared.launches if launch.kernel} - kinds
        assert not missing


def test_a_table_prices_networks_of_which_no_kernel_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    table = profile_kernels(count=20, seconds=0.3, output=path)
    assert table.calibration
    (found,) = predict_models(path, "scarlet-b").models
    assert all(each.source in ("guessed", "unknown") for each in found.launches if each.kernel and each.latency_ms)
    assert found.guessed
    assert found.latency_ms > 0
    with pytest.raises(OutputError, match="exists already"):
        profile_kernels(count=40, output=path)
    with pytest.raises(ConfigError, match="at least 1"):
        profile_kernels(count=0)
