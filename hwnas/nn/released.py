"""The released SCARLET networks and their official checkpoints."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch

from hwnas.errors import ArchError, CheckpointError
from hwnas.files import plain_file
from hwnas.nn.network import Network, load_strictly
from hwnas.space.registry import get_space
from hwnas.space.scarlet import released_archs

_OFFICIAL_NAMES = (  # (released checkpoint, Network)
    (re.compile(r"stem\.(\d)"), r"stem.conv.\1"),
    (re.compile(r"separable_conv\.(\d)"), r"stem.separable.\1"),
    (re.compile(r"mb_module\.(\d+)"), r"layers.\1"),
    (re.compile(r"conv_before_pooling\.(\d)"), r"head.conv.\1"),
    (re.compile(r"classifier"), r"head.classifier"),
)
_WRAPPER = "module."


def load_scarlet(name: str, checkpoint: str | Path | None = None, *, resolution: int | None = None) -> Network:
    """A released SCARLET network, with the official weights if a checkpoint is given, else with random ones.

    Args:
        name: ``scarlet-a``, ``scarlet-b`` or ``scarlet-c``.
        checkpoint: the official ``.pth.tar``; read with ``weights_only=True``.
        resolution: input size in pixels, 224 when None.

    Raises:
        ArchError: no such released network.
        CheckpointError: the file can't be read, or a tensor is missing, extra or unusable; see
            :func:`hwnas.nn.network.load_strictly`.
    """
    released = released_archs()
    if name not in released:
        raise ArchError(f"no released network {name!r}; known: {', '.join(released)}")
    network = Network(get_space("scarlet-s2", resolution), released[name])
    if checkpoint is not None:
        load_strictly(network, _read_official(Path(checkpoint)), str(checkpoint))
    return network.eval()


def _read_official(path: Path) -> dict[str, torch.Tensor]:
    plain_file(path, CheckpointError)
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"can't read checkpoint {path}: {error.strerror}") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} isn't a checkpoint of plain tensors: it is damaged, or holds objects that would run code when "
            "they are read; save {'model_state': network.state_dict()}"
        ) from None
    except Exception as error:  # torch raises whatever the foreign bytes lead it to
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} isn't a checkpoint of plain tensors: {first_line:.200}") from None
    state = data.get("model_state") if isinstance(data, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} has no 'model_state'; the released checkpoints are a dict with that key")
    # as of a network saved inside of PyTorch's DataParallel
    wrapped = all(isinstance(key, str) and key.startswith(_WRAPPER) for key in state)
    renamed = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path}: 'model_state' must map names to tensors, got {key!r:.80}")
        renamed[_our_name(key.removeprefix(_WRAPPER) if wrapped else key)] = value
    return renamed


def _our_name(official: str) -> str:
    for pattern, replacement in _OFFICIAL_NAMES:
        if match := pattern.match(official):
            return match.expand(replacement) + official[match.end() :]
    return official
