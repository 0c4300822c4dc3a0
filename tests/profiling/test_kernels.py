"""Plans of kernels, and the tables that their results make."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from hwnas.errors import KitError, ModelError
from hwnas.onnx.model import OnnxModel, model_of
from hwnas.profiling.kernels import kernel_table_of, plan_kernels, prepare, readers
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
    known = kernel_table_of(plan, run_plan(plan.plain(), list(readers(plan, first)), runtime), "it")
    assert known.measured[0].slowdown == 1.0

    more = prepare([model(96)], runtime, "fp32")
    plan = plan_kernels(more, conditions, known=known, effort=QUICK)
    assert plan.anchors
    assert not set(plan.anchors) & set(plan.kernels)
    data = run_plan(plan.plain(), list(readers(plan, more)), runtime)
    slower: dict[str, Any] = copy.deepcopy(data)
    for entry in slower["entries"]:
        for name in ("p50_ms", "p10_ms", "p90_ms"):
            entry[name] *= 3.0
    one, other = (kernel_table_of(plan, each, "it", known) for each in (data, slower))
    assert other.measured[0].slowdown == pytest.approx(3.0 * one.measured[0].slowdown)
    assert [e.p50_ms for e in other.kernels] == pytest.approx([e.p50_ms for e in one.kernels])
    assert other.models[0].p90_ms == pytest.approx(one.models[0].p90_ms)


def test_a_kernel_that_fails_is_recorded_and_a_model_that_fails_is_left_out() -> None:
    runtime = OnnxRuntime()
    found = prepare([model(16)], runtime, "fp32")
    plan = plan_kernels(found, conditions_of(runtime), effort=QUICK)
    data = run_plan(plan.plain(), list(readers(plan, found)), runtime)
    data["entries"][0] = {"failed": "not implemented"}
    data["entries"][-1] = {"failed": "out of registers"}
    made = kernel_table_of(plan, data, "it")
    assert made.why_failed == {plan.kernels[0].key: "not implemented"}
    assert not made.models
    with pytest.raises(KitError, match="entries, its plan has"):
        kernel_table_of(plan, data | {"entries": data["entries"][1:]}, "it")


def test_a_runtime_that_does_not_tell_its_kernels_is_named() -> None:
    class Silent:
        name = "silent"

    with pytest.raises(ModelError, match="runtime silent doesn't tell"):
        prepare([], Silent(), "fp32")  # type: ignore[arg-type]


def test_the_name_of_a_model_that_cannot_be_read_is_told() -> None:
    broken = model(16)
    broken = OnnxModel("mine.onnx", broken.data[:-40], broken.inputs, broken.outputs)
    with pytest.raises(ModelError, match=r"^mine\.onnx: "):
        prepare([broken], get_runtime("onnxruntime"), "fp32")
