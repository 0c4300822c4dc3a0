"""Spaces of any blocks in YAML: what they make, how their choices are numbered, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hwnas.errors import SpaceError
from hwnas.graph.count import count
from hwnas.ops import Identity, MBConv, Stabilizer, Transformer
from hwnas.space.arch import Arch
from hwnas.space.ref import SpaceRef
from hwnas.space.registry import get_space

SPACE = {
    "name": "own",
    "resolution": 32,
    "classes": 5,
    "stem": {"kind": "patches", "c_out": 24, "patch": 8, "token": True},
    "stages": [
        {"layers": 3, "skip": True, "block": {"mlp_ratio": [2, 4], "kind": "transformer", "head_width": 8, "heads": 3}}
    ],
    "head": {"kind": "token-head", "token": True},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(SPACE))
    return path


def test_vit_tiny_chooses_heads_then_ratio_then_depth() -> None:
    space = get_space("vit-tiny")
    for layer, choices in enumerate(space.layers):
        blocks = [op for op in choices if isinstance(op, Transformer)]
        assert [(op.heads, op.mlp_ratio) for op in blocks] == [(2, 2), (2, 4), (4, 2), (4, 4)]
        assert [type(op) for op in choices[4:]] == ([] if layer < 2 else [Identity])
    assert [decision.labels[-1] for decision in space.decisions] == ["h4 r4"] * 2 + ["skip"] * 6
    assert not any(op.skips for op in space.distinct_ops)


def test_a_skipped_block_is_not_there_with_inherited_weights_either() -> None:
    space = get_space("vit-tiny")
    for arch in space.sample(20, seed=0):
        graph = space.inheriting().graph(arch)
        assert graph == space.graph(arch)
        assert len(graph) == 2 + int(space.depth(arch[None])[0])


def test_deit_tiny_in_yaml(tmp_path: Path) -> None:
    path = tmp_path / "deit.yaml"
    path.write_text("""
        {name: deit, resolution: 224, classes: 1000, stem: {kind: patches, c_out: 192, patch: 16, token: true},
         stages: [{layers: 12, block: {kind: transformer, heads: 3, head_width: 64, mlp_ratio: 4}}],
         head: {kind: token-head, token: true}}""")
    space = get_space(path)
    assert space.size == 1
    assert count(space.graph([0] * 12)).params == 5_717_416


def test_blocks_of_images_may_be_written_so_as_well(tmp_path: Path) -> None:
    """The last stage of ``scarlet-tiny``, stabilizers included."""
    block = {"kind": "mbconv", "c_out": 48, "kernel": [3, 5, 7], "expansion": [3, 6], "se": False, "act": "hswish"}
    stages = [
        {"layers": 1, "block": {**block, "stride": 2}, "skip": True},
        {"layers": 2, "block": {**block, "stride": 1}, "skip": True},
    ]
    stem = {"kind": "stem", "width": 16, "c_out": 24, "stride": 2, "separable": True, "act": "relu6"}
    head = {"kind": "head", "width": 256, "act": "relu6"}
    path = tmp_path / "images.yaml"
    path.write_text(yaml.safe_dump({**SPACE, "resolution": 16, "stem": stem, "stages": stages, "head": head}))
    space, tiny = get_space(path, classes=10), get_space("scarlet-tiny")
    assert space.layers == tiny.layers[5:]
    assert space.head == tiny.head
    assert isinstance(space.layers[1][-1], Stabilizer)
    assert isinstance(space.layers[0][-1], MBConv)


def test_a_definition_travels_however_its_keys_are_ordered(path: Path) -> None:
    space = get_space(path, classes=3)
    text = json.dumps(space.ref.plain(), sort_keys=True)
    path.unlink()
    again = get_space(SpaceRef.model_validate_json(text))
    assert (again.fingerprint, again.layers, again.classes) == (space.fingerprint, space.layers, 3)
    arch = Arch(space, (0, 1, 2))
    assert Arch.from_dict(json.loads(json.dumps(arch.to_dict())), "arch.json").space.fingerprint == space.fingerprint


BLOCK = {"kind": "transformer", "heads": 3, "head_width": 8, "mlp_ratio": [2, 4]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stem": {**SPACE["stem"], "kind": "patchs"}}, "own: stem: unknown op kind 'patchs'"),  # type: ignore[dict-item]
        ({"stem": {**SPACE["stem"], "patch": [4, 8]}}, "own: stem: patch takes one value"),  # type: ignore[dict-item]
        ({"stem": {**SPACE["stem"], "patch": 7}}, "own: stem: 32×32 pixels aren't whole patches of 7"),  # type: ignore[dict-item]
        ({"stem": {**SPACE["stem"], "h_in": 32}}, "own: stem: h_in follows from what is in front; leave it out"),  # type: ignore[dict-item]
        ({"stages": []}, "stages"),
        ({"stages": [{"layers": 1, "block": {**BLOCK, "mlp": 4}}]}, r"stages\.0\.block: .*unknown field 'mlp'"),
        ({"stages": [{"layers": 1, "block": {**BLOCK, "heads": [2, 2]}}]}, "heads has a value twice"),
        ({"stages": [{"layers": 1, "block": {**BLOCK, "heads": 0}}]}, "heads must be a positive number"),
        ({"stages": [{"layers": 1, "block": {**BLOCK, "heads": []}}]}, r"stages\.0\.block"),
        ({"stages": [{"layers": 1, "block": {**BLOCK, "kind": ["transformer"]}}]}, "unknown op kind"),
        ({"stages": [{"layers": 1, "block": {"kind": "transformer"}}]}, "missing field 'head_width'"),
        ({"stages": [{"layers": 1, "block": {"kind": "foreign", "c_out": 8, "text": "x"}}]}, "foreign can't stand in"),
        (
            {"stages": [{"layers": 1, "block": {**BLOCK, "heads": [*range(1, 201)], "head_width": [*range(1, 201)]}}]},
            "80,000 choices of a layer are more than 1,000",
        ),
        ({"stages": [{"layer": 1, "block": BLOCK}]}, r"stages\.0: unknown key 'layer'; did you mean 'layers'"),
        ({"head": {"kind": "head", "width": 8, "act": "relu"}}, "own: head: head takes images .*, but 17×24 goes in"),
        ({"head": {"kind": "token-head", "token": True, "c_out": 5}}, "own: head: c_out is the number of classes"),
        ({"stages": [{"layers": 200, "block": {**BLOCK, "heads": [*range(1, 201)]}}]}, "choices are more than 50,000"),
        ({"head": {"kind": "transformer"}}, "own: head: "),
        ({"head": {"kind": "linear"}}, r"own: head: \(17, 5\) comes out, where 5 classes were asked"),
        ({"resolution": 30}, "30×30 pixels aren't whole patches of 8"),
        ({"kernels": [3]}, "unknown key 'kernels'"),
    ],
)
def test_mistakes_name_the_place(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**SPACE, **change}))
    with pytest.raises(SpaceError, match=words) as caught:
        get_space(path)
    assert "\n" not in str(caught.value)
