"""5,000 damaged tables, results and kits: a typed error of one line each, or what can be trusted."""

from __future__ import annotations

import copy
import io
import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas.errors import HwnasError, KitError
from hwnas.prediction.calibrate import calibrate_if_enough
from hwnas.profiling import kit_main
from hwnas.profiling.kit_file import KitFile, seal
from hwnas.profiling.result import Returned, read_result
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.conftest import SMALL_SPACE
from tests.profiling.kits import small_kit

FUZZ = settings(
    max_examples=1000, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip

ODD = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 1, 2, 7, 10**30, -(10**30), 0.0, -0.0, 0.5, 1e-300, 1e300, math.inf, -math.inf,
         math.nan, "", "1", "1e9", "nan", "../../etc/passwd", "/dev/null.yaml", "a\0b.yaml", "\ud800", "x" * 5000, [],
         {}, [[]], [None], {"": None}, {"kind": "mbconv"}, [0, 0]]
    ),
    st.integers(), st.floats(), st.text(max_size=5),
)  # fmt: skip


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


class one_line_or_nothing:  # noqa: N801  (reads as a sentence where it is used)
    """Lets typed errors of one line pass, and nothing else."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, HwnasError):
            assert error.exit_status == 2
            assert len(str(error).splitlines()) == 1, error
            return True
        return False


def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """A few bytes flipped, cut, inserted, doubled or swapped for others."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        if not changed:
            break
        at = draw(st.integers(0, len(changed) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                changed[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + draw(st.integers(1, 50))]
            case 3:
                changed[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                changed[at:at] = changed[at : at + draw(st.integers(1, 200))]
    return bytes(changed)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key or index) of everything inside."""
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        yield data, key
        if isinstance(value, dict | list) and value:
            yield from places(value)


def mutate(draw: st.DrawFn, original: dict[str, Any]) -> dict[str, Any]:
    """One to three values replaced, removed, repeated, renamed or scaled."""
    data = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(data))
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        match draw(st.integers(0, 5)):
            case 0:
                del container[key]
            case 1 if isinstance(container, list):
                container.insert(key, copy.deepcopy(container[key]))
            case 1:
                container[draw(st.text(max_size=5))] = container.pop(key)
            case 2 if isinstance(container[key], int | float) and not isinstance(container[key], bool):
                container[key] = container[key] * draw(st.sampled_from([-1, 0, 1000, 0.001, 1.0000001, 2]))
            case _:
                container[key] = copy.deepcopy(draw(ODD))
    return data


def check_numbers(table: LatencyTable) -> None:
    """What every table that is taken in must be."""
    networks = [*table.networks, *(network for pair in table.held_out for network in pair)]
    for entry in (*table.ops.values(), *networks):
        assert 0 < entry.p10_ms <= entry.p50_ms <= entry.p90_ms <= 1e7
        assert entry.count > 0
    assert not table.ops.keys() & table.failed.keys()
    assert LatencyTable.from_dict(yaml.safe_load(table.to_yaml()), "again") == table


@FUZZ
@given(st.data())
def test_results_damaged_on_their_way(world: World, data: st.DataObject) -> None:
    found = world.read(damage(data.draw, world.raw))  # type: ignore[arg-type]
    assert found is None or found == world.returned


@FUZZ
@given(st.data())
def test_results_edited(world: World, data: st.DataObject) -> None:
    changed = mutate(data.draw, world.result)  # type: ignore[arg-type]
    found = world.read(json.dumps(changed).encode())
    assert found is None or (found == world.returned and changed == world.result)


@FUZZ
@given(st.data())
def test_results_edited_and_sealed_again(world: World, data: st.DataObject) -> None:
    changed = mutate(data.draw, world.result)  # type: ignore[arg-type]
    with suppress(ValueError):  # not finite: no seal fits
        changed["sha256"] = seal(changed)
    found = world.read(json.dumps(changed).encode())
    if found:
        check_numbers(found.table)
        assert {*found.table.ops, *found.table.failed} == set(world.space.distinct_ops)


@FUZZ
@given(st.data())
def test_tables_edited(world: World, data: st.DataObject) -> None:
    changed = mutate(data.draw, world.table)  # type: ignore[arg-type]
    with one_line_or_nothing():
        check_numbers(LatencyTable.from_dict(changed, "edited"))


@settings(FUZZ, max_examples=500)
@given(st.data())
def test_tables_damaged(world: World, data: st.DataObject) -> None:
    world.scratch.write_bytes(damage(data.draw, world.text.encode()))  # type: ignore[arg-type]
    with one_line_or_nothing():
        check_numbers(LatencyTable.load(world.scratch))


@settings(FUZZ, max_examples=500)
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
    content = bytearray(zipped(("kit.json", b'{"schema": "hwnas-kit/2", "sources": {}, "models": []}')))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (5).to_bytes(4, "little")
    (tmp_path / "kit.pyz").write_bytes(bytes(content))
    with pytest.raises(KitError, match=r"is missing or damaged|is damaged"):
        KitFile(tmp_path / "kit.pyz")
