"""Plans of kernels, and the tables that their results make."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import KitError, ModelError
from hwnas.graph.kernel import Kernel, KernelNode, Value
from hwnas.onnx.model import OnnxModel, model_of
from hwnas.profiling.kernels import copies_of, kernel_table_of, plan_kernels, prepare, readers
from hwnas.profiling.local import conditions_of
from hwnas.profiling.run import run_plan
from hwnas.profiling.timer import Effort
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.runtimes.registry import get_runtime
from tests.flow.test_kernels import net
from tests.onnx_models import exported

QUICK = Effort(confidence=1.0, rounds=2, at_least_s=0.0, at_most_s=0.1)


def model(width: int, depth: int = 1) -> OnnxModel:
    return model_of(exported(net(width, depth), torch.zeros(1, 3, 64, 64)), f"w{width}-d{depth}.onnx")


def test_a_part_measured_on_a_slower_machine_is_told_at_the_speed_of_the_first() -> None:
    runtime = OnnxRuntime()
    conditions = conditions_of(runtime)
    first = prepare([model(64), model(64, 3)], runtime, "fp32")
    plan = plan_kernels(first, conditions, effort=QUICK)
    assert not plan.anchors
    known = kernel_table_of(plan, run_plan(plan.plain(), list(readers(plan, first, runtime)), runtime), "it")
    assert known.measured[0].slowdown == 1.0

    more = prepare([model(96), model(64, 2)], runtime, "fp32")  # of the second all kernels are known
    plan = plan_kernels(more, conditions, known=known, effort=QUICK)
    assert plan.anchors
    assert not set(plan.anchors) & set(plan.kernels)
    data = run_plan(plan.plain(), list(readers(plan, more, runtime)), runtime)
    slower: dict[str, Any] = copy.deepcopy(data)
    for entry in slower["entries"]:
        for name in ("p50_ms", "p10_ms", "p90_ms"):
            entry[name] *= 3.0
    one, other = (kernel_table_of(plan, each, "it", known) for each in (data, slower))
    assert other.measured[1].slowdown == pytest.approx(3.0 * one.measured[1].slowdown)
    assert [e.p50_ms for e in other.kernels] == pytest.approx([e.p50_ms for e in one.kernels])
    assert other.models[-1].p90_ms == pytest.approx(one.models[-1].p90_ms)
    for whole in (one, other):
        assert whole.measured[:1] == known.measured
        assert whole.kernels[: len(known.kernels)] == known.kernels
        assert [each.name for each in whole.models] == ["w64-d1.onnx", "w64-d3.onnx", "w96-d1.onnx", "w64-d2.onnx"]


def test_a_kernel_that_fails_is_recorded_and_a_model_that_fails_is_left_out() -> None:
    runtime = OnnxRuntime()
    found = prepare([model(16)], runtime, "fp32")
    plan = plan_kernels(found, conditions_of(runtime), effort=QUICK)
    data = run_plan(plan.plain(), list(readers(plan, found, runtime)), runtime)
    data["entries"][0] = {"failed": "not implemented"}
    data["entries"][-1] = {"failed": "out of registers"}
    made = kernel_table_of(plan, data, "it")
    assert made.why_failed == {plan.kernels[0].key: "not implemented"}
    assert not made.models
    with pytest.raises(KitError, match="entries, its plan has"):
        kernel_table_of(plan, data | {"entries": data["entries"][1:]}, "it")


class _Counting(OnnxRuntime):
    """Its device's clock says that each call takes 64 µs."""

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
        return SimpleNamespace(bind=lambda inputs: lambda: 64_000.0)


def test_small_kernels_are_timed_in_copies_and_a_latency_is_of_one() -> None:
    runtime = _Counting()
    found = prepare([model(16)], runtime, "fp32")
    plan = plan_kernels(found, conditions_of(runtime), effort=QUICK)
    read = [each() for each in readers(plan, found, runtime)]
    assert [each.copies for each in read] == [*map(copies_of, plan.kernels), 1]
    assert max(each.copies for each in read) > 4
    told = run_plan(plan.plain(), list(readers(plan, found, runtime)), runtime)["entries"]
    assert [entry["p50_ms"] for entry in told] == pytest.approx([0.064 / each.copies for each in read], abs=1e-6)


@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 112))
def test_copies_have_more_weights_than_a_core_caches_or_are_as_many_as_fit(to: int, of: int, pixels: int) -> None:
    values = (
        Value(dtype="float32", shape=(pixels, of)), Value(dtype="float32", shape=(of, to), constant=True),
        Value(dtype="float32", shape=(pixels, to)),
    )  # fmt: skip
    matmul = KernelNode(op="MatMul", inputs=(0, 1), outputs=(2,))
    copies = copies_of(Kernel(opset=17, nodes=(matmul,), values=values, outputs=(2,)))
    assert 2 <= copies <= 64
    weights_bytes, moved_bytes = 4 * of * to, 4 * pixels * (of + to)
    takes_ms = copies * (pixels * of * to / 6e7 + (weights_bytes + moved_bytes) / 1.5e7)
    assert copies in (2, 64) or takes_ms > 1.4 or weights_bytes * copies >= 3_000_000 or weights_bytes * 64 < 3_000_000


def test_a_runtime_that_does_not_tell_its_kernels_is_named() -> None:
    with pytest.raises(ModelError, match=r"^w16-d1\.onnx: .*can't be cut out of the network; use mode=eager"):
        prepare([model(16)], get_runtime("torch", {"mode": "compiled"}), "fp32")


def test_what_stands_beside_a_kernel_is_taken_off() -> None:
    pytest.importorskip("openvino", reason="the extra openvino isn't installed")
    runtime = get_runtime("openvino")
    found = prepare([model(16)], runtime, "fp32")
    plan = plan_kernels(found, conditions_of(runtime), effort=QUICK)
    assert plan.neighbours
    assert {kernel.neighbour for kernel in plan.kernels} - {None} == set(plan.neighbours)
    data = run_plan(plan.plain(), list(readers(plan, found, runtime)), runtime)
    for entry, told in zip(plan.entries, data["entries"], strict=True):  # 5 ms a kernel, 2 ms of them what is beside it
        of_neighbour = entry in plan.neighbours
        told |= dict.fromkeys(("p10_ms", "p50_ms", "p90_ms"), 2.0 if of_neighbour else 5.0) | {"confidence_95": 0.1}
    table = kernel_table_of(plan, data, "it")
    assert len(table.kernels) == len(plan.kernels)
    for each in table.kernels:
        assert each.p50_ms == (3.0 if each.kernel.beside else 5.0)
        assert each.confidence_95 == pytest.approx((0.5**2 + 0.2**2) ** 0.5 / 3 if each.kernel.beside else 0.1)

    broken = copy.deepcopy(data)
    broken["entries"][len(plan.kernels)] = {"failed": "no memory"}
    failed = {each.kernel.neighbour: each.reason for each in kernel_table_of(plan, broken, "it").failed}
    assert failed == {plan.neighbours[0]: "no memory"}


def test_the_name_of_a_model_that_cannot_be_read_is_told() -> None:
    broken = model(16)
    broken = OnnxModel("mine.onnx", broken.data[:-40], broken.inputs, broken.outputs)
    with pytest.raises(ModelError, match=r"^mine\.onnx: "):
        prepare([broken], get_runtime("onnxruntime"), "fp32")
