"""Anyone's module -> ONNX, by PyTorch's own exporter: for networks that hwnas didn't build.

The exporter that traces (``dynamo=False``) is asked: it needs no package beside PyTorch, and writes GlobalAveragePool,
HardSwish and HardSigmoid as runtimes know them, where the other writes ReduceMean. BNs stay nodes of their own, as they
are in the module; runtimes fold them when they load the file.
"""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from hwnas.errors import ModelError, first_line, shown

OPSET = 17
"""Has LayerNormalization; every runtime of the last years reads it."""

Shapes = Mapping[str, tuple[int, ...]]

DEFAULT_SHAPES: Shapes = {"images": (1, 3, 224, 224)}
"""What a module that says nothing of its inputs is tried with."""


class _Root(nn.Module):
    """The module as the exporter sees it: in, as it takes it; out, a flat tuple of tensors.

    It alone says that it trains: otherwise weights that hold the same numbers, as those of fresh BNs do, become one.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = self.net(*inputs)
        if not (tensors := tuple(_tensors(given))):
            raise TypeError(f"it gives {shown(given)}, not tensors, or tuples, lists or dicts of them")
        return tensors


def _tensors(given: Any) -> Iterator[Tensor]:
    """All tensors in what a module gives, in order; of anything else nothing."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Mapping):
        yield from (tensor for each in given.values() for tensor in _tensors(each))
    elif isinstance(given, list | tuple):
        yield from (tensor for each in given for tensor in _tensors(each))


def example_inputs(module: nn.Module, shapes: Shapes | None) -> dict[str, Tensor]:
    """{name of an input: zeros} by which a module is traced, in the order in which it takes them.

    Of ``shapes``; or else of the module's ``example_input_array`` (a tensor or several, as in PyTorch Lightning); or
    else of :data:`DEFAULT_SHAPES`. Their dtypes are those of ``example_input_array``, or float32.
    """
    told = getattr(module, "example_input_array", None)
    examples = [told] if isinstance(told, Tensor) else list(told) if isinstance(told, list | tuple) else []
    if not shapes and examples:
        names = list(inspect.signature(module.forward).parameters)
        return {name: torch.zeros_like(example) for name, example in zip(names, examples, strict=False)}
    dtypes = [example.dtype for example in examples]
    sizes = (shapes or DEFAULT_SHAPES).items()
    return {
        name: torch.zeros(shape, dtype=dtypes[place] if place < len(dtypes) else torch.float32)
        for place, (name, shape) in enumerate(sizes)
    }


def exported(
    module: nn.Module, inputs: Mapping[str, Tensor], name: str, *, opset: int = OPSET, folding: bool = True
) -> bytes:
    """A module in eval mode as an ONNX model of the inputs' shapes; the module itself stays as it is.

    Args:
        module: what is exported.
        inputs: what it is called with.
        name: what errors call it.
        opset: of ONNX's own operators, 14 to 20.
        folding: what follows from weights alone is computed, so that some of them are there in another form.

    Raises:
        ModelError: it doesn't take these inputs, gives something else than tensors, or PyTorch can't export it.
    """
    given = tuple(inputs.values())
    taken = ", ".join(f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in inputs.items())
    with _evaluating(module) as root, warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # of the exporter: that it is the older one, and what tracing can't know
        try:
            outputs = root(*given)
        except Exception as error:  # whatever the module raises
            why = f"{type(error).__name__}: {first_line(error)}"
            raise ModelError(
                f"{name} can't be called with {taken}: {why}; say what it takes, as --shape images=1x3x224x224"
            ) from None
        names = ["output"] if len(outputs) == 1 else [f"output_{place}" for place in range(len(outputs))]
        path = Path(folder) / "model.onnx"
        try:
            with redirect_stdout(io.StringIO()):  # where it fails it prints a graph of its own
                torch.onnx.export(
                    root, given, path, dynamo=False, opset_version=opset, input_names=list(inputs), output_names=names,
                    training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=folding,
                )  # fmt: skip
        except Exception as error:  # the exporter's errors share no base
            raise ModelError(
                f"PyTorch can't export {name}: {first_line(error)}; export it yourself (torch.onnx.export with "
                "dynamo=True knows more operators) and give the file"
            ) from None
        return _plain(path.read_bytes())


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[_Root]:
    modes, fused = {each: each.training for each in module.modules()}, torch.backends.mha.get_fastpath_enabled()
    root = _Root(module.eval())
    root.training = True
    torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole encoder layer, which ONNX has no word for
    try:
        with torch.no_grad():
            yield root
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for each, mode in modes.items():
            each.training = mode


def _plain(data: bytes) -> bytes:
    """With the module's own names, and nothing of the machine that it was made on."""
    proto = onnx.load_from_string(data)
    weights = {weight.name: weight.name.removeprefix("net.") for weight in proto.graph.initializer}
    if len(set(weights.values())) < len(weights):
        weights = {}
    for weight in proto.graph.initializer:
        weight.name = weights.get(weight.name, weight.name)
    for node in proto.graph.node:
        node.name = "/" + node.name.removeprefix("/net/").removeprefix("/")
        node.doc_string = ""
        del node.metadata_props[:]
        node.input[:] = _renamed(node.input, weights)
    proto.doc_string = ""
    del proto.metadata_props[:]
    return bytes(proto.SerializeToString())


def _renamed(names: Sequence[str], new: Mapping[str, str]) -> list[str]:
    return [new.get(name, name) for name in names]
