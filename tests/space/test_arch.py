"""What people type for an arch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.errors import ArchError
from hwnas.ops.stabilizer import Stabilizer
from hwnas.shipped import shipped
from hwnas.space.arch import Arch, parse_arch
from hwnas.space.registry import get_space
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


_PUBLISHED = {  # layer by layer: (expansion, kernel, squeeze-and-excitation), "-" is a skip
    "scarlet-a": "370 650 350 371 631 351 631 330 371 370 350 371 330 371 631 651 331 631 671",
    "scarlet-b": "331 351 331 671 330 350 671 331 - 350 331 331 671 331 651 651 - 671 651",
    "scarlet-c": "351 331 351 - - 330 671 331 331 350 371 370 331 371 331 - 631 671 651",
}


def test_the_released_files_are_the_published_networks() -> None:
    assert set(released_archs()) == set(_PUBLISHED)
    for name, text in _PUBLISHED.items():
        ops = [
            layer[choice] for layer, choice in zip(parse_arch(name).space.layers, released_archs()[name], strict=True)
        ]
        told = ["-" if isinstance(op, Stabilizer) else f"{op.expansion:g}{op.kernel}{op.se:d}" for op in ops]
        assert " ".join(told) == text
        assert parse_arch(str(shipped("export", "models", f"{name}.json"))) == parse_arch(name)


def test_a_point_of_a_front(tmp_path: Path) -> None:
    points = [{"choices": [c] * 8, "values": [0.5]} for c in (0, 1)]
    path = tmp_path / "front.json"
    path.write_text(json.dumps({"space": get_space("macro", 64, 7).ref.plain(), "points": points, "seed": 0}))
    arch = parse_arch(f"{path}:1")
    assert str(arch) == "macro:1,1,1,1,1,1,1,1"
    assert (arch.space.resolution, arch.space.classes) == (64, 7)
    assert parse_arch(f"{path}:0", resolution=32).space.resolution == 32
    for wrong in ("2", "-1", "1,1", "", "x"):
        with pytest.raises(ArchError, match="2 points; give one as :N from :0 to :1"):
            parse_arch(f"{path}:{wrong}")
    for content in (
        "[]",
        '{"points": 3}',
        '{"points": [3]}',
        '{"space": "macro", "choices": [0]}',
        '{"space": "macro", "points": [{}]}',
        "nope",
    ):
        path.write_text(content)
        with pytest.raises(ArchError, match=r"front\.json"):
            parse_arch(f"{path}:0")


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


def test_a_list_or_a_row_of_an_array_is_the_same_arch() -> None:
    space = get_space("macro")
    row = space.sample(1, seed=0)[0]
    archs = {Arch(space, tuple(row.tolist())), Arch(space, row.tolist()), Arch(space, row)}  # type: ignore[arg-type]
    assert len(archs) == 1
    with pytest.raises(ArchError, match="an arch is of a Space, got 'macro'; get_space"):
        Arch("macro", (0,) * 8)  # type: ignore[arg-type]
