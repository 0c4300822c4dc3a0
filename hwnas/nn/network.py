"""`Network`: one arch as a standalone module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from hwnas.errors import CheckpointError
from hwnas.nn.layers import GraphModule, initialize
from hwnas.records.model import ModelInfo, ResolvedStabilizers
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace


class Network(GraphModule):
    """The network of one arch: x_NCHW -> logits (N, classes).

    Layers keep their index of the space, so a skipped layer leaves a gap in the names (``layers.3``, ``layers.5``).

    Args:
        space: whose network; ``space.inheriting()`` for one that keeps the stabilizers that can't be folded.
        arch: which.
        seed: of the fresh weights.

    Attributes:
        graph: what it computes.
        stabilizers: what became of each run of them; the kept ones alone where no weights were inherited.
        info: what else is known of it; it goes along into MODEL folders and artifacts.
    """

    def __init__(self, space: ChainSpace, arch: Arch | Sequence[int], *, seed: int = 0) -> None:
        choices = choices_of(space, arch)
        with torch.device("meta"):  # so that torch's global generator isn't touched
            super().__init__(space.graph(choices))
        self.space = space
        self.choices = choices
        self.info = ModelInfo()
        self.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        for node in self.graph:
            initialize(self.get_submodule(node.place), node.op, generator)
        self.stabilizers = tuple(
            ResolvedStabilizers(layer=layer, place=place, kept=True)
            for layer, choice in enumerate(choices)
            if space.layers[layer][choice].skips and (place := f"layers.{layer}") in self.graph
        )

    @property
    def arch(self) -> Arch:
        """Which arch this is."""
        return Arch(self.space, self.choices)


def choices_of(space: ChainSpace, arch: Arch | Sequence[int]) -> tuple[int, ...]:
    """The choice indices of ``arch``, checked against ``space``.

    Raises:
        ArchError: not an arch of this space.
    """
    (row,) = space.check(arch.choices if isinstance(arch, Arch) else arch)
    return tuple(int(choice) for choice in row)


def load_strictly(module: nn.Module, state: Mapping[str, torch.Tensor], where: str) -> None:
    """``module.load_state_dict`` with every mismatch told in one line.

    Raises:
        CheckpointError: a tensor is missing, extra, of another shape, or holds a NaN or an infinity.
    """
    own = module.state_dict()
    # BN's batch counter is absent from old checkpoints and plays no part in evaluation
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in own]
    if missing or extra:
        word, names = ("lacks", missing) if missing else ("has an extra", extra)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise CheckpointError(f"{where} {word} tensor {names[0]!r}{more}; is it a checkpoint of another arch?")
    for key, tensor in state.items():
        if tensor.shape != own[key].shape:
            raise CheckpointError(
                f"{where}: tensor {key!r} has shape {tuple(tensor.shape)}, the network wants {tuple(own[key].shape)}"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{where}: tensor {key!r} holds a NaN or an infinity")
    module.load_state_dict({**own, **state})
