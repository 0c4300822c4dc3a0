"""Calibrations against closed forms: terms that are there are found, terms that aren't are left out, intervals hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import TableError
from hwnas.prediction.calibrate import Networks, calibrate, calibration_of, fit
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import AddedNetwork, LatencyTable, MeasuredNetwork
from tests.spaces import keeping
from tests.tables.make import latency, made_up_table


@given(st.floats(0.1, 10), st.integers(3, 40))
def test_exact_proportion_has_no_error_and_no_other_terms(scale: float, count: int) -> None:
    sums_ms = np.linspace(1, 9, count)
    found = fit(Networks(sums_ms, {"op": np.full(count, 7.0)}, scale * sums_ms))
    assert found.scale == pytest.approx(scale)
    assert (found.per_op_ms, found.fixed_ms, found.networks) == ({}, 0, count)
    assert found.error_90 == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("fixed_ms", [0.0, 1.5])
@pytest.mark.parametrize(
    "per_op_ms", [{}, {"op": 0.2}, {"op": -0.05}, {"mbconv se": 0.1}, {"op": 0.1, "mbconv se": 0.2}]
)
def test_the_terms_that_matter_are_found(per_op_ms: dict[str, float], fixed_ms: float) -> None:
    rng = np.random.default_rng(0)
    sums_ms = rng.uniform(5, 15, 24)
    counts = {"op": rng.integers(8, 22, 24).astype(float), "mbconv se": rng.integers(0, 9, 24).astype(float)}
    true_ms = 0.9 * sums_ms + sum(ms * counts[name] for name, ms in per_op_ms.items()) + fixed_ms
    found = fit(Networks(sums_ms, counts, true_ms * np.exp(rng.normal(0, 1e-4, 24))))
    assert found.scale == pytest.approx(0.9, rel=0.01)
    for name in counts:
        assert found.per_op_ms.get(name, 0) == pytest.approx(per_op_ms.get(name, 0), abs=2e-3)
    assert found.fixed_ms == pytest.approx(fixed_ms, abs=3e-2)
    assert found.held_out_mape < 5e-4


def test_networks_with_an_op_that_the_table_lacks_are_left_out(small_space: ChainSpace) -> None:
    plain = made_up_table(small_space)
    archs = small_space.sample(12, seed=0)
    sums_ms = [sum(plain.ops[op].p50_ms for op in small_space.graph(arch).ops) for arch in archs]
    networks = [
        MeasuredNetwork(choices=tuple(arch), **latency(1.1 * ms).model_dump())
        for arch, ms in zip(archs.tolist(), sums_ms, strict=True)
    ]
    lost = small_space.graph(archs[0]).ops[1]
    whole = [row for row, arch in enumerate(archs) if lost not in small_space.graph(arch).ops]
    assert 3 <= len(whole) < 12
    table = replace(plain, networks=tuple(networks), ops={op: ms for op, ms in plain.ops.items() if op != lost})
    for quantile, factor in (("p50", 1.1), ("p90", 1.1 * 1.2)):
        found = calibration_of(table, small_space, quantile)  # type: ignore[arg-type]
        assert (found.networks, found.scale) == (len(whole), pytest.approx(factor))


def _noisy(rng: np.random.Generator, count: int) -> Networks:
    sums_ms, ops = rng.uniform(5, 15, count), rng.integers(15, 22, count).astype(float)
    gated = rng.integers(4, 14, count).astype(float)
    measured_ms = (0.9 * sums_ms + 0.02 * ops) * np.exp(rng.normal(0, 0.02, count))
    return Networks(sums_ms, {"op": ops, "mbconv": ops - gated - 2, "mbconv se": gated}, measured_ms)


def test_terms_that_explain_only_noise_are_left_out() -> None:
    """Of 300 fits to networks that are proportional but for 2 % noise, most take the scale alone."""
    rng = np.random.default_rng(0)
    simple = 0
    for _ in range(300):
        networks = _noisy(rng, 20)
        networks = networks._replace(measured_ms=0.9 * networks.sums_ms * np.exp(rng.normal(0, 0.02, 20)))
        found = fit(networks)
        simple += not found.per_op_ms and found.fixed_ms == 0
    assert simple >= 210


@pytest.mark.parametrize("count", [5, 12, 20, 40])
def test_the_interval_covers_90_percent_of_new_networks(count: int) -> None:
    """Monte Carlo: fit on noisy networks, hold one new network against the interval."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        sums_ms, counts, measured_ms = _noisy(rng, count + 1)
        found = fit(Networks(sums_ms[:-1], {k: v[:-1] for k, v in counts.items()}, measured_ms[:-1]))
        extra_ms = sum(ms * counts[name][-1] for name, ms in found.per_op_ms.items()) + found.fixed_ms
        inside += abs(measured_ms[-1] / (found.scale * sums_ms[-1] + extra_ms) - 1) <= found.error_90
    assert 0.86 <= inside / 2000 <= 0.94


def test_held_out_errors_are_those_of_refitting_without_each_network() -> None:
    rng = np.random.default_rng(1)
    sums_ms = rng.uniform(5, 15, 8)
    measured_ms = sums_ms * np.exp(rng.normal(0, 0.02, 8))
    errors = []
    for index in range(8):
        rest = np.arange(8) != index
        ratio = sums_ms[rest] / measured_ms[rest]
        scale = ratio.sum() / (ratio**2).sum()  # least squares of scale · Σ / measured = 1
        errors.append(abs(scale * sums_ms[index] / measured_ms[index] - 1))
    assert fit(Networks(sums_ms, {}, measured_ms)).held_out_mape == pytest.approx(np.mean(errors))


def _measured(table: LatencyTable, space: ChainSpace, archs: np.ndarray, scale: float) -> tuple[MeasuredNetwork, ...]:
    return tuple(
        MeasuredNetwork(
            choices=tuple(arch.tolist()),
            **latency(scale * sum(table.ops[op].p50_ms for op in space.graph(arch).ops)).model_dump(),
        )
        for arch in archs
    )


def test_calibrate_finds_the_factor(small_space: ChainSpace) -> None:
    table = made_up_table(small_space)
    networks = _measured(table, small_space, small_space.sample(10, seed=3), 0.8)
    calibration = calibrate(replace(table, networks=networks), small_space).calibration
    assert calibration is not None
    assert calibration.scale == pytest.approx(0.8, rel=1e-3)
    assert calibration.networks == 10


def test_networks_with_an_op_that_failed_are_not_fitted(small_space: ChainSpace) -> None:
    table = made_up_table(small_space)
    networks = _measured(table, small_space, small_space.sample(12, seed=3), 0.8)
    broken = small_space.layers[0][0]
    ops = {op: value for op, value in table.ops.items() if op != broken}
    calibration = calibrate(replace(table, ops=ops, failed={broken: "why"}, networks=networks), small_space).calibration
    assert calibration is not None
    assert (
        calibration.networks == sum(broken not in small_space.graph(network.choices).ops for network in networks) < 12
    )
    assert calibration.scale == pytest.approx(0.8, rel=1e-3)


def test_networks_added_later_count_with_their_stabilizers(small_space: ChainSpace) -> None:
    """Every op adds 0.1 ms to 0.8 × itself: exact only if the stabilizers that stay are in sums and counts."""
    table = made_up_table(small_space)
    archs = small_space.sample(60, seed=3)
    added = []
    for arch, stabilizers in zip(archs, [True, True, False] * 20, strict=True):
        ops = keeping(small_space, stabilizers).graph(arch).ops
        true = latency(sum(0.8 * table.ops[op].p50_ms + 0.1 for op in ops))
        added.append(
            AddedNetwork(
                choices=tuple(arch.tolist()),
                stabilizers=stabilizers,
                drift=1.1,
                started="2000-01-01T00:00:00+00:00",
                **true.model_dump(),
            )
        )
    found = calibrate(replace(table, added=tuple(added)), small_space)
    assert found.calibration is not None
    assert (found.calibration.networks, list(found.calibration.per_op_ms)) == (60, ["op"])
    assert found.calibration.held_out_mape < 1e-9
    for stabilizers in (False, True):
        predicted_ms = LatencyPredictor(found, keeping(small_space, stabilizers))(archs[:5])
        for arch, ms in zip(archs[:5], predicted_ms, strict=True):
            ops = keeping(small_space, stabilizers).graph(arch).ops
            assert ms == pytest.approx(sum(0.8 * table.ops[op].p50_ms + 0.1 for op in ops))


def test_the_90th_percentile_is_fitted_on_that_of_networks(small_space: ChainSpace) -> None:
    table = made_up_table(small_space)  # its networks' 90th percentile is 1.2 × their median
    table = replace(table, networks=_measured(table, small_space, small_space.sample(10, seed=3), 0.8))
    assert calibration_of(table, small_space).scale == pytest.approx(0.8, rel=1e-9)
    assert calibration_of(table, small_space, "p90").scale == pytest.approx(0.96, rel=1e-9)


def test_what_a_fit_says_of_its_networks_and_without_one() -> None:
    networks = _noisy(np.random.default_rng(3), 12)
    found = fit(networks)
    by_hand = found.scale * networks.sums_ms + found.fixed_ms
    by_hand += sum(ms * networks.counts[name] for name, ms in found.per_op_ms.items())
    assert networks.predicted_ms(found).tolist() == pytest.approx(by_hand.tolist())
    rest = networks.without(4)
    kept = [row for row in range(12) if row != 4]
    assert rest.sums_ms.tolist() == networks.sums_ms[kept].tolist()
    assert rest.measured_ms.tolist() == networks.measured_ms[kept].tolist()
    assert {name: count.tolist() for name, count in rest.counts.items()} == {
        name: count[kept].tolist() for name, count in networks.counts.items()
    }


def test_calibrate_refuses_what_it_cannot_use(small_space: ChainSpace) -> None:
    table = made_up_table(small_space)
    with pytest.raises(TableError, match="needs 3"):
        calibrate(table, small_space)
    with pytest.raises(TableError, match="was made for"):
        calibrate(table, get_space("macro"))


def test_networks_that_no_sum_can_predict_are_told() -> None:
    with pytest.raises(TableError, match="the measured networks don't fit their ops; profile again: error_90: "):
        fit(Networks(np.array([1.0, 1.0, 10.0]), {}, np.ones(3)))
