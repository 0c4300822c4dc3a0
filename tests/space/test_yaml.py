"""A user's YAML space: it makes what it says, and every mistake is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hwnas.errors import SpaceError
from hwnas.space.registry import get_space
from tests.conftest import SMALL_SPACE


def test_the_documented_schema_describes_scarlet_s1(tmp_path: Path) -> None:
    text = """
        {name: mine, resolution: 224, classes: 1000, act: hswish, kernels: [3, 5, 7], expansions: [3, 6], se: [false],
         skip: true, stem: {width: 32, c_out: 16, stride: 2, separable: true, act: relu6},
         stages: [{c_out: 32, layers: 2, stride: 2}, {c_out: 40, layers: 4, stride: 2},
                  {c_out: 80, layers: 4, stride: 2}, {c_out: 96, layers: 4, stride: 1},
                  {c_out: 192, layers: 4, stride: 2}, {c_out: 320, layers: 1, stride: 1}],
         head: {width: 1280, act: relu6}}"""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert get_space(str(path)).fingerprint == get_space("scarlet-s1").fingerprint


def test_resolution_and_classes_can_be_changed(small_yaml: Path) -> None:
    space = get_space(str(small_yaml), resolution=32, classes=3)
    assert (space.resolution, space.classes) == (32, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kernel": [3]}, "unknown key 'kernel'; did you mean 'kernels'[?]"),
        (
            {"stages": [{"c_out": 8, "layers": 1, "strid": 1}]},
            r"stages\.0: unknown key 'strid'; did you mean 'stride'[?]",
        ),
        ({"zzz": 1}, "unknown key 'zzz'; known: name, "),
        ({"kernels": []}, "kernels"),
        ({"kernels": [4]}, "kernels.*odd"),
        ({"kernels": [3, 3]}, "twice"),
        ({"act": "gelu"}, "act: "),
        ({"expansions": [-1]}, r"expansions\.0"),
        ({"expansions": [".nan"]}, r"expansions\.0"),
        ({"stages": [{"c_out": 8, "layers": 0, "stride": 1}]}, r"stages\.0\.layers"),
        ({"stages": [{"c_out": 8, "layers": 1}]}, r"stages\.0\.stride"),
        ({"stem": {"width": 8, "c_out": 9, "separable": False}}, "c_out must equal width"),
        ({"head": None}, "head"),
        ({"resolution": 3}, "at least 4"),
        ({"resolution": "big"}, "resolution"),
    ],
)
def test_mistakes_name_the_field(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(SMALL_SPACE), **change}))
    with pytest.raises(SpaceError, match=words) as caught:
        get_space(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "a: b: c", "name: x\nname: y", "\x00", "&a [*a]", "!!python/object:os.system {}"]
)
def test_not_a_space_at_all(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError, match=r"wrong\.yaml"):
        get_space(str(path))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="can't read"):
        get_space(str(tmp_path / "none.yaml"))
