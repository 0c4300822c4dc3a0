"""What a notebook shows of objects, offers of them, and gives to them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

import hwnas
from hwnas.profiling.kit import Kit

TABLES = Path(__file__).parents[2] / "latency_tables"
TABLE = hwnas.LatencyTable.load(sorted(TABLES.glob("*/scarlet-s2-224-onnx*.yaml"))[0])
SPACE = TABLE.get_space()
ARCHS = SPACE.sample(50, 0)


def _found() -> hwnas.SearchResult:
    return hwnas.search(SPACE, [hwnas.Objective("size", lambda archs: archs.sum(axis=1), free=True)], evaluations=40)


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (SPACE, ("<ChainSpace scarlet-s2 at 224 px with 1000 classes: 19 decisions, ",)),
        (SPACE.inheriting(), ("inherited weights",)),
        (hwnas.Arch(SPACE, tuple(ARCHS[0].tolist())), (f"<Arch scarlet-s2:{ARCHS[0, 0]},", "224 px")),
        (TABLE, ("LatencyTable(device=Device(hardware=", f"({len(TABLE.ops):,} in all), space=")),
        (SPACE.graph(ARCHS[0]), ("Graph(in_shapes=((3, 224, 224),), ",)),
        (hwnas.predict(TABLE, ARCHS), ("space=<ChainSpace scarlet-s2", "latency_ms=array([", "(50 in all)")),
        (hwnas.count("scarlet-a"), ("ArchCount(arch=<Arch scarlet-s2:", "Count(madds=")),
        (hwnas.LatencyPredictor(TABLE, SPACE), (f"on {TABLE.device}: ±", "0 ops interpolated")),
        (_found(), ("problem=Problem(space=<ChainSpace", "strategy='nsga2'")),
        (_found().to_record(), ("SearchRecord(space=SpaceRef(source='scarlet-s2'", "(40 in all)")),
        (_found().to_front(), ("Front(",)),
        (Kit(bytes(10**6), "0" * 64, 3, 0), ("entries=3",)),
    ],
    ids=lambda given: "" if isinstance(given, tuple) else type(given).__name__,
)
def test_a_few_lines_show_an_object(shown: Any, told: tuple[str, ...]) -> None:
    text = repr(shown)
    assert len(text) < 1300
    assert "\n" not in text
    for part in told:
        assert part in text


def test_what_is_short_is_shown_as_it_is() -> None:
    assert repr(hwnas.Conditions(runtime="torch", threads=2)) == (
        "Conditions(runtime='torch', options={}, precision='fp32', threads=2, batch=1)"
    )
    assert repr(TABLE.device) == f"Device({', '.join(f'{name}={each!r}' for name, each in TABLE.device)})"


def test_a_record_offers_its_own_names() -> None:
    record = _found().to_record()
    offered = {name for name in dir(record) if not name.startswith("_")}
    assert {"front", "winner", "values", "write", "read", "SCHEMA"} <= offered
    assert not offered & set(dir(BaseModel))
    assert all(hasattr(record, name) for name in offered)


def test_flow_offers_its_modules_before_they_are_imported() -> None:
    words = "import hwnas.flow; before = dir(hwnas.flow); print(hwnas.flow.table.import_table.__name__, *before)"
    name, *modules = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=True
    ).stdout.split()
    assert name == "import_table"
    assert {"profile", "table", "artifact", "carry_out"} <= set(modules)


def test_a_configuration_takes_numpys_numbers_and_paths(tmp_path: Path) -> None:
    config = hwnas.TrainConfig(
        data=Path("photos"),  # type: ignore[arg-type]
        epochs=np.int64(2),  # type: ignore[arg-type]
        learning_rate=np.float32(0.5),  # type: ignore[arg-type]
        tensorboard=np.bool_(True),  # type: ignore[arg-type]
        learner=hwnas.NetworkConfig(network=Path("model"), teacher="supernet"),  # type: ignore[arg-type]
    )
    assert config == hwnas.TrainConfig(
        data="photos", epochs=2, learning_rate=0.5, tensorboard=True,
        learner=hwnas.NetworkConfig(network="model", teacher=Path("supernet")),
    )  # fmt: skip
    assert type(config.epochs) is int
    assert "epochs: 2\n" in config.to_yaml()
    assert hwnas.Conditions(runtime="torch", threads=np.int64(2)).threads == 2  # type: ignore[arg-type]
