"""The kernel model on a made-up device with a known law, and on the measured tables that hwnas ships."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hwnas.errors import MissingOpError, TableError
from hwnas.graph.count import cost
from hwnas.graph.graph import Op
from hwnas.ops.downsample import Downsample
from hwnas.ops.head import Head
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stem import Stem
from hwnas.prediction.interpolate import KernelModel, costs
from hwnas.shipped import shipped
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable

SPACE = get_space("scarlet-s2")
TABLES = sorted(shipped("latency_tables").glob("*/*.yaml"))


def roofline_ms(op: Op) -> float:
    """A device: 20 µs a call, 50 G multiply-adds/s, and 20 GB/s, a third of it beyond 1 MB (a cache's end)."""
    moved_bytes = 4 * (op.c_in * op.h_in * op.w_in + int(np.prod(op.out_shape)) + cost(op).params)
    if isinstance(op, MBConv):
        moved_bytes += 8 * op.hidden * op.h_in * op.w_in * (1 + op.se)
    return 0.02 + cost(op).madds / 50e6 + moved_bytes / (20e6 if moved_bytes < 1e6 else 20e6 / 3)


@cache
def measured(*resolutions: int) -> dict[Op, float]:
    """The device's times of all ops of the space, with 2 % of noise."""
    rng = np.random.default_rng(sum(resolutions))
    ops = [op for resolution in resolutions for op in get_space("scarlet-s2", resolution).distinct_ops]
    return {op: roofline_ms(op) * float(np.exp(0.02 * rng.standard_normal())) for op in ops}


@cache
def fitted() -> KernelModel:
    return KernelModel(measured(160, 192, 224))


def test_a_resolution_that_was_never_profiled() -> None:
    space = get_space("scarlet-s2", 176)
    estimates = {op: fitted().predict_ms(op) for op in space.distinct_ops}
    true_ms = {op: roofline_ms(op) for op in space.distinct_ops}
    errors = {op: abs(estimates[op].latency_ms / true_ms[op] - 1) for op in space.distinct_ops}
    assert np.mean(list(errors.values())) <= 0.05
    assert np.mean([errors[op] <= estimates[op].error_90 for op in errors]) > 0.85
    networks = [space.graph(arch).ops for arch in space.sample(200, seed=0)]
    predicted_ms = np.array([sum(estimates[op].latency_ms for op in ops) for ops in networks])
    networks_ms = np.array([sum(true_ms[op] for op in ops) for ops in networks])
    assert np.abs(predicted_ms / networks_ms - 1).mean() <= 0.03
    assert spearmanr(predicted_ms, networks_ms).statistic >= 0.97


@cache
def without_widths(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of a measured table, one number of channels after the other is taken out, wherever it is read or written: the
    errors of the ops that are gone, predicted from the rest, and whether each is within its interval."""
    entries = {op: latency.p50_ms for op, latency in LatencyTable.load(path).ops.items() if isinstance(op, MBConv)}
    errors, within = [], []
    for width in {op.c_out for op in entries}:
        unseen = [op for op in entries if width in (op.c_in, op.c_out)]
        model = KernelModel({op: ms for op, ms in entries.items() if op not in unseen})
        for op in unseen:
            estimate = model.predict_ms(op)
            errors.append(abs(estimate.latency_ms / entries[op] - 1))
            within.append(errors[-1] <= estimate.error_90)
    return np.array(errors), np.array(within)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_width_that_is_not_in_a_measured_table(path: Path) -> None:
    assert np.median(without_widths(path)[0]) <= 0.10


def test_the_interval_of_ops_that_are_not_in_a_table() -> None:
    """Over all measured tables: those of one table err alike, for they all go by the same few widths that are left."""
    within = np.concatenate([without_widths(path)[1] for path in TABLES])
    assert 0.82 <= within.mean() <= 0.97


@pytest.mark.parametrize("entries", ["made up", *TABLES], ids=lambda name: getattr(name, "stem", name))
def test_twice_as_much_takes_longer(entries: str) -> None:
    if entries == "made up":
        model, ops = fitted(), SPACE.distinct_ops
    else:
        table = LatencyTable.load(entries)
        model = KernelModel({op: latency.p50_ms for op, latency in table.ops.items()})
        ops = get_space(table.space.source).distinct_ops
    for op in ops:
        if not isinstance(op, MBConv):
            continue
        wider = replace(op, c_in=2 * op.c_in, c_out=2 * op.c_out)
        larger = replace(op, h_in=2 * op.h_in, w_in=2 * op.w_in)
        for more in (wider, larger, replace(op, expansion=2 * op.expansion)):
            assert model.predict_ms(more).latency_ms > 1.2 * model.predict_ms(op).latency_ms, more


@given(
    st.builds(
        MBConv, c_in=st.integers(1, 4096), h_in=st.integers(1, 2048), w_in=st.integers(1, 2048),
        c_out=st.integers(1, 4096), kernel=st.sampled_from([1, 3, 5, 7, 9]), stride=st.integers(1, 4),
        expansion=st.sampled_from([1.0, 1.5, 6.0]), se=st.booleans(), act=st.just("hswish"),
    )
)  # fmt: skip
def test_no_op_is_free(op: Op) -> None:
    estimate = fitted().predict_ms(op)
    assert 0 < estimate.latency_ms < np.inf
    assert 0 < estimate.error_90 < np.inf


def test_farther_from_the_table_the_error_is_wider() -> None:
    op = next(op for op in SPACE.distinct_ops if isinstance(op, MBConv))
    errors = [fitted().predict_ms(replace(op, c_in=factor * op.c_in)).error_90 for factor in (1, 4, 64)]
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[0]


def test_only_the_own_kind_and_activation_answer() -> None:
    ops = [op for op in SPACE.distinct_ops if isinstance(op, MBConv)][:20]
    model = KernelModel({op: roofline_ms(op) for op in ops} | {SPACE.distinct_ops[0]: 1.0})
    with pytest.raises(MissingOpError, match=r"no model for \[mbconv .*: 0 entries of mbconv relu6, 2 are needed"):
        model.predict_ms(replace(ops[0], act="relu6"))
    with pytest.raises(MissingOpError, match="1 entry of stem relu6, 2 are needed; profile"):
        model.predict_ms(SPACE.distinct_ops[0])
    with pytest.raises(MissingOpError, match="0 entries of downsample"):
        model.predict_ms(Downsample(c_in=8, h_in=8, w_in=8, c_out=16, stride=2))


@pytest.mark.parametrize("ms", [0.0, -1.0, float("nan"), float("inf")])
def test_a_latency_that_is_none(ms: float) -> None:
    op = Downsample(c_in=8, h_in=8, w_in=8, c_out=16, stride=2)
    with pytest.raises(TableError, match=r"\[downsample .*\] takes .* ms; a latency must be a positive number"):
        KernelModel({op: ms})


def test_costs_hold_all_multiply_adds() -> None:
    """Those of a block's parts add up to what is counted elsewhere."""
    for op in SPACE.distinct_ops:
        if isinstance(op, MBConv):
            *parts, squeeze_excite = np.array(costs(op))[[1, 2, 3, -1]]
            assert sum(parts) + squeeze_excite == cost(op).madds
        elif isinstance(op, Stem | Head):
            assert costs(op)[1] == cost(op).madds


def test_order_of_entries_is_nothing() -> None:
    entries = measured(224)
    shuffled = dict(reversed(entries.items()))
    op = next(op for op in get_space("scarlet-s2", 160).distinct_ops if isinstance(op, MBConv))
    first, again = KernelModel(entries).predict_ms(op), KernelModel(shuffled).predict_ms(op)
    assert first == pytest.approx(again, rel=1e-6)
