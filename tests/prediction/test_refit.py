"""Networks measured again with the real runtime: what is added to a table, what it then says, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwnas.errors import ConfigError, HwnasError, ModelError, RuntimeMissingError, TableError
from hwnas.ops.stabilizer import Stabilizer
from hwnas.prediction.calibrate import calibrate, calibration_of
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.refit import TableMeter, check_measurable
from hwnas.profiling.plan import network_model
from hwnas.profiling.timer import Effort
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.prediction.recording import Recording, convolutions
from tests.spaces import keeping
from tests.tables.make import measured_table

QUICK = Effort(rounds=4, runs_per_round=2, warmup_runs=1, at_least_s=0, at_most_s=0)


@pytest.fixture(scope="module")
def tiny() -> ChainSpace:
    return get_space("scarlet-tiny", 16, classes=10)


@pytest.fixture(scope="module")
def table(tiny: ChainSpace) -> LatencyTable:
    found = measured_table(tiny, tiny.sample(6, 0), QUICK)
    return calibrate(found, tiny)


def meter_of(table: LatencyTable, space: ChainSpace, runtime: OnnxRuntime, *, stabilizers: bool = True) -> TableMeter:
    objectives: dict[str, Any] = {"latency_ms": "p50", "latency_p90_ms": "p90"}
    return TableMeter(table, keeping(space, stabilizers), runtime, objectives, effort=QUICK, seed=3)


def test_what_is_measured_is_added_and_fitted(table: LatencyTable, tiny: ChainSpace) -> None:
    meter, archs = meter_of(table, tiny, OnnxRuntime()), tiny.sample(5, 7)
    first = meter.measure(archs[:3])
    second = meter.measure(archs[3:])
    values = np.concatenate([first, second])
    assert values.shape == (5, 2)
    assert (np.isfinite(values) & (values > 0)).all()
    added = meter.table.added
    assert [network.choices for network in added] == [tuple(arch) for arch in archs.tolist()]
    assert values.tolist() == [[network.p50_ms, network.p90_ms] for network in added]
    assert len({network.drift for network in added[:3]}) == len({network.drift for network in added[3:]}) == 1
    assert all(network.drift > 0 and network.stabilizers and network.count == 8 for network in added)
    assert (meter.table.networks, meter.table.ops, meter.table.protocol) == (table.networks, table.ops, table.protocol)
    assert meter.table.calibration == calibration_of(meter.table, tiny)
    assert meter.table.calibration is not None
    assert meter.table.calibration.networks == 6 + 5
    for column, quantile in enumerate(("p50", "p90")):
        expected = LatencyPredictor(meter.table, tiny.inheriting(), quantile=quantile)(archs)
        assert meter.predict(archs)[:, column].tolist() == expected.tolist()


def test_the_drift_is_that_of_the_tables_own_networks(table: LatencyTable, tiny: ChainSpace) -> None:
    """A table that says its networks took a tenth: all that is measured now is divided by 10 times the drift."""
    then = [
        n.model_copy(update={k: getattr(n, k) / 1000 for k in ("p50_ms", "p10_ms", "p90_ms")}) for n in table.networks
    ]
    meter = meter_of(replace(table, networks=tuple(then)), tiny, OnnxRuntime())
    values = meter.measure(tiny.sample(2, 7))
    assert all(network.drift > 100 for network in meter.table.added)
    assert (values < max(n.p90_ms for n in table.networks) / 10).all()


def test_an_arch_measured_again_later_replaces_what_was_added(table: LatencyTable, tiny: ChainSpace) -> None:
    archs = tiny.sample(3, 7)
    meter = meter_of(table, tiny, OnnxRuntime())
    meter.measure(archs)
    again = meter_of(meter.table, tiny, OnnxRuntime())
    again.measure(archs[1:])
    assert [network.choices for network in again.table.added] == [tuple(arch) for arch in archs.tolist()]
    assert again.table.added[0] == meter.table.added[0]
    assert [again.latency[n.choices] for n in again.table.added[1:]] == list(again.table.added[1:])
    assert again.left_out_ms("latency_ms").keys() == again.latency.keys()


def test_networks_have_their_stabilizers_and_the_tables_own_have_none(small_space: ChainSpace) -> None:
    def kept(arch: np.ndarray) -> int:
        return sum(isinstance(op, Stabilizer) for op in small_space.inheriting().graph(arch).ops)

    archs = small_space.sample(40, 1)
    archs = np.array(sorted(archs.tolist(), key=kept))  # from none at all to several
    own, others = archs[-4:], archs[:-4:3]
    assert min(map(kept, own)) > 0 == kept(others[0]) < kept(others[-1])
    table = calibrate(measured_table(small_space, own, QUICK), small_space)
    plain = [convolutions(network_model(small_space, arch).data) for arch in [*others, *own]]
    for stabilizers in (False, True):
        runtime = Recording()
        meter = meter_of(table, small_space, runtime, stabilizers=stabilizers)
        meter.measure(others)
        more = [kept(arch) * stabilizers for arch in others] + [0] * len(own)
        assert runtime.convolutions == [a + b for a, b in zip(plain, more, strict=True)]
        assert {network.stabilizers for network in meter.table.added} == {stabilizers}


def test_a_network_that_the_runtime_cannot_run_is_told_and_the_rest_goes_on(
    table: LatencyTable, tiny: ChainSpace
) -> None:
    archs = tiny.sample(4, 7)
    meter = meter_of(table, tiny, Recording(broken=(1, 4)))  # the second network, and the table's first
    values = meter.measure(archs)
    assert np.isnan(values).all(axis=1).tolist() == [False, True, False, False]
    assert meter.failed == {tuple(archs[1].tolist()): "no such kernel"}
    assert len(meter.table.added) == len(meter.latency) == 3


def test_no_network_runs_and_the_table_stays(table: LatencyTable, tiny: ChainSpace) -> None:
    meter = meter_of(table, tiny, Recording(broken=(0, 1)))
    assert np.isnan(meter.measure(tiny.sample(2, 7))).all()
    assert (meter.table, meter.left_out_ms("latency_ms")) == (table, {})


def test_without_the_tables_own_networks_nothing_can_be_compared(table: LatencyTable, tiny: ChainSpace) -> None:
    meter = meter_of(table, tiny, Recording(broken=tuple(range(2, 8))))
    with pytest.raises(ModelError, match="own networks"):
        meter.measure(tiny.sample(2, 7))


def test_left_out_predictions_are_those_of_a_table_without_the_network(table: LatencyTable, tiny: ChainSpace) -> None:
    meter = meter_of(table, tiny, OnnxRuntime())
    archs = tiny.sample(6, 7)
    meter.measure(archs)
    for objective, quantile in (("latency_ms", "p50"), ("latency_p90_ms", "p90")):
        found = meter.left_out_ms(objective)
        for index, arch in enumerate(archs):
            rest = tuple(n for i, n in enumerate(meter.table.added) if i != index)
            without = calibrate(replace(meter.table, added=rest), tiny)
            predictor = LatencyPredictor(without, tiny.inheriting(), quantile=quantile)  # type: ignore[arg-type]
            assert found[tuple(arch.tolist())] == pytest.approx(predictor(arch)[0], rel=1e-9)


def test_a_table_of_this_machine_is_measurable(table: LatencyTable) -> None:
    assert check_measurable(table).name == "onnxruntime"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"hardware": "an abacus"}, TableError, "hardware is an abacus there"),
        ({"os": "CP/M z80"}, TableError, "os is CP/M z80"),
        ({"cores": 4096}, TableError, "cores is 4096"),
        ({"runtime_version": "0.0.1"}, TableError, "runtime_version is 0.0.1 there and 1"),
        ({"threads": 10_000}, ConfigError, "threads"),
        ({"runtime": "tensorflow-9"}, RuntimeMissingError, "tensorflow-9"),
        ({"options": {"provider": "quantum"}}, ConfigError, "quantum"),
    ],
)
def test_a_table_of_another_device_is_refused(
    table: LatencyTable, change: dict[str, Any], error: type[HwnasError], words: str
) -> None:
    other = replace(table, device=table.device.model_copy(update=change))
    with pytest.raises(error, match=words) as caught:
        check_measurable(other)
    assert "\n" not in str(caught.value)


def test_a_table_without_networks_of_its_own_is_refused(table: LatencyTable) -> None:
    with pytest.raises(TableError, match="fewer than 3 networks"):
        check_measurable(replace(table, networks=table.networks[:2]))


def test_clocks_may_differ(table: LatencyTable) -> None:
    check_measurable(replace(table, device=table.device.model_copy(update={"clocks": "governor powersave"})))
