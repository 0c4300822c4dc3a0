"""Several tables of one device as one: entries of all, a calibration of all, and what lies between can be predicted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwnas.errors import TableError
from hwnas.graph.count import cost
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.merge import merge
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable, MeasuredNetwork
from tests.tables.make import latency, made_up_table


def _table(space: ChainSpace, networks: int = 8) -> LatencyTable:
    """Of a device where an op takes 10 µs and 1 ms for 100 M multiply-adds, and a network 0.9 × the sum."""
    ops = {op: latency(0.01 + cost(op).madds / 1e8) for op in space.distinct_ops}
    measured = tuple(
        MeasuredNetwork(
            choices=tuple(arch.tolist()),
            **latency(0.9 * sum(ops[op].p50_ms for op in space.graph(arch).ops)).model_dump(),
        )
        for arch in space.sample(networks, seed=0)
    )
    return replace(made_up_table(space), ops=ops, networks=measured)


def test_a_resolution_between_is_interpolated_with_a_calibration_of_all() -> None:
    tables = [_table(get_space("scarlet-s2", resolution)) for resolution in (160, 192, 224)]
    merged = merge(tables)
    assert merged.calibration is not None
    assert merged.calibration.networks == 24
    assert merged.calibration.scale == pytest.approx(0.9, rel=1e-6)
    between = get_space("scarlet-s2", 176)
    archs = between.sample(20, seed=1)
    expected = [0.9 * sum(0.01 + cost(op).madds / 1e8 for op in between.graph(arch).ops) for arch in archs]
    predictor = LatencyPredictor(merged, between)
    assert len(predictor.interpolated) > 100
    assert predictor(archs) == pytest.approx(expected, rel=0.02)


def test_what_several_have_comes_from_the_first(small_space: ChainSpace) -> None:
    first, second = made_up_table(small_space, seed=1), made_up_table(small_space, seed=2)
    assert merge([first, second]).ops == first.ops
    assert merge([second]) is second


def test_an_op_that_failed_in_one_and_ran_in_another_counts_as_measured(small_space: ChainSpace) -> None:
    whole = made_up_table(small_space)
    op = small_space.head
    holey = replace(whole, ops={o: v for o, v in whole.ops.items() if o != op}, failed={op: "no memory"})
    assert op in merge([holey, whole]).ops
    assert not merge([holey, whole]).failed


def test_other_devices_are_refused(small_space: ChainSpace) -> None:
    table = made_up_table(small_space)
    other = replace(table, device=table.device.model_copy(update={"threads": 2}))
    with pytest.raises(TableError, match="threads is 1 in one, 2 in another"):
        merge([table, other])
    same = replace(table, device=table.device.model_copy(update={"clocks": "another governor"}))
    assert np.isclose(merge([table, same]).ops[small_space.stem].p50_ms, table.ops[small_space.stem].p50_ms)


def test_a_table_given_twice_knows_no_more(small_space: ChainSpace) -> None:
    table = _table(small_space)
    assert merge([table, table]) is table
