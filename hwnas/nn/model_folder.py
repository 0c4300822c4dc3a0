"""A MODEL folder: one network on disk, ``model.json`` and ``weights.safetensors``, tied together by a hash.

What ``hwnas derive`` and a fine-tuning write, and ``hwnas export`` reads.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from hwnas.errors import ModelError
from hwnas.files import new_folder, write_atomic
from hwnas.graph.count import count
from hwnas.nn.network import Network, load_strictly
from hwnas.records.model import ModelRecord

MODEL = "model.json"


def save_model(network: Network, folder: Path) -> None:
    """Write a MODEL folder, whole or not at all.

    Raises:
        OutputError: the folder exists already or can't be written.
    """
    weights = save_tensors({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    counted = count(network.graph)
    record = ModelRecord(
        space=network.space.ref, choices=network.choices, stabilizers=network.stabilizers,
        madds=counted.madds, params=counted.params, info=network.info.model_copy(update={"weights_sha256": None}),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )  # fmt: skip
    with new_folder(folder) as temporary:
        write_atomic(temporary / "weights.safetensors", weights)
        record.write(temporary / MODEL)


def load_model(folder: Path) -> Network:
    """Read a MODEL folder; the network is in eval mode. The YAML file of its space needn't be there any more.

    Raises:
        ModelError: a part is missing, malformed, or was altered since it was written.
        CheckpointError: the weights aren't those of the arch.
        SpaceError: its space can't be made any more.
    """
    record = ModelRecord.read(folder / MODEL)
    path = folder / "weights.safetensors"
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}") from None
    if hashlib.sha256(weights).hexdigest() != record.weights_sha256:
        raise ModelError(f"{path} isn't the file that {MODEL} describes: its hash differs; derive it again")
    network = Network(record.space_of_network(), record.choices)
    network.stabilizers = record.stabilizers
    network.info = record.info.model_copy(update={"weights_sha256": record.weights_sha256})
    try:
        load_strictly(network, load_tensors(weights), str(path))
    except SafetensorError as error:
        raise ModelError(f"{path} isn't a safetensors file: {error}") from None
    return network.eval()
