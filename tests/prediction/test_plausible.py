"""Units: the published tables in their own unit and in the wrong ones, and times that no device can have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.errors import TableError
from hwnas.graph.count import cost
from hwnas.graph.graph import Op
from hwnas.ops.foreign import ForeignOp
from hwnas.ops.mbconv import MBConv
from hwnas.prediction.plausible import check_unit, odd_entries, speed
from hwnas.shipped import shipped
from hwnas.tables.importers.foreign import ForeignEntry, ForeignTable, to_latency_table
from hwnas.tables.importers.read import import_foreign
from hwnas.tables.table import LatencyTable

PUBLISHED = ["ofa_note10_224_lookup_table.yaml", "proxylessnas_mobile_lookup_table.yaml"]


def _table(latencies_ms: list[float], unit: str = "ms") -> ForeignTable:
    """Blocks of some 20 million multiply-adds."""
    entries = tuple(
        ForeignEntry(text=str(i), op=_block(40 + i), mean_ms=ms, spread_ms=None, count=None)
        for i, ms in enumerate(latencies_ms)
    )
    return ForeignTable(source="t.csv", sha256="0" * 64, format="csv", unit=unit, assumed="", entries=entries)  # type: ignore[arg-type]


def _block(channels: int) -> Op:
    return MBConv(
        c_in=channels, h_in=28, w_in=28, c_out=channels, kernel=5, stride=1, expansion=6, se=False, act="relu"
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables_are_in_milliseconds(shared_data: Path, name: str) -> None:
    implied = check_unit(import_foreign(shared_data / name))
    assert implied is not None
    assert 1e9 < implied < 1e11  # a phone
    for wrong in ("s", "us"):
        with pytest.raises(TableError, match="in ms it would be plausible"):
            check_unit(import_foreign(shared_data / name, unit=wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(("ms", "right"), [(0.0008, "in s it would"), (800.0, "in us it would")])
def test_blocks_in_no_time_or_forever(ms: float, right: str) -> None:
    with pytest.raises(TableError, match=right) as caught:
        check_unit(_table([ms] * 9))
    assert "t.csv: in ms its ops do " in str(caught.value)


def test_a_few_odd_entries_are_no_wrong_unit() -> None:
    assert check_unit(_table([4.0] * 6 + [0.0008, 800, 800])) is not None


def test_the_median_is_of_multiply_adds_a_second() -> None:
    assert check_unit(_table([2.0])) == pytest.approx(cost(_block(40)).madds / 2e-3)


def test_insisting_has_an_end() -> None:
    assert speed("us", 1.1e13) == (
        "in us its ops do 11,000.000 billion multiply-adds a second (median), devices do 0.05 to 3000 billion; "
        "in ms it would be plausible"
    )
    slow, absurd = _table([800.0] * 5), _table([1e-9] * 5)
    assert check_unit(slow, insisted=True) is not None
    with pytest.raises(TableError, match=r"t.csv: in ms .* devices do 0.05 to 3000 billion; s, ms and us"):
        check_unit(absurd, insisted=True)
    with pytest.raises(TableError, match="all implausible"):
        check_unit(_table([1e-16] * 5), insisted=True)


def test_without_known_ops_nothing_is_said() -> None:
    table = _table([1.0])
    unknown = replace(table.entries[0], op=ForeignOp(c_in=1, h_in=1, w_in=1, c_out=1, text="pool"))
    assert check_unit(replace(table, entries=(unknown,))) is None


_FINE = [2.0 + 0.1 * row for row in range(12)]


@pytest.mark.parametrize(
    ("ms", "words"),
    [(1e-6, "takes 1e-06 ms, 3.9e-07 × what the others"), (2600.0, "takes 2600 ms, 1e+03 × what the others")],
)
def test_an_entry_absurd_beside_its_neighbours_is_named(ms: float, words: str) -> None:
    table = _table([*_FINE[:6], ms, *_FINE[7:]])
    (said,) = odd_entries(to_latency_table(table))
    assert f"[{table.entries[6].op}]" in said
    assert words in said


@pytest.mark.parametrize("ms", [1e-6, 2500.0])
def test_four_entries_are_enough(ms: float) -> None:
    table = _table([1.0, 1.5, ms, 2.1])
    (said,) = odd_entries(to_latency_table(table))
    assert f"[{table.entries[2].op}] takes {ms:.4g} ms" in said


def test_an_entry_without_a_formula_is_held_against_all() -> None:
    table = _table(_FINE)
    for ms, count in ((1e-6, 1), (0.05, 0), (50.0, 0), (2e3, 1)):
        unknown = replace(table.entries[3], op=ForeignOp(c_in=1, h_in=1, w_in=1, c_out=1, text="pool"), mean_ms=ms)
        said = odd_entries(to_latency_table(replace(table, entries=(*table.entries, unknown))))
        assert len(said) == count
        assert all("[foreign pool] takes" in line for line in said)


def test_a_spread_of_five_means_is_named() -> None:
    table = _table(_FINE)
    entries = [
        replace(entry, spread_ms=(5.0 if row == 4 else 1.5) * entry.mean_ms) for row, entry in enumerate(table.entries)
    ]
    assert odd_entries(to_latency_table(replace(table, entries=tuple(entries)))) == [
        f"[{entries[4].op}] has a standard deviation of 5 × its mean: is it right?"
    ]


def test_many_are_told_in_a_few_lines() -> None:
    said = odd_entries(to_latency_table(_table([*[2.0] * 20, *[1e-6] * 8])))
    assert (len(said), said[-1]) == (6, "and 3 more are as odd")


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_is_odd_in_the_published_tables(shared_data: Path, name: str) -> None:
    assert odd_entries(to_latency_table(import_foreign(shared_data / name))) == []


def test_nothing_is_odd_in_measured_tables() -> None:
    for name in (
        "macro-32-onnxruntime-fp32-1t",
        "scarlet-s2-224-onnxruntime-int8-2t",
        "scarlet-s2-224-openvino-int8-1t",
    ):
        assert odd_entries(LatencyTable.load(shipped(f"latency_tables/amd-epyc-2core/{name}.yaml"))) == []
