from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.errors import ConfigError
from hwnas.training.config import TrainConfig, read_config


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    return path


def test_data_alone_is_enough(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "data: digits\n"))
    assert (config.data, config.space, config.sampling, config.stabilizers) == (
        "digits", "scarlet-tiny", "strict-fair", True,
    )  # fmt: skip


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    config = TrainConfig(data="digits", space="macro", epochs=3, learning_rate=0.25, paths_per_update=2, seed=9)
    assert read_config(written(tmp_path, config.to_yaml())) == config
    network = TrainConfig(data="digits", network="model", epochs=3)
    assert "space" not in network.settings()
    assert read_config(written(tmp_path, network.to_yaml())) == network


WRONG = {
    "learnin_rate: 0.1": "unknown key 'learnin_rate'; did you mean 'learning_rate'?",
    "epoch: 3": "did you mean 'epochs'?",
    "zzzzzz: 3": "unknown key 'zzzzzz'; known: data, corrupt_images, held_out",
    "epochs: 0": "epochs",
    "epochs: 2.5": "epochs",
    "epochs: true": "epochs",
    "epochs: '3'": "epochs",
    "batch: 1": "batch",
    "learning_rate: -1": "learning_rate",
    "learning_rate: .nan": "learning_rate",
    "momentum: 1.0": "momentum",
    "sampling: fair": "sampling: there is no such rule; known: strict-fair, uniform, sandwich, progressive",
    "held_out: 0": "held_out",
    "device: tpu": "device",
    "threads: 0": "threads",
    "{epochs: 2, warmup_epochs: 2}": "yaml: warmup_epochs .2. must be less than epochs .2.",
    "{network: m, space: macro}": "space is of supernets only",
    "{network: m, sampling: uniform}": "sampling is of supernets only",
    "{network: m, stabilizers: false}": "stabilizers is of supernets only",
    "{space: macro, teacher: runs}": "teacher is for networks",
    "distillation: 0.5": "distillation needs a 'teacher'",
    "{sampling: uniform, distillation: 0.5}": "distillation needs",
    "{batch: 8, accumulation: 5}": "accumulation 5 leaves parts of fewer than 2 of 8 images",
    "ema_decay: 1.0": "ema_decay",
    "precision: int8": "precision",
    "augment: flip": "augment",
    "keep: first": "keep",
    "workers: -1": "workers",
    "optimiser: sgd": "did you mean 'optimizer'?",
    "epochs: [": "isn't usable YAML",
}


@pytest.mark.parametrize(("epochs", "share"), [(1, 0.5), (2, 0.5), (20, 0.05)])
def test_the_rate_rises_for_an_epoch_or_half_of_a_short_training(epochs: int, share: float) -> None:
    assert TrainConfig(data="digits", epochs=epochs).warmup_share == share
    assert TrainConfig(data="digits", epochs=epochs, warmup_epochs=0.25).warmup_share == 0.25 / epochs


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_value_is_one_line_that_names_file_and_key(text: str, tmp_path: Path) -> None:
    inner = text.strip("{}") if text.startswith("{") else text
    path = written(tmp_path, "data: digits\n" + "".join(f"{part.strip()}\n" for part in inner.split(",")))
    with pytest.raises(ConfigError, match=WRONG[text]) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_data_must_be_given_and_the_file_must_be_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data: Field required"):
        read_config(written(tmp_path, "epochs: 3\n"))
    with pytest.raises(ConfigError, match="expected 'key: value'"):
        read_config(written(tmp_path, "digits\n"))
    with pytest.raises(ConfigError, match="can't read"):
        read_config(tmp_path / "absent.yaml")
