"""`Network`: one arch as a standalone module."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from hwnas.errors import CheckpointError, HwnasWarning, counted, whole
from hwnas.files import read_bytes, write_atomic
from hwnas.nn.layers import GraphModule, initialize
from hwnas.records.model import ModelInfo, ModelRecord, ResolvedStabilizers
from hwnas.records.train import SupernetRecord
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int64, torch.int32)


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
        generator = torch.Generator().manual_seed(whole("seed", seed))
        for node in self.graph:
            initialize(self.get_submodule(node.place), node.op, generator)
        self.stabilizers = tuple(
            ResolvedStabilizers(layer=layer, place=place, kept=True)
            for layer in range(space.num_layers)
            if (place := f"layers.{layer}") in self.graph and self.graph[place].skips
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


def traced_madds(network: Network) -> int:
    """Multiply-adds at batch 1 of convolutions, linear layers and products of matrices, by fvcore's trace of what runs.

    A second count, slow and independent of :mod:`hwnas.graph.count`.
    """
    from fvcore.nn import FlopCountAnalysis  # slow to import

    training = network.training
    images = torch.zeros(1, *network.graph.in_shapes[0], device=next(network.parameters()).device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's notice that tracing is deprecated
        analysis = FlopCountAnalysis(network.eval(), images)
        by_operator = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    network.train(training)
    return int(by_operator["conv"] + by_operator["linear"] + by_operator["matmul"])


def save_weights(module: nn.Module, path: Path, header: dict[str, str] | None = None) -> str:
    """Write all tensors of a module as safetensors; returns the file's SHA-256.

    Args:
        module: whose parameters and statistics.
        path: of the file.
        header: one entry at most: safetensors writes several in an order that changes from process to process.

    Raises:
        OutputError: it can't be written.
    """
    weights = save({name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}, header)
    write_atomic(path, weights)
    return hashlib.sha256(weights).hexdigest()


def load_weights(module: nn.Module, path: Path, record: ModelRecord | SupernetRecord | None = None) -> None:
    """Put what :func:`save_weights` wrote into ``module``; ``record``, where there is one, says which file that is.

    Raises:
        CheckpointError: the file can't be read or isn't safetensors, isn't the one that ``record`` describes (a
            ``ModelError`` for a MODEL folder's), or its tensors don't fit ``module``.
    """
    error, remedy = (record.ERROR, record.REMEDY) if record else (CheckpointError, "train anew")
    weights = read_bytes(path, error)
    try:
        state = load(weights)
    except (SafetensorError, KeyError) as problem:  # a KeyError is of a type that PyTorch hasn't
        raise error(f"{path} isn't a safetensors file: {problem}; {remedy}") from None
    if record and hashlib.sha256(weights).hexdigest() != record.weights_sha256:
        raise error(f"{path} isn't the file that the .json beside it describes: its hash differs; {remedy}")
    load_strictly(module, state, str(path))


def load_strictly(module: nn.Module, state: Mapping[str, torch.Tensor], where: str) -> None:
    """``module.load_state_dict`` with every mismatch told in one line.

    Raises:
        CheckpointError: a tensor is missing, extra, of another shape or kind of number, or holds what none can be: a
            NaN, an infinity, more than the network's type holds, a negative variance.
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
        if problem := unusable(key, tensor, own[key]):
            raise CheckpointError(f"{where}: tensor {key!r} {problem}")
    weights = [key for key, tensor in state.items() if tensor.dim() > 1]
    if zero := [key for key in weights if not state[key].any()]:
        which = (
            "all weights"
            if zero == weights
            else f"the weights of {counted(len(zero), 'layer')}, the first {zero[0]!r},"
        )
        warnings.warn(f"{where}: {which} are zero: was it ever trained?", HwnasWarning, stacklevel=2)
    module.load_state_dict({**own, **state})


def unusable(name: str, tensor: torch.Tensor, own: torch.Tensor) -> str | None:
    """Why a tensor of a file can't become a network's ``own`` of that name; None where it can."""
    if tensor.is_quantized or tensor.is_meta or tensor.is_nested or tensor.layout != torch.strided:
        kinds = {"quantized": tensor.is_quantized, "without values (meta)": tensor.is_meta, "nested": tensor.is_nested}
        kind = next((kind for kind, holds in kinds.items() if holds), f"sparse ({tensor.layout})")
        return f"is {kind}, the network wants plain numbers; save it dense and in float"
    if tensor.shape != own.shape:
        return f"has shape {tuple(tensor.shape)}, the network wants {tuple(own.shape)}"
    known = _FLOATS if own.is_floating_point() else _INTEGERS
    if tensor.dtype not in known:
        return f"is {_name(tensor.dtype)}, the network wants {_name(own.dtype)}; convert it before"
    if not torch.isfinite(tensor).all():
        return "holds a NaN or an infinity"
    if not torch.isfinite(tensor.to(own.dtype)).all():
        return f"holds numbers in {_name(tensor.dtype)} that {_name(own.dtype)} can't"
    if name.endswith(("running_var", "num_batches_tracked")) and (tensor < 0).any():
        return f"is negative ({tensor.min().item():.4g}), which it can't be"
    return None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
