"""From kernels to models: what is put into models' latencies is found again, and few models move little."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.prediction.kernel_calibration import calibrated, class_of, far_weights_mb, in_model_ms
from hwnas.prediction.kernels import KernelPredictor
from hwnas.tables.kernel_table import KernelCalibration, KernelTable
from tests.tables.make_kernels import OF_CLASSES, kernel, launch, table

OPS = {"Conv": 2.0, "MatMul": 1.0, "Relu": 0.3, "Transpose": 0.2}


def drawn(count: int, seed: int = 0) -> dict[str, list[str]]:
    draw = random.Random(seed)
    return {f"{n}.onnx": draw.choices(sorted(OPS), k=draw.randint(2, 30)) for n in range(count)}


def measured_as(models: Mapping[str, Sequence[str]], truth: KernelCalibration) -> KernelTable:
    return table(OPS, models={name: (ops, _latency_ms(truth, ops)) for name, ops in models.items()})


def _latency_ms(truth: KernelCalibration, ops: Sequence[str]) -> float:
    return truth.fixed_ms + sum(in_model_ms(truth, kernel(op), OPS[op]) for op in ops)


def truth(scales: Sequence[float], per_launch_ms: float = 0.0, fixed_ms: float = 0.0) -> KernelCalibration:
    return KernelCalibration(
        scales=dict(zip(OF_CLASSES, scales, strict=True)), per_launch_ms=per_launch_ms, per_weight_mb_ms=0.0,
        fixed_ms=fixed_ms, error_90=0.0, held_out_mape=0.0, models=1,
    )  # fmt: skip


def test_each_kernel_has_a_class() -> None:
    assert {name: class_of(kernel(op)) for name, op in OF_CLASSES.items()} == {name: name for name in OF_CLASSES}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.7, 1.4), min_size=4, max_size=4), st.floats(0, 0.02), st.floats(0, 0.2))
def test_models_made_of_scaled_kernels_are_predicted_whatever_the_scales(
    scales: list[float], per_launch_ms: float, fixed_ms: float
) -> None:
    real = truth(scales, per_launch_ms, fixed_ms)
    found = calibrated(measured_as(drawn(40), real))
    assert found.calibration
    assert found.calibration.models == 40
    for name, ops in drawn(10, seed=1).items():
        predicted = KernelPredictor(found)(name, [launch(op) for op in ops])
        expected_ms = _latency_ms(real, ops)
        assert predicted.latency_ms == pytest.approx(expected_ms, rel=0.01)
        assert predicted.interval_ms
        assert found.calibration.error_90 < 0.02


def test_models_that_are_the_sum_of_their_kernels_leave_every_scale_at_one() -> None:
    found = calibrated(measured_as(drawn(5), truth([1, 1, 1, 1]))).calibration
    assert found
    assert found.scales == pytest.approx(dict.fromkeys(OF_CLASSES, 1.0))
    assert (found.per_launch_ms, found.fixed_ms, found.held_out_mape) == pytest.approx((0, 0, 0))


def test_three_models_do_not_move_a_class_that_none_of_them_has() -> None:
    slower = {f"{n}.onnx": (["Conv"] * n, 1.2 * 2.0 * n) for n in (1, 2, 3)}
    found = calibrated(table(OPS, models=slower)).calibration
    assert found
    assert found.scales["convolution"] > 1.1
    assert [found.scales[name] for name in ("product", "elementwise", "moving")] == [1.0, 1.0, 1.0]


def test_two_models_calibrate_nothing() -> None:
    assert calibrated(table(OPS, models={f"{n}.onnx": (["Relu"], 0.1) for n in range(2)})).calibration is None


def test_a_model_with_a_kernel_that_could_not_be_run_calibrates_nothing() -> None:
    models = {f"{n}.onnx": (["Relu"], 0.1) for n in range(2)} | {"broken.onnx": (["Erf"], 9.0)}
    assert calibrated(table(OPS, models=models, failed={"Erf": "no"})).calibration is None


def test_weights_count_as_far_off_for_products_alone_and_only_so_many() -> None:
    weights_mb = 4 * 8 * 8 / 1e6
    assert far_weights_mb(kernel("MatMul")) == pytest.approx(weights_mb)
    assert far_weights_mb(kernel("MatMul", 4096)) == 16.0
    assert far_weights_mb(kernel("Conv")) == 0.0
