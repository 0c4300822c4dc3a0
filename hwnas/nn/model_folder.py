"""A MODEL folder: one network on disk, ``model.json`` and ``weights.safetensors``, tied together by a hash.

What ``hwnas derive`` and a fine-tuning write, and ``hwnas export`` reads. Beside them lies
``evaluation.json``, what the network answers to the test images, where there are some.
"""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import ModelError
from hwnas.files import new_folder
from hwnas.graph.count import count
from hwnas.nn.network import Network, load_weights, save_weights
from hwnas.records.evaluation import EVALUATION, EvaluationRecord
from hwnas.records.model import ModelRecord

MODEL = "model.json"
_WEIGHTS = "weights.safetensors"
_OTHERS = {
    "search.json": "a search; make its winner a network first: hwnas derive",
    "supernet.json": "the run of a supernet; search it, then hwnas derive a network of it",
    "checkpoint.safetensors": "a run that isn't finished; go on with hwnas train --resume",
    "manifest.json": "an artifact, finished already",
}
"""What a folder is that holds such a file, and what makes a model of it."""


def save_model(network: Network, folder: Path, answers: EvaluationRecord | None = None) -> None:
    """Write a MODEL folder, whole or not at all, with what the network answers to the test images, if that is known.

    Raises:
        OutputError: the folder exists already or can't be written.
    """
    counted = count(network.graph)
    with new_folder(folder) as temporary:
        sha256 = save_weights(network, temporary / _WEIGHTS)
        if answers:
            answers.model_copy(update={"weights_sha256": sha256}).write(temporary / EVALUATION)
        ModelRecord(
            space=network.space.ref, choices=network.choices, stabilizers=network.stabilizers,
            madds=counted.madds, params=counted.params, info=network.info.model_copy(update={"weights_sha256": None}),
            weights_sha256=sha256,
        ).write(temporary / MODEL)  # fmt: skip


def load_model(folder: Path) -> Network:
    """Read a MODEL folder, or the one in the run of a network; the network is in eval mode.

    The YAML file of its space needn't be there any more.

    Raises:
        ModelError: a part is missing, malformed, or was altered since it was written.
        CheckpointError: the weights aren't those of the arch.
        SpaceError: its space can't be made any more.
    """
    if not (folder / MODEL).exists():
        if (folder / "model" / MODEL).exists():
            folder = folder / "model"
        elif other := next((what for name, what in _OTHERS.items() if (folder / name).exists()), None):
            raise ModelError(f"{folder} is {other}")
    record = ModelRecord.read(folder / MODEL)
    network = Network(record.space_of_network(), record.choices)
    network.stabilizers = record.stabilizers
    network.info = record.info.model_copy(update={"weights_sha256": record.weights_sha256})
    load_weights(network, folder / _WEIGHTS, record)
    return network.eval()
