"""A MODEL folder: one network on disk, ``model.json`` and ``weights.safetensors``, tied together by a hash.

What ``hwnas derive`` and a fine-tuning write, and ``hwnas export`` reads.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from hwnas.errors import ModelError
from hwnas.files import new_folder, read_json, to_json, validated, write_atomic
from hwnas.nn.network import Network, load_strictly
from hwnas.nn.origin import Searched
from hwnas.space.arch import Arch

SCHEMA = "hwnas-model/1"


class ModelInfo(BaseModel):
    """What is known of a network beside its weights.

    Attributes:
        data: the data set it was trained on, as ``hwnas train`` names it; None for random or released weights.
        labels: class names in the order of the outputs.
        preprocessing: from an image file to the network's input.
        accuracy: by name, such as ``test``; in [0, 1].
        made_from: names and SHA-256 of what it came from.
        searched: what the search that found it asked for and predicted.
        weights_sha256: of the weights, where they were read from a MODEL folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: dict[str, Any] | None = None
    accuracy: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    made_from: dict[str, str] = {}
    searched: Searched | None = None
    weights_sha256: str | None = None


def random_info(seed: int) -> ModelInfo:
    """Of a network whose weights are random: for timing."""
    return ModelInfo(made_from={"weights": f"random, seed {seed}"})


class _File(ModelInfo):
    schema_: Annotated[Literal["hwnas-model/1"], Field(alias="schema")]
    arch: dict[str, Any]
    has_stabilizers: bool
    stabilizer_notes: dict[int, str]
    madds: int
    params: int
    weights_sha256: str


def save_model(network: Network, folder: Path, info: ModelInfo, *, madds: int, params: int) -> None:
    """Write a MODEL folder, whole or not at all.

    Raises:
        OutputError: the folder exists already or can't be written.
    """
    weights = save_tensors({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    file = {
        "schema": SCHEMA,
        "arch": network.arch.to_dict(),
        "has_stabilizers": network.space.inherits,
        "stabilizer_notes": {str(layer): note for layer, note in network.stabilizer_notes.items()},
        "madds": madds,
        "params": params,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **info.model_dump(mode="json", exclude={"weights_sha256"}),
    }
    with new_folder(folder) as temporary:
        write_atomic(temporary / "weights.safetensors", weights)
        write_atomic(temporary / "model.json", to_json(file))


def load_model(folder: Path) -> tuple[Network, ModelInfo]:
    """Read a MODEL folder; the network is in eval mode.

    Raises:
        ModelError: a part is missing, malformed, or was altered since it was written.
        CheckpointError: the weights aren't those of the arch.
    """
    path = folder / "model.json"
    file = validated(_File, read_json(path, ModelError), path, ModelError)
    weights_path = folder / "weights.safetensors"
    try:
        weights = weights_path.read_bytes()
    except OSError as error:
        raise ModelError(f"can't read {weights_path}: {error.strerror}") from None
    if hashlib.sha256(weights).hexdigest() != file.weights_sha256:
        raise ModelError(f"{weights_path} isn't the file that model.json describes: its hash differs; derive it again")
    arch = Arch.from_dict(file.arch, str(path))
    network = Network(arch.space.inheriting() if file.has_stabilizers else arch.space, arch)
    network.stabilizer_notes = dict(file.stabilizer_notes)
    try:
        load_strictly(network, load_tensors(weights), str(weights_path))
    except SafetensorError as error:
        raise ModelError(f"{weights_path} isn't a safetensors file: {error}") from None
    return network.eval(), ModelInfo(**{name: getattr(file, name) for name in ModelInfo.model_fields})
