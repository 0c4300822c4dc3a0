"""`Network`: one arch as a standalone module, with the supernet's weights, a released checkpoint's, or fresh ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from hwnas.errors import ArchError, CheckpointError
from hwnas.nn.blocks import build, initialize
from hwnas.nn.stabilizer import fold_after, fold_before, matrix
from hwnas.nn.supernet import Supernet, choices_of
from hwnas.space.arch import Arch
from hwnas.space.op import Op, Stabilizer
from hwnas.space.registry import get_space
from hwnas.space.scarlet import released_archs
from hwnas.space.space import Space


class Network(nn.Module):
    """The network of one arch: x_NCHW -> logits (N, classes).

    Layers keep their index of the space, so a skipped layer leaves a gap in the names (``layers.3``, ``layers.5``).

    Args:
        space, arch: which network.
        stabilizers: whether the stabilizers that can't be folded are part of it; see ``Space.kept_stabilizers``.
        seed: of the fresh weights.

    Attributes:
        ops: what it computes, in order.
        stabilizer_notes: what became of each run of skips, by its first layer.
    """

    def __init__(self, space: Space, arch: Arch | Sequence[int], *, stabilizers: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        self.choices = choices_of(space, arch)
        self.has_stabilizers = stabilizers
        self.ops: tuple[Op, ...] = space.lower(self.choices, stabilizers)
        self.stabilizer_notes: dict[int, str] = {}
        with torch.device("meta"):
            self.stem = build(space.stem)
            self.layers = nn.ModuleDict(
                {place.removeprefix("layers."): build(op) for place, op in self._choice_layers()}
            )
            self.head = build(space.head)
        self.to_empty(device="cpu")
        initialize(self, torch.Generator().manual_seed(seed))

    def _choice_layers(self) -> list[tuple[str, Op]]:
        return list(self.space.walk(self.choices, self.has_stabilizers))[1:-1]

    @property
    def arch(self) -> Arch:
        """Which arch this is."""
        return Arch(self.space, self.choices)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers.values():
            x = layer(x)
        return self.head(x)


def derive(supernet: Supernet, arch: Arch | Sequence[int]) -> Network:
    """``arch``'s standalone network with the supernet's weights, stabilizers resolved.

    In eval mode it computes what ``supernet(x, arch)`` does. Neighbouring stabilizers multiply together; the
    product folds into the block behind or before where that is exact, else it stays as a 1×1 convolution.
    ``network.stabilizer_notes`` says which happened.

    Raises:
        ArchError: not an arch of the supernet's space.
    """
    space = supernet.space
    choices = choices_of(space, arch)
    network = Network(space, choices, stabilizers=supernet.stabilizers)
    network.to(next(supernet.parameters()))  # same device and precision
    network.stem.load_state_dict(supernet.stem.state_dict())
    network.head.load_state_dict(supernet.head.state_dict())
    for layer, choice in enumerate(choices):
        if str(layer) in network.layers:
            network.layers[str(layer)].load_state_dict(supernet.block(layer, choice).state_dict())
    if supernet.stabilizers:
        for run in _runs_of_skips(space, choices):
            network.stabilizer_notes[run[0]] = _resolve(network, supernet, run)
    return network


def _runs_of_skips(space: Space, choices: tuple[int, ...]) -> list[list[int]]:
    runs: list[list[int]] = []
    for layer, choice in enumerate(choices):
        if isinstance(space.layers[layer][choice], Stabilizer):
            if runs and runs[-1][-1] == layer - 1:
                runs[-1].append(layer)
            else:
                runs.append([layer])
    return runs


def _resolve(network: Network, supernet: Supernet, run: list[int]) -> str:
    """Put one run of stabilizers, multiplied together, where it belongs; says where that was."""
    space, choices = network.space, network.choices
    product, *others = (matrix(supernet.block(layer, choices[layer])) for layer in run)
    for later in others:
        product = later @ product
    before, after = run[0] - 1, run[-1] + 1
    op_before = space.layers[before][choices[before]] if before >= 0 else space.stem
    op_after = space.layers[after][choices[after]] if after < space.num_layers else space.head
    if op_after.absorbs_before:
        place = f"layers.{after}" if after < space.num_layers else "head"
        fold_before(product, _first_conv(network.get_submodule(place)))
        return f"folded into {place}"
    if op_before.absorbs_after:
        place = f"layers.{before}" if before >= 0 else "stem"
        fold_after(product, *_last_conv_bn(network.get_submodule(place)))
        return f"folded into {place}"
    kept = network.layers[str(run[0])]
    assert isinstance(kept, nn.Conv2d)
    with torch.no_grad():
        kept.weight.copy_(product[:, :, None, None])
    return f"kept as layers.{run[0]}: a residual on both sides"


def _first_conv(block: nn.Module) -> nn.Conv2d:
    return next(m for m in block.modules() if isinstance(m, nn.Conv2d))


def _last_conv_bn(block: nn.Module) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    return convs[-1], norms[-1]  # modules() follows the order of definition, which is that of computation


_OFFICIAL_NAMES = (  # (released checkpoint, Network)
    (re.compile(r"stem\.(\d)"), r"stem.conv.\1"),
    (re.compile(r"separable_conv\.(\d)"), r"stem.separable.\1"),
    (re.compile(r"mb_module\.(\d+)"), r"layers.\1"),
    (re.compile(r"conv_before_pooling\.(\d)"), r"head.conv.\1"),
    (re.compile(r"classifier"), r"head.classifier"),
)


def load_scarlet(name: str, checkpoint: str | Path | None = None, *, resolution: int | None = None) -> Network:
    """A released SCARLET network, with the official weights if a checkpoint is given, else with random ones.

    Args:
        name: ``scarlet-a``, ``scarlet-b`` or ``scarlet-c``.
        checkpoint: the official ``.pth.tar``; read with ``weights_only=True``.
        resolution: input size in pixels, 224 when None.

    Raises:
        ArchError: no such released network.
        CheckpointError: the file can't be read, or a tensor is missing, extra or of another shape.
    """
    released = released_archs()
    if name not in released:
        raise ArchError(f"no released network {name!r}; known: {', '.join(released)}")
    network = Network(get_space("scarlet-s2", resolution), released[name])
    if checkpoint is not None:
        load_official(network, Path(checkpoint))
    return network.eval()


def load_official(network: Network, path: Path) -> None:
    """Load a checkpoint of the released layout into ``network``, by name and strictly.

    Raises:
        CheckpointError: the file can't be read, or a tensor is missing, extra or of another shape.
    """
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"can't read checkpoint {path}: {error.strerror}") from None
    except Exception as error:  # torch raises whatever the foreign bytes lead it to
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} isn't a checkpoint of plain tensors: {first_line:.200}") from None
    state = data.get("model_state") if isinstance(data, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} has no 'model_state'; the released checkpoints are a dict with that key")
    renamed = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path}: 'model_state' must map names to tensors, got {key!r:.80}")
        renamed[_our_name(key)] = value
    load_strictly(network, renamed, str(path))


def _our_name(official: str) -> str:
    for pattern, replacement in _OFFICIAL_NAMES:
        if match := pattern.match(official):
            return match.expand(replacement) + official[match.end() :]
    return official


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
