"""A real table, measured here with the real runtime: complete, tied to its device, and good enough to rank."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.errors import ConfigError, MissingOpError, TableError
from hwnas.prediction.calibrate import calibrate
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.validate import validate, validate_held_out
from hwnas.profiling.machine import usable_cores
from hwnas.profiling.timer import Effort
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.tables.make import measured_table

QUICK = Effort(rounds=4, runs_per_round=3, warmup_runs=1, at_least_s=0, at_most_s=0)


@pytest.fixture(scope="module")
def macro() -> ChainSpace:
    return get_space("macro")


@pytest.fixture(scope="module")
def table(macro: ChainSpace) -> LatencyTable:
    networks, held_out = macro.sample(6, 0), macro.sample(8, 1)
    found = measured_table(macro, networks, QUICK, held_out=held_out)
    return calibrate(found, macro)


def test_every_op_is_measured(table: LatencyTable, macro: ChainSpace) -> None:
    assert set(table.ops) == set(macro.distinct_ops)
    assert {entry.count for entry in table.ops.values()} == {12}
    assert len(table.networks) == 6
    assert len(table.held_out) == 8
    assert all(first.choices == again.choices for first, again in table.held_out)


def test_the_device_and_the_protocol_say_how(table: LatencyTable) -> None:
    assert (table.device.runtime, table.device.threads, table.device.batch) == ("onnxruntime", 1, 1)
    assert table.device.runtime_version
    assert table.protocol is not None
    assert table.space is not None
    assert table.protocol.rounds == 4
    assert table.protocol.affinity
    assert table.protocol.reference in [str(op) for op in table.ops]
    assert table.space.fingerprint == get_space("macro").fingerprint


def test_cost_follows_work(table: LatencyTable, macro: ChainSpace) -> None:
    """k5 e6 does several times the work of k3 e3 on the same shape; no noise turns that around."""
    for _, small, large in macro.layers:
        assert table.ops[large].p50_ms > table.ops[small].p50_ms


def test_validation_reports_consistent_numbers(table: LatencyTable, macro: ChainSpace) -> None:
    found = validate(table, macro, get_runtime("onnxruntime"), networks=12, seed=3, effort=QUICK)
    known = {n.choices for n in table.networks}
    predictor = LatencyPredictor(table, macro)
    assert len({n.choices for n in found.networks}) == 12
    assert not known & {n.choices for n in found.networks}
    errors = []
    for network in found.networks:
        assert predictor(network.choices)[0] == network.predicted_ms
        errors.append(network.predicted_ms * 2 / (network.measured_ms + network.measured_again_ms) - 1)
    assert found.mape == pytest.approx(np.abs(errors).mean())
    assert found.within_10 == pytest.approx((np.abs(errors) <= 0.1).mean())
    held_out = validate_held_out(table, macro)
    assert len(held_out.networks) == 8
    assert held_out.drift is None
    assert found.spearman > 0.5  # macro's latencies spread over a factor of 5: only a broken table ranks them badly


def test_validation_needs_new_networks(table: LatencyTable, macro: ChainSpace) -> None:
    with pytest.raises(TableError, match="too few"):
        validate(table, macro, get_runtime("onnxruntime"), networks=6560, seed=0)
    with pytest.raises(MissingOpError):
        validate(table, get_space("macro", resolution=64), get_runtime("onnxruntime"), networks=5, seed=0)


@pytest.mark.parametrize("threads", [0, -1, usable_cores() + 1])
def test_threads_this_machine_has_not(macro: ChainSpace, threads: int) -> None:
    with pytest.raises(ConfigError, match="threads must be"):
        measured_table(macro, [], QUICK, threads=threads)
