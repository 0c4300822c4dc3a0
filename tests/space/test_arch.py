"""What people type for an arch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.errors import ArchError
from hwnas.space.arch import Arch, parse_arch
from hwnas.space.scarlet import released_archs


@pytest.mark.parametrize("name", released_archs())
def test_released_names_and_their_long_form_agree(name: str) -> None:
    assert parse_arch(str(parse_arch(name))) == parse_arch(name)


def test_arch_json_round_trip(tmp_path: Path, small_yaml: Path) -> None:
    for text in ("macro:0,1,2,0,1,2,0,1", f"{small_yaml}:0,1,2,3,0,1"):
        arch = parse_arch(text, classes=7)
        path = tmp_path / "arch.json"
        path.write_text(json.dumps(arch.to_dict()))
        assert parse_arch(str(path)) == arch


def test_the_documented_arch_json(tmp_path: Path) -> None:
    path = tmp_path / "arch.json"
    path.write_text('{"space": "macro", "choices": [0, 1, 2, 0, 1, 2, 0, 1]}')
    assert str(parse_arch(str(path))) == "macro:0,1,2,0,1,2,0,1"
    assert parse_arch(str(path), resolution=64).space.resolution == 64


@pytest.mark.parametrize("text", ["scarlet-d", "macro:", "macro:a,b", "macro:1,2", "scarlet-s2", "none.json"])
def test_wrong_words(text: str) -> None:
    with pytest.raises(ArchError):
        parse_arch(text)


@pytest.mark.parametrize(
    "data",
    ["[]", "{}", '{"space": 3, "choices": []}', '{"space": "macro", "choices": [true]}', '{"space": "macro"}', "nope",
     '{"space": "macro", "choices": [0,0,0,0,0,0,0,0], "depth": 3}'],
)  # fmt: skip
def test_wrong_files(tmp_path: Path, data: str) -> None:
    path = tmp_path / "arch.json"
    path.write_text(data)
    with pytest.raises(ArchError, match=r"arch\.json"):
        parse_arch(str(path))


def test_an_arch_is_checked_when_made(small_space: object) -> None:
    with pytest.raises(ArchError):
        Arch(small_space, (9, 9, 9, 9, 9, 9))  # type: ignore[arg-type]
