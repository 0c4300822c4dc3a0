"""``profile`` and ``kit`` as a notebook calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.errors import ConfigError, HwnasError, OutputError, RuntimeMissingError, SpaceError
from hwnas.flow.profile import kit, profile
from hwnas.profiling.kit_file import KitFile
from hwnas.profiling.timer import Effort
from hwnas.space.chain import ChainSpace
from hwnas.tables.device import Conditions
from hwnas.tables.table import LatencyTable


def test_a_space_is_profiled_and_calibrated(small_yaml: Path, small_space: ChainSpace, tmp_path: Path) -> None:
    seen: set[str] = set()
    table = profile(
        small_yaml, networks=5, held_out=2, seconds=0.2, output=tmp_path / "t.yaml",
        progress=lambda what, done, total, note: seen.add(what),
    )  # fmt: skip
    assert table == LatencyTable.load(tmp_path / "t.yaml")
    assert set(table.ops) == set(small_space.distinct_ops)
    assert table.calibration is not None
    assert (len(table.networks), len(table.held_out)) == (5, 2)
    assert table.device.conditions == Conditions(
        runtime="onnxruntime", options=table.device.options, precision="fp32", threads=1, batch=1
    )
    assert seen == {"writing models", "loading", "measuring"}
    with pytest.raises(OutputError, match="exists already"):
        profile(small_yaml, output=tmp_path / "t.yaml")


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"runtime": "no"}, RuntimeMissingError, "no"),
        ({"options": {"no": "1"}}, ConfigError, "option 'no'"),
        ({"threads": 0}, ConfigError, "threads must be at least 1"),
        ({"batch": 0}, ConfigError, "batch must be at least 1"),
        ({"precision": "fp1"}, ConfigError, "runs fp32"),
        ({"networks": 2}, ConfigError, "needs 3 networks"),
        ({"confidence": -1.0}, ConfigError, "confidence must be more than 0"),
        ({"seconds": float("inf")}, ConfigError, "seconds must be more than 0"),
        ({"on": "board"}, ConfigError, "neither ssh://"),
    ],
)
def test_refused(small_space: ChainSpace, asked: dict[str, object], error: type[HwnasError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        profile(small_space, **asked)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_no_such_space() -> None:
    with pytest.raises(SpaceError, match="no space 'x'"):
        profile("x")


def test_a_kit_is_for_its_conditions(small_yaml: Path, tmp_path: Path) -> None:
    asked = Conditions(runtime="onnxruntime", threads=2, batch=3)
    built = kit(small_yaml, tmp_path / "k.pyz", conditions=asked, networks=3, held_out=0, effort=Effort(at_most_s=1.0))
    file = KitFile(tmp_path / "k.pyz")
    assert (file.sha256, len(file.content["models"])) == (built.sha256, built.entries)
    in_force = file.content["plan"]["conditions"]
    assert in_force == {**asked.plain(), "options": in_force["options"]}
    assert in_force["options"]  # the runtime's own
    with pytest.raises(ConfigError, match="no kit for runtime torch"):
        kit(small_yaml, tmp_path / "t.pyz", conditions=Conditions(runtime="torch"), networks=3, held_out=0)
    assert not (tmp_path / "t.pyz").exists()
