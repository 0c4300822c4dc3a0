"""A space priced through kernels: its ops add up to whole networks, and whose block it is makes no difference."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from hwnas.arrays import Archs
from hwnas.errors import MissingOpError, SpaceError
from hwnas.files import validated
from hwnas.flow.kernels import predict_models
from hwnas.graph.kernel import Kernel
from hwnas.onnx.model import model_of
from hwnas.optimize.driver import run_search
from hwnas.optimize.problem import Budget, Objective
from hwnas.prediction.costs import madds
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.through_kernels import covering, priced
from hwnas.profiling.kernels import prepare
from hwnas.profiling.plan import network_model
from hwnas.runtimes.registry import get_runtime
from hwnas.space.arch import Arch
from hwnas.space.blocks import blocks_space
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import BlocksDefinition
from hwnas.space.registry import get_space
from hwnas.tables.kernel_table import KernelCalibration, KernelClass, KernelTable, MeasuredKernel
from tests.conftest import SMALL_SPACE
from tests.tables.make_kernels import table as table_of

pytestmark = pytest.mark.filterwarnings("ignore:.*your own code.*")

RUNTIME = get_runtime("onnxruntime")
OURS = {"kind": "mbconv", "c_out": 16, "stride": 1, "kernel": [3, 5], "expansion": [1, 3], "se": False, "act": "hswish"}
CODE = """
from torch import nn

class Inverted(nn.Module):
    def __init__(self, c_in, c_out, kernel, expansion):
        super().__init__()
        hidden = c_in * expansion
        first = [nn.Conv2d(c_in, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.Hardswish()]
        self.body = nn.Sequential(
            *(first if expansion > 1 else []),
            nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False), nn.BatchNorm2d(hidden),
            nn.Hardswish(), nn.Conv2d(hidden, c_out, 1, bias=False), nn.BatchNorm2d(c_out),
        )

    def forward(self, x):
        return x + self.body(x)
"""


def space_of(block: object) -> ChainSpace:
    said = {
        "name": "own", "resolution": 16, "classes": 5, "stages": [{"layers": 3, "block": block, "skip": True}],
        "stem": {"kind": "stem", "width": 16, "c_out": 16, "stride": 2, "separable": False, "act": "relu"},
        "head": {"kind": "head", "width": 16, "act": "relu"},
    }  # fmt: skip
    return blocks_space(validated(BlocksDefinition, said, "own.yaml", SpaceError))


@cache
def ours() -> ChainSpace:
    return space_of(OURS)


def kernels_of(space: ChainSpace, archs: Archs) -> list[Kernel]:
    models = []
    for arch in archs.tolist():
        network = network_model(space, arch)
        models.append(model_of(network.data, str(arch), {port.name: port.shape for port in network.inputs}))
    found = prepare(models, RUNTIME, "fp32")
    return [launch.kernel for each in found for launch in each.launches if launch.kernel]


def price_ms(kernel: Kernel) -> float:
    return 1e-3 + 1e-6 * sum(value.elements for value in kernel.values)


@cache
def table() -> KernelTable:
    return table_for(ours())


def table_for(space: ChainSpace) -> KernelTable:
    """Of all kernels of the space; a model takes half their sum and 0.01 ms."""
    whole = space.inheriting()
    known = {kernel.key: kernel for kernel in kernels_of(whole, covering(whole, sightings=4))}
    kernels = []
    for each in known.values():
        ms = price_ms(each)
        kernels.append(MeasuredKernel(kernel=each, p50_ms=ms, p10_ms=ms, p90_ms=ms, count=8))
    said = KernelCalibration(
        scales=dict.fromkeys(get_args(KernelClass), 0.5), per_launch_ms=0.0, per_weight_mb_ms=0.0, fixed_ms=0.01,
        error_90=0.02, held_out_mape=0.01, models=9,
    )  # fmt: skip
    return KernelTable(**{**dict(table_of({"Relu": 0.1})), "kernels": tuple(kernels), "calibration": said})


def test_a_few_archs_have_every_op() -> None:
    for space in (get_space("scarlet-tiny"), get_space("scarlet-s2").inheriting(), get_space("vit-tiny")):
        archs, transitions = covering(space), space.transitions()
        assert transitions
        assert {op for arch in archs for op in space.graph(arch).ops} == set(transitions.ops)
        assert len(archs) < 3 * space.num_choices.max()


def test_a_sum_of_ops_is_what_the_kernels_of_a_network_take() -> None:
    space = ours()
    found = priced(table(), space, RUNTIME)
    assert found.calibration
    assert set(found.ops) == set(space.inheriting().transitions().ops)
    archs = space.sample(6, 5)
    by_sum = LatencyPredictor(found, space)(archs)
    whole = predict_models(table(), [Arch(space, tuple(arch)) for arch in archs.tolist()], strict=True).latency_ms
    np.testing.assert_allclose(by_sum, whole, rtol=1e-3)
    assert found.calibration.error_90 >= 0.02  # that of the kernels


def test_an_op_that_no_network_has_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    space = get_space(str(tmp_path / "small.yaml"))
    assert isinstance(space, ChainSpace)
    found = priced(table_for(space), space, RUNTIME)
    archs = space.sample(200, 1)
    assert found.failed
    assert not {op for arch in archs for op in space.inheriting().graph(arch).ops} & found.failed.keys()
    assert np.isfinite(LatencyPredictor(found, space)(archs)).all()


def test_whose_block_it_is_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blocks.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    theirs = space_of({"module": "blocks.py:Inverted", "c_out": 16, "kernel": [3, 5], "expansion": [1, 3]})

    def searched(space: ChainSpace) -> tuple[object, object]:
        latency = Objective("latency_ms", LatencyPredictor(priced(table(), space, RUNTIME), space), free=True)
        accuracy = Objective("accuracy", lambda archs: np.sqrt(1 + (archs * [3, 1, 2]).sum(axis=1)), maximize=True)
        costs = [accuracy, latency, Objective("madds", madds(space), free=True)]
        found = run_search(space, costs, [Budget("latency_ms", 0.04)], "nsga2", 40, 3)
        return found.archs, found.values

    (archs, values), (own_archs, own_values) = searched(theirs), searched(ours())
    np.testing.assert_array_equal(archs, own_archs)
    np.testing.assert_allclose(values, own_values, rtol=1e-9)


def test_a_kernel_that_nobody_measured_is_told_with_what_measures_it() -> None:
    fewer = KernelTable.of_plain({**table().plain(), "kernels": table().plain()["kernels"][:2]}, "fewer")
    with pytest.raises(MissingOpError, match=r"knows nothing of .* of own:.*; hwnas profile own --with TABLE"):
        priced(fewer, ours(), RUNTIME)
