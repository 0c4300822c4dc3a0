"""The released checkpoints' layout, by name and strictly. The files can't be had, so tests write one of that layout."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from hwnas.errors import ArchError, CheckpointError
from hwnas.nn.released import load_scarlet
from hwnas.space.scarlet import released_archs
from tests.nn.official import official_state, write


@pytest.mark.parametrize("name", released_archs())
def test_every_tensor_arrives(name: str, tmp_path: Path) -> None:
    state = official_state(name)
    network = load_scarlet(name, write(tmp_path / "official.pth.tar", state))
    ours = network.state_dict()
    assert len(ours) == len(state)
    assert sorted(float(t.double().sum()) for t in ours.values()) == sorted(
        float(t.double().sum()) for t in state.values()
    )
    assert torch.equal(ours["stem.separable.3.weight"], state["separable_conv.3.weight"])
    assert torch.equal(ours["layers.18.bn3.running_var"], state["mb_module.18.bn3.running_var"])
    assert torch.equal(ours["head.conv.0.weight"], state["conv_before_pooling.0.weight"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("mb_module.9.conv2.weight"), "lacks tensor 'layers.9.conv2.weight'"),
        (lambda s: s.update({"mb_module.8.conv1.weight": torch.zeros(1)}), "extra tensor 'layers.8.conv1.weight'"),
        (lambda s: s.update({"aux.weight": torch.zeros(1)}), "extra tensor 'aux.weight'"),
        (lambda s: s.update({"classifier.bias": torch.zeros(10)}), r"head\.classifier\.bias.*\(10,\).*\(1000,\)"),
        (lambda s: s["stem.0.weight"].fill_(float("nan")), r"stem\.conv\.0\.weight.*NaN"),
        (lambda s: s.update({"classifier.bias": 3}), "names to tensors"),
        (
            lambda s: s.update({"classifier.weight": s["classifier.weight"].to_sparse()}),
            r"head\.classifier\.weight' is sparse",
        ),
        (lambda s: s.update({"classifier.weight": s["classifier.weight"].to("meta")}), r"is without values \(meta\)"),
    ],
)
def test_a_mismatch_is_named(change: object, words: str, tmp_path: Path) -> None:
    state = official_state("scarlet-b")
    change(state)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=words) as caught:
        load_scarlet("scarlet-b", write(tmp_path / "official.pth.tar", state))
    assert "\n" not in str(caught.value)


def test_another_archs_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="another arch"):
        load_scarlet("scarlet-a", write(tmp_path / "official.pth.tar", official_state("scarlet-b")))


def test_old_checkpoints_without_batch_counters(tmp_path: Path) -> None:
    state = {k: v for k, v in official_state("scarlet-c").items() if not k.endswith("num_batches_tracked")}
    load_scarlet("scarlet-c", write(tmp_path / "official.pth.tar", state))


def test_a_network_that_was_saved_inside_of_dataparallel(tmp_path: Path) -> None:
    state = official_state("scarlet-c")
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    plain = load_scarlet("scarlet-c", write(tmp_path / "plain.pth.tar", state)).state_dict()
    found = load_scarlet("scarlet-c", write(tmp_path / "wrapped.pth.tar", wrapped)).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in plain.items())
    partly = {f"module.{name}" if name.startswith("stem") else name: tensor for name, tensor in state.items()}
    with pytest.raises(CheckpointError, match=r"lacks tensor 'stem\.conv\.0\.weight'"):
        load_scarlet("scarlet-c", write(tmp_path / "partly.pth.tar", partly))


def test_unknown_name() -> None:
    with pytest.raises(ArchError, match="scarlet-a"):
        load_scarlet("scarlet-z")


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 not a zip"])
def test_not_a_checkpoint(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "official.pth.tar"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="isn't a checkpoint"):
        load_scarlet("scarlet-a", path)


def test_a_crafted_pickle_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "trace"),)

    torch.save({"model_state": Bomb()}, tmp_path / "a.pth.tar")
    (tmp_path / "b.pth.tar").write_bytes(pickle.dumps({"model_state": Bomb()}))
    for name in ("a.pth.tar", "b.pth.tar"):
        with pytest.raises(CheckpointError, match=r"holds objects that would run code .*; save {'model_state'"):
            load_scarlet("scarlet-a", tmp_path / name)
    assert not (tmp_path / "trace").exists()


def test_no_such_file_and_no_model_state(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="can't read"):
        load_scarlet("scarlet-a", tmp_path / "none.pth.tar")
    torch.save({"state_dict": {}}, tmp_path / "x.pth.tar")
    with pytest.raises(CheckpointError, match="model_state"):
        load_scarlet("scarlet-a", tmp_path / "x.pth.tar")
