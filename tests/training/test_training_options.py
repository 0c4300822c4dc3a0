"""What the options of a training do, each seen in what comes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from hwnas.errors import CheckpointError, ConfigError, DataError
from hwnas.nn.model_folder import load_model
from hwnas.space.registry import get_space
from hwnas.training import loop
from hwnas.training.config import TrainConfig
from hwnas.training.learners.network import NetworkConfig, load_teacher
from hwnas.training.log import read_log
from hwnas.training.loop import run_training
from hwnas.training.sampling import largest_arch
from hwnas.training.tasks.classification import ClassificationConfig
from hwnas.training.trained import load_supernet
from tests.conftest import SMALL_SPACE
from tests.training.training_cases import folder_of_images, short

RESULT = "supernet.safetensors"
OPTIONS: dict[str, dict[str, Any]] = {
    "sandwich": {"sampling": "sandwich"},
    "progressive": {"sampling": "progressive"},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.002},
    "average": {"ema_decay": 0.9},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "parts": {"accumulation": 3},
    "balanced": {"task": ClassificationConfig(class_weights="balanced")},
    "best": {"keep": "best"},
    "no augmentation": {"augment": "none"},
    "no stabilizers": {"stabilizers": False},
}
FEW_IMAGES: dict[str, Any] = {"held_out": 0.75, "batch": 80}  # fp16 is slow on processors


@pytest.mark.parametrize("option", OPTIONS)
def test_interrupted_and_resumed_it_ends_in_the_same_bytes(
    option: str, small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = short(small_yaml, paths_per_update=3, **FEW_IMAGES, **OPTIONS[option])
    whole = run_training(config, tmp_path / "whole").run
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)

    def interrupt(what: str, done: int, total: int, note: str) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(config, tmp_path / "stopped", progress=interrupt)
    run_training(config, tmp_path / "stopped", resume=True)
    for name in ("supernet.safetensors", "supernet.json", "checkpoint.safetensors", "best.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (whole / name).read_bytes(), name


def test_every_option_changes_what_comes_out(small_yaml: Path, tmp_path: Path) -> None:
    """An option that is read and ignored would show here."""
    options = {name: value for name, value in OPTIONS.items() if name not in ("best", "balanced")} | {"none": {}}
    found = {
        name: run_training(short(small_yaml, epochs=1, paths_per_update=3, **FEW_IMAGES, **value), tmp_path / name).run
        for name, value in options.items()
    }
    assert len({(run / "supernet.safetensors").read_bytes() for run in found.values()}) == len(options)


def test_the_log_counts_updates_per_choice(small_yaml: Path, tmp_path: Path) -> None:
    space = get_space(str(small_yaml))
    for rule, spread in (("strict-fair", 1), ("uniform", 30)):
        run = run_training(
            short(small_yaml, epochs=3, batch=64, sampling=rule, paths_per_update=2), tmp_path / rule
        ).run
        counts = read_log(run)[-1].updates_per_choice
        assert counts is not None
        assert [len(layer) for layer in counts] == space.num_choices.tolist()
        assert {sum(layer) for layer in counts} == {3 * 20 * 2}  # epochs, updates of each, paths of each
        assert max(max(layer) - min(layer) for layer in counts) <= spread
        assert read_log(run)[-1].spread_of_counts == max(max(layer) - min(layer) for layer in counts)
    assert read_log(tmp_path / "uniform")[-1].spread_of_counts > 1


def test_the_average_is_what_is_kept_and_the_checkpoint_has_both(small_yaml: Path, tmp_path: Path) -> None:
    run = run_training(short(small_yaml, ema_decay=0.9), tmp_path / "run").run
    checkpoint, result = load_file(run / "checkpoint.safetensors"), load_file(run / "supernet.safetensors")
    name = "stem.conv.0.weight"
    assert torch.equal(result[name], checkpoint[f"average.{name}"])
    assert not torch.equal(result[name], checkpoint[f"weight.{name}"])


def test_the_best_epoch_is_kept(small_space: object, small_yaml: Path, tmp_path: Path) -> None:
    config = short(small_yaml, epochs=4, batch=64, learning_rate=0.5, keep="best", gradient_clip_norm=1e9)
    run = run_training(config, tmp_path / "run").run
    log = read_log(run)
    means = [float(np.mean(list(entry.accuracy.values()))) for entry in log]
    with safe_open(run / "best.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["hwnas-best/1"])
    assert header == {"epoch": int(np.argmax(means)), "validation_accuracy": max(means)}
    assert load_file(run / "supernet.safetensors").keys() == load_file(run / "best.safetensors").keys()
    assert torch.equal(
        load_file(run / "supernet.safetensors")["head.classifier.weight"],
        load_file(run / "best.safetensors")["head.classifier.weight"],
    )


def test_an_arch_is_trained_from_scratch_and_logged_with_all_its_metrics(small_yaml: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        data="digits", learner=NetworkConfig(network=f"{small_yaml}:0,1,2,3,0,1"), task=ClassificationConfig(top_k=3),
        epochs=8, batch=64, augment="none", threads=1, tensorboard=True,
    )  # fmt: skip
    result = run_training(config, tmp_path / "run")
    assert result.accuracy["test"] > 0.85
    network = load_model(result.result)
    info = network.info
    assert network.choices == (0, 1, 2, 3, 0, 1)
    assert info.made_from["arch"] == f"{small_yaml.name}:0,1,2,3,0,1"  # and not where it lies on this machine
    last = read_log(result.run)[-1].validation
    assert last is not None
    assert last["k"] == 3
    assert 0.8 < last["top1"] <= last["top_k"] <= 1
    assert last["balanced"] == pytest.approx(last["top1"], abs=0.05)  # digits are nearly balanced
    assert _scalars(result.run / "tensorboard")["epoch/validation/top1"][-1] == pytest.approx(last["top1"])


def _scalars(folder: Path) -> dict[str, list[float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.fixture(scope="module")
def supernet_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supernet")
    (folder / "space.yaml").write_text(SMALL_SPACE)
    return run_training(
        short(folder / "space.yaml", epochs=6, batch=64, warmup_epochs=1, augment="none"), folder / "run"
    ).run


def test_the_largest_of_a_supernet_teaches(supernet_run: Path, tmp_path: Path) -> None:
    trained = load_supernet(supernet_run)
    teacher, sha256 = load_teacher(supernet_run, trained.data, "cpu")
    assert sha256 == trained.sha256
    assert teacher.choices == largest_arch(trained.supernet.space)
    assert not any(p.requires_grad for p in teacher.parameters())
    student = f"{supernet_run.parent / 'space.yaml'}:0,0,0,0,0,0"
    settings: dict[str, Any] = {"data": "digits", "epochs": 2, "batch": 64, "augment": "none", "threads": 1}
    learner = NetworkConfig(network=student, teacher=supernet_run, distillation=1.0)
    taught = run_training(TrainConfig(**settings, learner=learner), tmp_path / "taught")
    alone = run_training(TrainConfig(**settings, learner=NetworkConfig(network=student)), tmp_path / "alone")
    images = trained.data.normalize(trained.data.validation.pixels(torch.arange(100)))
    with torch.inference_mode():
        agreement = [
            (load_model(run.result).eval()(images).argmax(1) == teacher(images).argmax(1)).float().mean().item()
            for run in (taught, alone)
        ]
    assert agreement[0] > 0.3  # chance is 0.1; it has seen no label
    origins = [load_model(run.result).info.made_from for run in (taught, alone)]
    assert origins[0].items() - origins[1].items() == {("teacher", "run"), ("teacher_sha256", trained.sha256)}
    assert (taught.result / "weights.safetensors").read_bytes() != (alone.result / "weights.safetensors").read_bytes()


def test_a_teacher_of_other_classes_is_refused(supernet_run: Path, tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "images", per_class=10)
    student = f"{supernet_run.parent / 'space.yaml'}:0,0,0,0,0,0"
    learner = NetworkConfig(network=student, teacher=supernet_run)
    config = TrainConfig(data=str(images), learner=learner, epochs=2, batch=4, threads=1)
    with pytest.raises(ConfigError, match="wasn't trained on the classes of"):
        run_training(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_network_that_is_neither_a_folder_nor_an_arch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no MODEL folder modle, and as an arch: no arch 'modle'"):
        run_training(TrainConfig(data="digits", learner=NetworkConfig(network="modle")), tmp_path / "run")


TINY_SPACE = """
name: tiny
resolution: 8
classes: 10
act: relu
kernels: [3]
expansions: [2]
stem: {width: 8, c_out: 8, stride: 1, separable: false, act: relu}
stages: [{c_out: 8, layers: 1, stride: 1}]
head: {width: 16, act: relu}
"""


@pytest.mark.xdist_group("compiler")  # which takes seconds to begin
def test_compiled_blocks_train_as_the_others_do(tmp_path: Path) -> None:
    if " " in str(Path.cwd()):
        pytest.skip("torch.compile's C++ build fails under a path with a space")
    (tmp_path / "tiny.yaml").write_text(TINY_SPACE)
    options = {"epochs": 1, "batch": 320, "warmup_epochs": 0, "augment": "none"}
    plain, compiled = (
        load_file(
            run_training(short(tmp_path / "tiny.yaml", **options, compile=wanted), tmp_path / str(wanted)).run / RESULT
        )
        for wanted in (False, True)
    )
    assert plain.keys() == compiled.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, atol=1e-3, rtol=1e-2, msg=name)


def _begun(config: TrainConfig, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)

    def interrupt(what: str, done: int, total: int, note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(config, run, progress=interrupt)


def test_data_that_changed_since_the_start_is_told(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = folder_of_images(tmp_path / "images", per_class=12)
    config = short(small_yaml, data=str(images), batch=8)
    _begun(config, tmp_path / "run", monkeypatch)
    first = images / "train" / "red" / "0.png"
    aside = tmp_path / "0.png"
    shutil.move(first, aside)
    with pytest.raises(DataError, match=r"isn't what .* was begun with: other train images: 22, now 21; restore it"):
        run_training(config, tmp_path / "run", resume=True)
    shutil.copy(images / "train" / "blue" / "0.png", first)
    with pytest.raises(DataError, match="was begun with: other sha256"):
        run_training(config, tmp_path / "run", resume=True)
    shutil.move(aside, first)
    for part in ("train", "test"):
        shutil.copytree(images / part / "red", images / part / "pink")
    with pytest.raises(DataError, match="was begun with: other classes, such as 'pink'; restore it"):
        run_training(config, tmp_path / "run", resume=True)


def test_a_space_that_changed_since_the_start_is_told(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _begun(short(small_yaml), tmp_path / "run", monkeypatch)
    small_yaml.write_text(SMALL_SPACE.replace("kernels: [3, 5]", "kernels: [3, 7]"))
    with pytest.raises(CheckpointError, match="is of another space or network than the configuration's"):
        run_training(short(small_yaml), tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_schema_is_named(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _begun(short(small_yaml), tmp_path / "run", monkeypatch)
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes().replace(b"hwnas-checkpoint/3", b"hwnas-checkpoint/2"))
    with pytest.raises(CheckpointError, match=r"its schema is hwnas-checkpoint/2, this version reads"):
        run_training(short(small_yaml), tmp_path / "run", resume=True)


def test_the_configuration_of_a_run_can_be_read_back(small_yaml: Path, tmp_path: Path) -> None:
    run = run_training(short(small_yaml, epochs=1), tmp_path / "run").run
    assert json.loads((run / "data.json").read_text())["classes"] == list("0123456789")
