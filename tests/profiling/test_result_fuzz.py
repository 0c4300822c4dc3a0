"""Damaged tables, results and kits: a typed error of one line each, or what can be trusted."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import KitError
from hwnas.prediction.calibrate import calibrate_if_enough
from hwnas.profiling import kit_main
from hwnas.profiling.kit_file import KitFile, seal
from hwnas.profiling.returned import Returned, read_result
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.conftest import SMALL_SPACE
from tests.fuzzing import EXAMPLES, FUZZ, damage, mutate, one_line_or_nothing
from tests.profiling.kits import small_kit


class World:
    """A whole kit, its result and its table, small enough to be read thousands of times."""

    def __init__(self, folder: Path) -> None:
        (folder / "small.yaml").write_text(SMALL_SPACE)
        self.space: ChainSpace = get_space(str(folder / "small.yaml"))
        self.kit = small_kit(self.space, seconds=0.05, networks=3, held_out=2).data
        (folder / "kit.pyz").write_bytes(self.kit)
        self.path = folder / "result.json"
        assert kit_main.main(str(folder / "kit.pyz"), ["-o", str(self.path)]) == 0
        self.raw = json.dumps(json.loads(self.path.read_bytes()), separators=(",", ":")).encode()
        self.result: dict[str, Any] = json.loads(self.raw)
        self.returned = read_result(self.path)
        self.text = calibrate_if_enough(self.returned.table, self.space).to_yaml()
        self.table: dict[str, Any] = yaml.safe_load(self.text)
        self.scratch = folder / "scratch"

    def read(self, content: bytes) -> Returned | None:
        self.scratch.write_bytes(content)
        with one_line_or_nothing():
            return read_result(self.scratch)
        return None


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("fuzz"))


def check_numbers(table: LatencyTable) -> None:
    """What every table that is taken in must be."""
    networks = [*table.networks, *(network for pair in table.held_out for network in pair)]
    for entry in (*table.ops.values(), *networks):
        assert 0 < entry.p10_ms <= entry.p50_ms <= entry.p90_ms <= 1e7
        assert entry.count > 0
    assert not table.ops.keys() & table.failed.keys()
    assert LatencyTable.from_dict(yaml.safe_load(table.to_yaml()), "again") == table


@settings(FUZZ, max_examples=2 * EXAMPLES)
@given(st.data())
def test_results_damaged_on_their_way(world: World, data: st.DataObject) -> None:
    found = world.read(damage(data.draw, world.raw))  # type: ignore[arg-type]
    assert found is None or found == world.returned


@settings(FUZZ, max_examples=2 * EXAMPLES)
@given(st.data())
def test_results_edited(world: World, data: st.DataObject) -> None:
    changed = mutate(data.draw, world.result)  # type: ignore[arg-type]
    found = world.read(json.dumps(changed).encode())
    assert found is None or (found == world.returned and changed == world.result)


@settings(FUZZ, max_examples=2 * EXAMPLES)
@given(st.data())
def test_results_edited_and_sealed_again(world: World, data: st.DataObject) -> None:
    changed = mutate(data.draw, world.result)  # type: ignore[arg-type]
    with suppress(ValueError):  # not finite: no seal fits
        changed["sha256"] = seal(changed)
    found = world.read(json.dumps(changed).encode())
    if found:
        check_numbers(found.table)
        assert {*found.table.ops, *found.table.failed} == set(world.space.distinct_ops)


@settings(FUZZ, max_examples=2 * EXAMPLES)
@given(st.data())
def test_tables_edited(world: World, data: st.DataObject) -> None:
    changed = mutate(data.draw, world.table)  # type: ignore[arg-type]
    with one_line_or_nothing():
        check_numbers(LatencyTable.from_dict(changed, "edited"))


@settings(FUZZ, max_examples=EXAMPLES)
@given(st.data())
def test_tables_damaged(world: World, data: st.DataObject) -> None:
    world.scratch.write_bytes(damage(data.draw, world.text.encode()))  # type: ignore[arg-type]
    with one_line_or_nothing():
        check_numbers(LatencyTable.load(world.scratch))


@settings(FUZZ, max_examples=EXAMPLES)
@given(st.data())
def test_kits_damaged(world: World, data: st.DataObject) -> None:
    world.scratch.write_bytes(damage(data.draw, world.kit))  # type: ignore[arg-type]
    with one_line_or_nothing():
        kit = KitFile(world.scratch)
        whole = KitFile(world.path.with_name("kit.pyz"))
        assert kit.content == whole.content
        for entry in range(len(kit.content["models"])):
            assert kit.model(entry) == whole.model(entry)


def zipped(*files: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files:
            archive.writestr(file, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def a_link() -> zipfile.ZipInfo:
    file = zipfile.ZipInfo("models/0000.bin")
    file.external_attr = 0o120777 << 16
    return file


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([("../models/0000.bin", b"")], "has a name that no file of a kit has"),
        ([("/etc/passwd.py", b"")], "has a name that no file of a kit has"),
        ([("C:\\x.py", b"")], "has a name that no file of a kit has"),
        ([("hwnas/../../x.py", b"")], "has a name that no file of a kit has"),
        ([("models/", b"")], "has a name that no file of a kit has"),
        ([("kit.json", b"{}"), ("kit.json", b"[]")], "is there twice"),
        ([(a_link(), b"/etc/passwd")], "is a link"),
        ([("kit.json", b"[" * 100_000)], "is damaged"),
        ([("kit.json", b"{}")], "is damaged"),
        ([("kit.json", b'{"schema": "hwnas-kit/7"}')], "has schema 'hwnas-kit/7'"),
        ([("other.py", b"")], "kit.json is missing"),
    ],
)
def test_archives_that_no_kit_is(
    tmp_path: Path, files: list[tuple[zipfile.ZipInfo | str, bytes]], reason: str
) -> None:  # fmt: skip
    (tmp_path / "kit.pyz").write_bytes(zipped(*files))
    with pytest.raises(KitError, match=reason):
        KitFile(tmp_path / "kit.pyz")


@pytest.mark.parametrize("content", [b"not a zip file", b"", b"PK\x05\x06"])
def test_files_that_no_archive_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kit.pyz").write_bytes(content)
    with pytest.raises(KitError, match="isn't a kit, or is damaged"):
        KitFile(tmp_path / "kit.pyz")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "kit.pyz").write_bytes(zipped(("kit.json", bytes(100 << 20))))
    with pytest.raises(KitError, match="would unpack to 104857600 bytes"):
        KitFile(tmp_path / "kit.pyz")


def test_a_lie_about_the_size(tmp_path: Path) -> None:
    """A small size in the directory, more in the data: what comes out is held against its hash."""
    content = bytearray(zipped(("kit.json", b'{"schema": "hwnas-kit/3", "sources": {}, "models": []}')))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (5).to_bytes(4, "little")
    (tmp_path / "kit.pyz").write_bytes(bytes(content))
    with pytest.raises(KitError, match=r"is missing or damaged|is damaged"):
        KitFile(tmp_path / "kit.pyz")
