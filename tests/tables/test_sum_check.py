"""Computed or measured: sums of a real table in every disguise, and the real measurements beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tflite_csv import read_networks, read_ops

from hwnas.errors import TableError
from hwnas.shipped import shipped
from hwnas.space.chain import ChainSpace
from hwnas.tables.sum_check import SumCheck, check_networks, sums_of_table
from hwnas.tables.table import LatencyTable, MeasuredNetwork
from tests.tables.make import latency, made_up_table

SUMS_MS = np.random.default_rng(0).uniform(8, 14, 200)


def test_the_sums_themselves() -> None:
    found = sums_of_table(SUMS_MS, SUMS_MS)
    assert found.computed
    assert (found.share_within, found.share_exact, found.decimals) == (1, 1, None)
    assert (found.factor, found.offset_ms) == pytest.approx((1, 0), abs=1e-9)
    assert str(found).startswith("computed, not measured: 100% of 200 networks")


@given(st.integers(1, 6), st.integers(0, 2**32))
def test_rounded_sums(decimals: int, seed: int) -> None:
    sums = np.random.default_rng(seed).uniform(8, 14, 60)
    found = sums_of_table(np.round(sums, decimals), sums)
    assert found.computed
    assert found.share_exact == 1
    assert found.decimals is not None
    assert found.decimals <= decimals


@given(st.floats(0.3, 3), st.floats(-2, 20), st.sampled_from([2, 3, 9]))
def test_a_factor_and_an_offset(factor: float, offset_ms: float, decimals: int) -> None:
    found = sums_of_table(np.round(factor * SUMS_MS + offset_ms, decimals), SUMS_MS)
    assert found.computed
    assert found.factor == pytest.approx(factor, abs=0.01)
    assert found.offset_ms == pytest.approx(offset_ms, abs=0.1)


def test_a_few_that_differ_do_not_hide_the_rest() -> None:
    claimed = 0.9 * SUMS_MS + 1
    claimed[::25] *= 1.3
    found = sums_of_table(claimed, SUMS_MS)
    assert found.computed
    assert found.share_within == 0.96
    assert (found.factor, found.offset_ms) == pytest.approx((0.9, 1))


@pytest.mark.parametrize("noise", [0.005, 0.01, 0.03])
@pytest.mark.parametrize("seed", range(20))
def test_noise_is_a_measurement(noise: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    measured = 0.9 * SUMS_MS * np.exp(rng.normal(0, noise, len(SUMS_MS)))
    found = sums_of_table(np.round(measured, 3), SUMS_MS)
    assert not found.computed
    assert found.share_within < 0.3
    assert str(found).startswith("not the sums of a table")


@pytest.mark.parametrize("measured", [SUMS_MS[:4], np.full(50, 9.0), 9 + 1e-4 * SUMS_MS])
def test_too_few_or_too_alike_to_tell(measured: np.ndarray) -> None:
    found = sums_of_table(measured, SUMS_MS[: len(measured)])
    assert not found.computed
    assert "too few or too alike" in str(found)


def test_equal_sums_tell_nothing() -> None:
    assert not sums_of_table(SUMS_MS, np.full(len(SUMS_MS), 9.0)).enough


@pytest.mark.parametrize(
    ("measured", "sums", "message"),
    [
        ([1.0, 2.0], [1.0], "2 networks against 1 sums"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "one sum for each network"),
        ([1.0, float("nan")], [1.0, 2.0], "isn't a positive number"),
        ([1.0, 2.0], [1.0, 0.0], "isn't a positive number"),
    ],
)
def test_what_cannot_be_compared(measured: list[float], sums: list[float], message: str) -> None:
    with pytest.raises(TableError, match=message):
        sums_of_table(measured, sums)


def _with_networks(space: ChainSpace, noise: float) -> LatencyTable:
    table, rng = made_up_table(space), np.random.default_rng(1)
    networks = []
    for arch in space.sample(30, seed=2):
        total_ms = sum(table.ops[op].p50_ms for op in space.graph(arch).ops) * (1 + noise * rng.normal())
        networks.append(MeasuredNetwork(choices=tuple(arch.tolist()), **latency(round(total_ms, 4)).model_dump()))
    return replace(table, networks=tuple(networks))


def test_a_tables_own_networks(small_space: ChainSpace) -> None:
    assert check_networks(_with_networks(small_space, noise=0)).share_exact == 1
    assert check_networks(_with_networks(small_space, noise=0)).computed
    assert not check_networks(_with_networks(small_space, noise=0.01)).computed


def test_a_table_that_cannot_be_summed(small_space: ChainSpace) -> None:
    table = _with_networks(small_space, noise=0)
    with pytest.raises(TableError, match="says no space"):
        check_networks(replace(table, space=None))
    assert check_networks(replace(table, ops={op: v for op, v in table.ops.items() if op != small_space.stem})) == (
        SumCheck(0, 1.0, 0.0, None, 0.0, 0.0, enough=False)
    )


@pytest.mark.parametrize("device", ["pixel4|gpu", "mi8se|gpu", "a03s|gpu"])
def test_published_phone_networks_were_measured(shared_data: Path, device: str) -> None:
    """Their sums of ops rank networks at ρ > 0.99, and still they scatter."""
    sums_ms: dict[str, float] = {}
    for op in read_ops(shared_data / "mobile_tflite_ops.csv", device).ops:
        sums_ms[op.network] = sums_ms.get(op.network, 0.0) + (op.latency_ms or 0.0)
    networks = read_networks(shared_data / "mobile_tflite_networks.csv", device).networks
    found = sums_of_table([n.mean_ms for n in networks], [sums_ms[n.name] for n in networks])
    assert not found.computed
    assert found.share_within < 0.2


@pytest.mark.parametrize("path", sorted(shipped("latency_tables").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_shipped_networks_were_measured(path: Path) -> None:
    found = check_networks(LatencyTable.load(path))
    assert not found.computed
    assert found.share_within < 0.5
