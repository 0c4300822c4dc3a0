"""Lowered sums against a walk by hand; calibration against closed forms; errors of a table that doesn't fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import ArchError, MissingOpError, TableError
from hwnas.predict.calibrate import calibrate, fit_scale
from hwnas.predict.count import count
from hwnas.predict.latency import LatencyPredictor
from hwnas.predict.lowered import madds, params
from hwnas.space.op import Stabilizer
from hwnas.space.space import Space
from hwnas.space.yaml import get_space, space_names
from hwnas.tables.table import Calibration, LatencyTable, MeasuredNetwork
from tests.tables.make import latency, made_up_table


@pytest.mark.parametrize("stabilizers", [False, True])
@pytest.mark.parametrize("name", space_names())
def test_lowered_counts_equal_the_walk(name: str, stabilizers: bool) -> None:
    space = get_space(name)
    archs = space.sample(200, seed=0)
    counts = [count(space.lower(arch, stabilizers)) for arch in archs]
    assert madds(space, stabilizers=stabilizers)(archs).tolist() == [c.madds for c in counts]
    assert params(space, stabilizers=stabilizers)(archs).tolist() == [c.params for c in counts]


@pytest.mark.parametrize("stabilizers", [False, True])
def test_prediction_is_the_scaled_sum_of_the_walk(small_space: Space, stabilizers: bool) -> None:
    table = replace(made_up_table(small_space), calibration=Calibration(scale=0.9, error_90=0.05, networks=5))
    predictor = LatencyPredictor(table, small_space, stabilizers=stabilizers)
    archs = small_space.sample(20_000, seed=0)  # more rows than one block
    predicted_ms = predictor.predict(archs)
    for index in (0, 1, 8191, 8192, 19_999):
        expected = 0.9 * sum(table.ops[op].p50_ms for op in small_space.lower(archs[index], stabilizers))
        assert predicted_ms[index] == pytest.approx(expected, rel=1e-12)
        assert sum(predictor.per_layer_ms(archs[index]).values()) == pytest.approx(expected, rel=1e-12)
    interval = predictor.interval(archs[:3])
    assert interval is not None
    assert interval[0] == pytest.approx(predicted_ms[:3] * 0.95)
    assert interval[1] == pytest.approx(predicted_ms[:3] * 1.05)


def test_without_calibration_there_is_no_interval(small_space: Space) -> None:
    predictor = LatencyPredictor(made_up_table(small_space), small_space)
    assert predictor.interval(small_space.sample(2, seed=0)) is None


def test_one_arch_is_a_batch_of_one(small_space: Space) -> None:
    assert LatencyPredictor(made_up_table(small_space), small_space).predict([0] * 6).shape == (1,)


def test_wrong_archs(small_space: Space) -> None:
    predictor = LatencyPredictor(made_up_table(small_space), small_space)
    with pytest.raises(ArchError, match="layer 5"):
        predictor.predict([0, 0, 0, 0, 0, 99])


def test_a_missing_op_is_named_and_never_zero(small_space: Space) -> None:
    table = made_up_table(small_space)
    lost = small_space.layers[2][1]
    table = replace(table, ops={op: v for op, v in table.ops.items() if op != lost})
    with pytest.raises(MissingOpError, match="lacks 1 of") as caught:
        LatencyPredictor(table, small_space)
    assert str(lost) in str(caught.value)


def test_stabilizers_are_only_needed_when_they_are_kept(small_space: Space) -> None:
    table = made_up_table(small_space)
    table = replace(table, ops={op: v for op, v in table.ops.items() if not isinstance(op, Stabilizer)})
    LatencyPredictor(table, small_space)
    with pytest.raises(MissingOpError, match="stabilizer"):
        LatencyPredictor(table, small_space, stabilizers=True)


def test_a_table_of_another_resolution(small_space: Space) -> None:
    with pytest.raises(MissingOpError, match="at 16 px"):
        LatencyPredictor(made_up_table(small_space), get_space(small_space.source, resolution=32))


@given(st.floats(0.1, 10), st.integers(3, 40))
def test_exact_proportion_has_no_error(scale: float, count: int) -> None:
    sums = np.linspace(1, 9, count)
    fitted, error_90 = fit_scale(sums, scale * sums)
    assert fitted == pytest.approx(scale)
    assert error_90 == pytest.approx(0, abs=1e-6)


def test_the_interval_covers_90_percent_of_new_networks() -> None:
    """Monte Carlo: fit on 12 noisy networks, hold one new network against the interval."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(4000):
        sums = rng.uniform(5, 15, 13)
        measured = 0.9 * sums * np.exp(rng.normal(0, 0.02, 13))
        scale, error_90 = fit_scale(sums[:12], measured[:12])
        inside += abs(measured[12] / (scale * sums[12]) - 1) <= error_90
    assert 0.88 <= inside / 4000 <= 0.92


def test_calibrate_finds_the_factor(small_space: Space) -> None:
    table = made_up_table(small_space)
    archs = small_space.sample(10, seed=3)
    networks = tuple(
        MeasuredNetwork(
            choices=tuple(arch.tolist()),
            **latency(0.8 * sum(table.ops[op].p50_ms for op in small_space.lower(arch))).model_dump(),
        )
        for arch in archs
    )
    calibration = calibrate(replace(table, networks=networks), small_space).calibration
    assert calibration is not None
    assert calibration.scale == pytest.approx(0.8, rel=1e-3)
    assert calibration.networks == 10


def test_calibrate_refuses_what_it_cannot_use(small_space: Space) -> None:
    table: LatencyTable = made_up_table(small_space)
    with pytest.raises(TableError, match="needs 3"):
        calibrate(table, small_space)
    with pytest.raises(TableError, match="was made for"):
        calibrate(table, get_space("macro"))
