from __future__ import annotations

import re
from pathlib import Path

import pytest

from hwnas.errors import ConfigError
from hwnas.training.config import TrainConfig, read_config
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.learners.supernet import SupernetConfig
from hwnas.training.tasks.classification import ClassificationConfig


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    return path


def test_data_alone_is_enough(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "data: digits\n"))
    assert config == TrainConfig(data="digits", learner=SupernetConfig(), task=ClassificationConfig())
    assert config.learner == SupernetConfig(space="scarlet-tiny", sampling="strict-fair", stabilizers=True)


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    """Each section as its own class, whatever kind it is of."""
    learners = [
        SupernetConfig(space="macro", paths_per_update=2, sampling="sandwich", distillation=0.5),
        NetworkConfig(network="model", teacher=Path("runs/teacher"), distillation=0.25),
    ]
    for learner in learners:
        config = TrainConfig(
            data="digits", learner=learner, task=ClassificationConfig(top_k=3, class_weights="balanced"), epochs=3,
            learning_rate=0.25, seed=9,
        )  # fmt: skip
        assert read_config(written(tmp_path, config.to_yaml())) == config
        assert config.to_yaml().count("label_smoothing") == 1  # defaults as well
    assert "space" not in config.to_yaml()


def test_the_configurations_of_the_readme_are_some(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    configs = re.findall(r"^```yaml [^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    supernet, winner = (read_config(written(tmp_path, each)) for each in configs)
    assert (supernet.data, supernet.learner.plain()["space"]) == ("photos", "scarlet-tiny")
    assert (winner.data, winner.learner.plain()["network"]) == ("photos", "runs/model")


def test_a_section_is_taken_as_plain_values_too() -> None:
    config = TrainConfig.model_validate(
        {"data": "digits", "learner": {"kind": "network", "network": "m", "teacher": "t"}}
    )
    assert config.learner == NetworkConfig(network="m", teacher=Path("t"))


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
    "learner: {sampling: fair}": "learner.sampling: there is no such rule; known: strict-fair, uniform, sandwich, pro",
    "held_out: 0": "held_out",
    "device: tpu": "device",
    "threads: 0": "threads",
    "epochs: 2\nwarmup_epochs: 2": "yaml: warmup_epochs .2. must be less than epochs .2.",
    "space: macro": "unknown key 'space'; it is a key of 'learner' of kind 'supernet'",
    "teacher: runs": "unknown key 'teacher'; it is a key of 'learner' of kind 'network'",
    "label_smoothing: 0.1": "unknown key 'label_smoothing'; it is a key of 'task' of kind 'classification'",
    "distillation: 0.5": "it is a key of 'learner' of kind 'supernet' or 'learner' of kind 'network'",
    "samplin: uniform": "unknown key 'samplin'; did you mean 'sampling', a key of 'learner' of kind 'supernet'?",
    "learner: {kind: network, network: m, space: macro}": "unknown key 'space' in 'learner'; it is a key of",
    "learner: {network: m}": "unknown key 'network' in 'learner'; it is a key of 'learner' of kind 'network'",
    "learner: {epochs: 3}": "unknown key 'epochs' in 'learner'; it is a key of the top",
    "learner: {top_k: 3}": "unknown key 'top_k' in 'learner'; it is a key of 'task' of kind 'classification'",
    "learner: {stabiliser: true}": "unknown key 'stabiliser' in 'learner'; did you mean 'stabilizers'?",
    "learner: {kind: supernett}": "learner: no learner 'supernett'; did you mean 'supernet'. known: supernet, network",
    "learner: {kind: network}": "learner.network: Field required",
    "learner: macro": "learner: ",
    "task: {kind: guessing}": "task: no task 'guessing'; known: classification",
    "learner: {distillation: 0.5}": "learner: distillation needs a sampling rule whose first path teaches",
    "learner: {kind: network, network: m, distillation: 0.5}": "learner: distillation needs a 'teacher'",
    "batch: 8\naccumulation: 5": "accumulation 5 leaves pieces of fewer than 2 of 8 images",
    "ema_decay: 1.0": "ema_decay",
    "precision: int8": "precision",
    "augment: flip": "augment",
    "keep: first": "keep",
    "workers: -1": "workers",
    "optimiser: sgd": "did you mean 'optimizer'?",
    "learner: {}": "'learner' is empty; leave it out for what is usual, or say its 'kind'",
    "task: {}": "'task' is empty",
    "epochs: [": "isn't usable YAML",
}


@pytest.mark.parametrize(("epochs", "share"), [(1, 0.5), (2, 0.5), (20, 0.05)])
def test_the_rate_rises_for_an_epoch_or_half_of_a_short_training(epochs: int, share: float) -> None:
    assert TrainConfig(data="digits", epochs=epochs).warmup_share == share
    assert TrainConfig(data="digits", epochs=epochs, warmup_epochs=0.25).warmup_share == 0.25 / epochs


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_value_is_one_line_that_names_file_and_key(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"data: digits\n{text}\n")
    with pytest.raises(ConfigError, match=WRONG[text]) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_unknown_keys_are_told_before_what_is_missing(tmp_path: Path) -> None:
    for text in ("dta: digits\n", "learner: {stabiliser: true}\n", "learner: {kind: network, netwrk: m}\n"):
        with pytest.raises(ConfigError, match=r"unknown key .* did you mean"):
            read_config(written(tmp_path, text))


def test_data_must_be_given_and_the_file_must_be_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'data' is missing; give 'digits', a folder with train/<class>/"):
        read_config(written(tmp_path, "epochs: 3\n"))
    with pytest.raises(ConfigError, match="expected 'key: value'"):
        read_config(written(tmp_path, "digits\n"))
    with pytest.raises(ConfigError, match=r"there is no file .*absent"):
        read_config(tmp_path / "absent.yaml")
