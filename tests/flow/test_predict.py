"""``predict`` takes a table or its file, and archs as people have them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import ArchError, TableError
from hwnas.flow.predict import predict
from hwnas.prediction.costs import model_mb, peak_activation_mb
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.tables.make import calibration, made_up_table


@pytest.fixture(scope="module")
def tiny() -> ChainSpace:
    return get_space("scarlet-tiny")


@pytest.fixture(scope="module")
def table(tiny: ChainSpace) -> LatencyTable:
    return replace(made_up_table(tiny), calibration=calibration(scale=0.9))


def test_archs_as_people_have_them(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    table.save(tmp_path / "t.yaml")
    archs = tiny.sample(4, 0)
    arch = Arch(tiny, tuple(archs[0].tolist()))
    expected = LatencyPredictor(table, tiny)
    for asked in (archs, list(archs), [archs[:1], archs[1:]], archs.tolist(), [arch, archs[1], archs[2:]]):
        for given in (table, tmp_path / "t.yaml", str(tmp_path / "t.yaml"), [table]):
            found = predict(given, asked)
            assert found.choices.tolist() == archs.tolist()
            assert found.latency_ms.tolist() == expected(archs).tolist()
    assert found.archs[0] == arch
    assert found.interval_ms is not None
    assert np.array_equal(found.interval_ms, expected.interval(archs))
    assert found.model_mb.tolist() == model_mb(tiny)(archs).tolist()
    assert found.peak_activation_mb.tolist() == peak_activation_mb(tiny)(archs).tolist()
    assert found.interpolated == ((), (), (), ())
    assert found.device == table.device
    for one in (arch, str(arch), archs[0]):
        assert predict(table, one).latency_ms.tolist() == found.latency_ms[:1].tolist()


def test_several_tables_are_merged(table: LatencyTable, tiny: ChainSpace) -> None:
    other = made_up_table(get_space("scarlet-tiny", resolution=64), seed=1)
    found = predict([other, table], tiny.sample(2, 0))
    assert found.space.resolution == 64
    assert found.interval_ms is None
    at = predict([other, table], tiny.sample(2, 0), resolution=tiny.resolution)
    assert at.space == tiny


def test_what_is_no_arch_of_the_table(table: LatencyTable, tiny: ChainSpace) -> None:
    with pytest.raises(ArchError, match="different spaces"):
        predict(table, [tiny.sample(1, 0), Arch(get_space("scarlet-tiny", resolution=64), (0,) * 8)])
    with pytest.raises(ArchError, match="choices"):
        predict(table, np.zeros((2, 3), dtype=np.int64))
    with pytest.raises(TableError, match="covers no space"):
        predict(replace(table, space=None), "scarlet-a")
