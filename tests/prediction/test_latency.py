"""Predictions against a walk by hand: exact entries, interpolated ones, ops that can't be run, wrong tables."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from hwnas.errors import ArchError, MissingOpError, TableError
from hwnas.graph.count import cost, count
from hwnas.ops.stabilizer import Stabilizer
from hwnas.prediction.costs import madds, params
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import SPACES, get_space
from hwnas.tables.table import MeasuredNetwork
from tests.spaces import keeping
from tests.tables.make import calibration, latency, made_up_table


@pytest.mark.parametrize("stabilizers", [False, True])
@pytest.mark.parametrize("name", SPACES.names())
def test_lowered_counts_equal_the_walk(name: str, stabilizers: bool) -> None:
    space = get_space(name)
    archs = space.sample(200, seed=0)
    counts = [count(keeping(space, stabilizers).graph(arch)) for arch in archs]
    assert madds(keeping(space, stabilizers))(archs).tolist() == [c.madds for c in counts]
    assert params(keeping(space, stabilizers))(archs).tolist() == [c.params for c in counts]


@pytest.mark.parametrize("stabilizers", [False, True])
def test_prediction_is_the_calibrated_sum_of_the_walk(small_space: ChainSpace, stabilizers: bool) -> None:
    fitted = calibration(scale=0.9, per_op_ms=0.03, fixed_ms=0.2, error_90=0.05)
    table = replace(made_up_table(small_space), calibration=fitted)
    predictor = LatencyPredictor(table, keeping(small_space, stabilizers))
    archs = small_space.sample(20_000, seed=0)  # more rows than one block
    predicted_ms = predictor(archs)
    for index in (0, 1, 8191, 8192, 19_999):
        ops = keeping(small_space, stabilizers).graph(archs[index]).ops
        expected = 0.9 * sum(table.ops[op].p50_ms for op in ops) + 0.03 * len(ops) + 0.2
        assert predicted_ms[index] == pytest.approx(expected, rel=1e-12)
        assert sum(predictor.per_layer_ms(archs[index]).values()) + 0.2 == pytest.approx(expected, rel=1e-12)
    interval = predictor.interval(archs[:3])
    assert interval is not None
    assert interval[0] == pytest.approx(predicted_ms[:3] * 0.95)
    assert interval[1] == pytest.approx(predicted_ms[:3] * 1.05)
    assert not predictor.interpolated


def test_without_calibration_there_is_no_interval(small_space: ChainSpace) -> None:
    predictor = LatencyPredictor(made_up_table(small_space), small_space)
    assert predictor.interval(small_space.sample(2, seed=0)) is None


def test_one_arch_is_a_batch_of_one(small_space: ChainSpace) -> None:
    assert LatencyPredictor(made_up_table(small_space), small_space)([0] * 6).shape == (1,)


def test_wrong_archs(small_space: ChainSpace) -> None:
    predictor = LatencyPredictor(made_up_table(small_space), small_space)
    with pytest.raises(ArchError, match="layer 5"):
        predictor([0, 0, 0, 0, 0, 99])


def test_a_kind_of_op_that_the_table_lacks_is_named_and_never_zero(small_space: ChainSpace) -> None:
    table = made_up_table(small_space)
    table = replace(table, ops={op: v for op, v in table.ops.items() if op != small_space.head})
    with pytest.raises(MissingOpError, match="lacks 1 op") as caught:
        LatencyPredictor(table, small_space)
    assert str(small_space.head) in str(caught.value)


def test_a_table_of_other_classes_or_another_resolution_says_so_and_nothing_of_ops(small_space: ChainSpace) -> None:
    table, made = made_up_table(small_space), small_space.ref
    before, pixels = f"the table is for {made.classes} classes", f"and {made.resolution} px"
    for resolution, told in (
        (made.resolution, f"{before}, the network has 7;"),
        (64, f"{before} {pixels}, the network has 7 and 64 px;"),
    ):
        with pytest.raises(MissingOpError) as caught:
            LatencyPredictor(table, get_space(made.source, resolution, 7))
        message = str(caught.value)
        assert message.startswith(told)
        assert "head" not in message
        command = rf"run hwnas profile --space \S+ --resolution {resolution} --classes 7 -o table-{resolution}-7\.yaml"
        assert re.search(rf"; {command}$", message)


def test_stabilizers_are_only_needed_when_they_are_kept(small_space: ChainSpace) -> None:
    table = made_up_table(small_space)
    table = replace(table, ops={op: v for op, v in table.ops.items() if not isinstance(op, Stabilizer)})
    LatencyPredictor(table, small_space)
    with pytest.raises(MissingOpError, match="stabilizer"):
        LatencyPredictor(table, small_space.inheriting())


def test_an_op_that_is_not_in_the_table_is_interpolated_flagged_and_less_certain() -> None:
    """Of a table whose latencies follow multiply-adds, one op is lost: it comes back near, its interval wider."""
    space = get_space("scarlet-s2")
    ops = {op: latency(0.01 + cost(op).madds / 1e8) for op in space.distinct_ops}
    table = replace(made_up_table(space), ops=ops, calibration=calibration(error_90=0.02))
    lost = space.layers[9][6]
    holey = replace(table, ops={op: v for op, v in ops.items() if op != lost})
    whole, predictor = LatencyPredictor(table, space), LatencyPredictor(holey, space)
    assert list(predictor.interpolated) == [lost]
    having, lacking = [0] * space.num_layers, [0] * space.num_layers
    having[9] = 6
    assert predictor.interpolated_of(having) == (lost,)
    assert predictor.interpolated_of(lacking) == ()
    assert predictor(having) == pytest.approx(whole(having), rel=0.02)
    assert predictor(lacking) == whole(lacking)
    widths = []
    for each, arch in ((whole, having), (predictor, having), (predictor, lacking), (whole, lacking)):
        interval = each.interval(arch)
        assert interval is not None
        widths.append(float(interval[1][0] - interval[0][0]))
    assert widths[1] > widths[0]
    assert widths[2] == pytest.approx(widths[3])


def test_an_op_that_the_runtime_could_not_run_is_named_by_the_archs_that_need_it(small_space: ChainSpace) -> None:
    table = made_up_table(small_space)
    broken = small_space.layers[2][1]
    rest = {op: v for op, v in table.ops.items() if op != broken}
    predictor = LatencyPredictor(replace(table, ops=rest, failed={broken: "no such kernel"}), small_space)
    assert broken not in predictor.interpolated
    fine = [0] * small_space.num_layers
    predictor(fine)
    with pytest.raises(MissingOpError, match="no such kernel") as caught:
        predictor([fine, [0, 0, 1, 0, 0, 0]])
    assert str(broken) in str(caught.value)
    assert "0,0,1,0,0,0" in str(caught.value)


def test_a_table_of_another_resolution(small_space: ChainSpace) -> None:
    with pytest.raises(MissingOpError, match="is for 16 px, the network has 32 px; run"):
        LatencyPredictor(made_up_table(small_space), get_space(small_space.source, resolution=32))


def test_the_90th_percentile_has_a_calibration_of_its_own(small_space: ChainSpace) -> None:
    """Networks whose 90th percentile is 2 × the sum of their ops' medians, whatever the ops' own percentiles say."""
    table = made_up_table(small_space)
    archs = small_space.sample(8, seed=2)
    sums_ms = [sum(table.ops[op].p50_ms for op in small_space.graph(arch).ops) for arch in archs]
    networks = tuple(
        MeasuredNetwork(choices=tuple(arch.tolist()), p10_ms=ms, p50_ms=1.5 * ms, p90_ms=2 * ms, count=10)
        for arch, ms in zip(archs, sums_ms, strict=True)
    )
    table = replace(table, networks=networks, calibration=calibration(scale=1.5, error_90=0.5))
    predictor = LatencyPredictor(table, small_space, quantile="p90")
    assert predictor(archs) == pytest.approx(2 * np.array(sums_ms))
    assert LatencyPredictor(table, small_space)(archs) == pytest.approx(1.5 * np.array(sums_ms))
    assert predictor.error_90 == pytest.approx(0, abs=1e-6)
    ops = {**table.ops, **{op: latency(0.5) for op in get_space(small_space.source, resolution=32).distinct_ops}}
    larger = LatencyPredictor(replace(table, ops=ops), get_space(small_space.source, resolution=32), quantile="p90")
    assert larger.error_90 == predictor.error_90  # learnt on the networks of the table's own resolution
    assert larger(archs[:1])[0] == pytest.approx(
        2 * sum(ops[op].p50_ms for op in larger.space.graph(archs[0]).ops), rel=1e-6
    )


def test_the_90th_percentile_is_not_guessed_from_ops(small_space: ChainSpace) -> None:
    table = replace(made_up_table(small_space), calibration=calibration())
    with pytest.raises(TableError, match="p90 of a network is learnt from measured networks"):
        LatencyPredictor(table, small_space, quantile="p90")
