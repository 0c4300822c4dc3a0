"""What people name as MODEL, opened: wherever a foreign network is taken, all of these are taken."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import HwnasWarning, ModelError, shown
from hwnas.imported import imported, names_code, own_code
from hwnas.onnx.model import OnnxModel, Shapes, model_of, read_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    ModelLike = OnnxModel | nn.Module | tuple[nn.Module, Tensor | Sequence[Tensor]] | Path | str
else:
    ModelLike = object  # with PyTorch's classes in it, an ONNX file couldn't be opened without PyTorch
"""An ONNX file, ``module:callable``; in Python also a module, alone or with the inputs that it takes."""


_SEED = 0
"""So that random weights are the same again, and the model has one hash."""


def names_model(given: str | Path) -> bool:
    """Whether a text where an arch or a MODEL is taken names somebody's own network, as `open_model` takes it."""
    text = str(given)
    return names_code(text) or text.endswith(".onnx") or (os.path.isfile(text) and not text.endswith(".json"))


def open_model(model: ModelLike, shapes: Shapes | None = None) -> OnnxModel:
    """Somebody's network, whole and of fixed shapes.

    Args:
        model: an ONNX file; ``package.module:callable`` or ``folder/file.py:callable``, the user's own code, which is
            imported, called without arguments and gives an ``nn.Module`` (or is one); an ``nn.Module``, alone or in a
            tuple with the tensors that it takes; or one that is open already.
        shapes: {input: shape, the batch included}. Of a file those that it leaves open, where a batch is 1 unless
            said. Of a module all, in the order in which it takes them, with names of one's own; without them the
            module's ``example_input_array`` tells, or it is tried with images of 1x3x224x224.

    Raises:
        ModelError: as :func:`hwnas.onnx.model.read_model`; the callable isn't there, raises, or gives no module; or
            PyTorch can't export it.
    """
    if isinstance(model, OnnxModel):
        return model
    if not isinstance(model, str | Path):
        return _of_module(model, shapes)
    return _of_code(str(model), shapes) if names_code(str(model)) else read_model(model, shapes)


def _of_module(model: object, shapes: Shapes | None) -> OnnxModel:
    from torch import Tensor, nn

    from hwnas.nn.exported import example_inputs, exported

    module, given = model if isinstance(model, tuple) and len(model) == 2 else (model, None)
    if not isinstance(module, nn.Module):
        raise ModelError(f"a model is an ONNX file, module:callable, an nn.Module or an OnnxModel, got {shown(model)}")
    if given is None:
        inputs = example_inputs(module, shapes)
    else:
        tensors = [given] if isinstance(given, Tensor) else list(given)
        names = list(shapes or ()) or [f"input_{place}" for place in range(len(tensors))]
        inputs = dict(zip(names, tensors, strict=False))
    name = type(module).__name__
    return model_of(exported(module, inputs, name), name)


def _of_code(path: str, shapes: Shapes | None) -> OnnxModel:
    import torch
    from torch import nn

    from hwnas.nn.exported import example_inputs, exported

    with own_code(path, "calling it", ModelError), torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        found = imported(path, ModelError)
        torch.manual_seed(_SEED)  # anew: what was imported before draws nothing
        if callable(found) and not isinstance(found, nn.Module):
            found = found()
        if not isinstance(found, nn.Module):
            raise ModelError(f"{path} gives a {type(found).__name__}; name a function that returns an nn.Module alone")
        data = exported(found, example_inputs(found, shapes), path)
    opened = model_of(data, path)
    taken = ", ".join(f"{port.name}={'x'.join(map(str, port.shape))}" for port in opened.inputs)
    assumed = "" if shapes or hasattr(found, "example_input_array") else ", as nothing else was said (--shape does)"
    ran = f"{path}, which is your own code, was run, and exported for {taken}{assumed}"
    warnings.warn(ran, HwnasWarning, stacklevel=3)
    return opened
