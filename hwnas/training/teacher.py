"""Who a network learns from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hwnas.data.load import Data
from hwnas.errors import ConfigError
from hwnas.evaluation.accuracy import Evaluator, channels_last
from hwnas.nn.model_folder import load_model
from hwnas.nn.network import Network
from hwnas.space.chain import ChainSpace
from hwnas.training.run import load_supernet
from hwnas.training.sampling import largest_arch


def load_teacher(folder: Path, data: Data, device: str) -> Network:
    """A frozen network to learn from: a MODEL folder's, or a trained supernet's largest with statistics of its own.

    Raises:
        CheckpointError, ModelError: ``folder`` holds neither.
        ConfigError: it tells other classes apart, or takes another resolution.
    """
    if (folder / "supernet.json").exists():
        trained = load_supernet(folder)
        _check(folder, trained.info.labels, trained.supernet.space, data)
        teacher = Evaluator(trained.supernet, data).derive(largest_arch(trained.supernet.space))
    else:
        teacher, info = load_model(folder)
        _check(folder, info.labels, teacher.space, data)
    return channels_last(teacher.to(device)).eval().requires_grad_(False)


def teacher_origin(folder: Path) -> dict[str, str]:
    """Name and hash of a teacher, for what a network was made from."""
    name = "supernet.safetensors" if (folder / "supernet.json").exists() else "weights.safetensors"
    return {
        "teacher": folder.resolve().name,
        "teacher_sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
    }


def _check(folder: Path, labels: tuple[str, ...] | None, space: ChainSpace, data: Data) -> None:
    if labels != data.classes:
        raise ConfigError(f"teacher: {folder} wasn't trained on the classes of {data.spec}; take another")
    if space.resolution != data.resolution:
        raise ConfigError(f"teacher: {folder} takes {space.resolution} px, the network {data.resolution}; take another")
