"""Prices of anyone's models, on tables whose answers are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import MissingOpError
from hwnas.graph.kernel import Kernel, KernelNode, Launch
from hwnas.prediction.kernels import KernelPredictor
from tests.tables.make_kernels import kernel, launch, table

OPS = {"Relu": 0.1, "Tanh": 0.25, "Conv": 2.0}


@given(st.lists(st.sampled_from(sorted(OPS)), min_size=1, max_size=30))
def test_without_a_calibration_a_model_takes_the_sum_of_its_kernels(ops: list[str]) -> None:
    found = KernelPredictor(table(OPS))("net", [launch(op) for op in ops])
    assert found.latency_ms == pytest.approx(sum(OPS[op] for op in ops))
    assert [each.latency_ms for each in found.launches] == [OPS[op] for op in ops]
    assert found.interval_ms is None
    assert not found.guessed
    assert not found.unknown


def test_a_model_that_was_measured_is_told_as_measured() -> None:
    made = table(OPS, models={"a.onnx": (["Relu", "Conv"], 1.9)})
    found = KernelPredictor(made)("net", [launch("Relu"), launch("Conv")], made.models[0].sha256)
    assert found.measured
    assert found.latency_ms == 1.9
    assert found.interval_ms == pytest.approx((1.9 * 0.99, 1.9 * 1.01))


def test_a_kernel_between_two_measured_ones_is_guessed_between_them() -> None:
    sizes = {("Conv", size): 1e-6 * size**2 for size in (32, 64, 128, 256, 1024, 2048)}
    found = KernelPredictor(table({}, sized=sizes))("net", [launch("Conv", 512)])
    assert [each.source for each in found.launches] == ["guessed"]
    assert found.latency_ms == pytest.approx(1e-6 * 512**2, rel=0.05)


def test_a_fused_kernel_is_guessed_from_those_that_do_the_same_work() -> None:
    plain = kernel("Conv", 512)
    fused = Kernel(
        opset=plain.opset,
        nodes=(*plain.nodes, KernelNode(op="Relu", inputs=(2,), outputs=(3,))),
        values=(*plain.values, plain.values[2]),
        outputs=(3,),
    )
    sizes = {("Conv", size): 1e-6 * size**2 for size in (32, 64, 128, 256, 1024, 2048)}
    found = KernelPredictor(table({}, sized=sizes))("net", [Launch("conv", fused)])
    assert [each.source for each in found.launches] == ["guessed"]
    assert found.latency_ms == pytest.approx(1e-6 * 512**2, rel=0.1)


def test_what_nothing_is_known_of_makes_a_lower_bound_and_is_named() -> None:
    launches = [launch("Relu"), launch("Erf"), Launch("loop", None, "it holds another graph")]
    found = KernelPredictor(table(OPS, failed={"Erf": "not implemented"}))("net", launches)
    assert found.latency_ms == pytest.approx(0.1)
    assert found.interval_ms is None
    assert [each.name for each in found.unknown] == ["erf8", "loop"]
    assert "not implemented" in found.unknown[0].why_unknown
    assert "another graph" in found.unknown[1].why_unknown
    with pytest.raises(MissingOpError, match="nothing is known of erf8"):
        KernelPredictor(table(OPS))("net", launches, strict=True)
