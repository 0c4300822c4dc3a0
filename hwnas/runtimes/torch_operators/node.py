"""A node of an ONNX graph as it becomes PyTorch: what it reads, and the calls that compute it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import fx, nn

from hwnas.errors import ModelError, first_line

_IMAGES_NDIM = 4

Convert = Callable[["Node"], "Value | tuple[Value, ...]"]
"""Of one operator: writes the calls down and gives what they give."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        tensor: its numbers where they are known beforehand, else on PyTorch's device "meta": only shape and dtype.
        larger: the same where the sizes that the model leaves open are larger, so open sizes show.
        node: what computes it; None where its numbers are known.
    """

    tensor: torch.Tensor
    larger: torch.Tensor
    node: fx.Node | None = None

    @property
    def ndim(self) -> int:
        return self.tensor.ndim


class Calls:
    """What is called so far, and the weights that it reads; float32 becomes ``floats``."""

    def __init__(self, root: nn.Module, floats: torch.dtype) -> None:
        self.graph = fx.Graph()
        self._root, self._floats = root, floats
        self._weights: dict[int, tuple[Value, fx.Node]] = {}

    def computed(self, dtype: torch.dtype) -> torch.dtype:
        """What a dtype of the model is computed in."""
        return self._floats if dtype is torch.float32 else dtype

    def entry(self, name: str, dtype: torch.dtype, shape: tuple[int, ...], larger: tuple[int, ...]) -> Value:
        few, many = (torch.empty(each, dtype=self.computed(dtype), device="meta") for each in (shape, larger))
        return Value(few, many, self.graph.placeholder(name))

    def node(self, value: Value) -> fx.Node:
        """What computes a value: of a known one it is a buffer of the module, one for all who read it."""
        if value.node is not None:
            return value.node
        if id(value) not in self._weights:
            name = f"weight_{len(self._weights)}"
            tensor = value.tensor.to(self.computed(value.tensor.dtype))
            if tensor.ndim == _IMAGES_NDIM:
                tensor = tensor.contiguous(memory_format=torch.channels_last)  # as images are, for convolutions' sake
            self._root.register_buffer(name, tensor)
            self._weights[id(value)] = value, self.graph.get_attr(name)  # which keeps the value, and so its id
        return self._weights[id(value)][1]

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """A tensor or a tuple of them, as ``function`` gives; computed here where all that it reads is known."""
        read = [each for each in _flat((args, kwargs)) if isinstance(each, Value)]
        if all(each.node is None for each in read):
            found = function(*_mapped(args, lambda v: v.tensor), **_mapped(kwargs, lambda v: v.tensor))
            return tuple(map(known, found)) if isinstance(found, tuple) else known(found)
        few, many = (
            function(*_mapped(args, take), **_mapped(kwargs, take))
            for take in (lambda v: self._meta(v, v.tensor), lambda v: self._meta(v, v.larger))
        )
        node = self.graph.call_function(function, _mapped(args, self.node), _mapped(kwargs, self.node))
        if not isinstance(few, tuple):
            return Value(few, many, node)
        part = partial(self.graph.call_function, operator.getitem)
        return tuple(Value(*pair, part((node, place))) for place, pair in enumerate(zip(few, many, strict=True)))

    def _meta(self, value: Value, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if value.node is not None else tensor.to("meta", self.computed(tensor.dtype))


class Node:
    """One node; what of its attributes nobody asked for is unknown here.

    Attributes:
        opset: of ONNX's own operators in this model.
    """

    def __init__(
        self, told: str, attributes: dict[str, Any], inputs: list[Value | None], outputs: int, opset: int, calls: Calls
    ) -> None:
        self.told, self.outputs, self.opset = told, outputs, opset
        self.unread = attributes
        self._inputs, self._calls = inputs, calls

    def refuse(self, why: str) -> ModelError:
        return ModelError(f"runtime torch can't read {self.told}: {why}")

    @property
    def inputs(self) -> list[Value]:
        """All, where none may be left out."""
        return [self[index] for index in range(len(self._inputs))]

    def __getitem__(self, index: int) -> Value:
        if (value := self.optional(index)) is None:
            raise self.refuse(f"it lacks input {index}")
        return value

    def optional(self, index: int) -> Value | None:
        return self._inputs[index] if index < len(self._inputs) else None

    def numbers(self, index: int) -> Any:
        """An input's numbers, which must be known: one, or a list of them."""
        value = self[index]
        if value.node is not None:
            raise self.refuse(f"its input {index} depends on what goes into the model")
        return value.tensor.tolist()

    def attribute(self, name: str, default: Any) -> Any:
        value = self.unread.pop(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def require(self, name: str, only: Any, default: Any) -> None:
        """An attribute that may have one value alone."""
        if (value := self.attribute(name, default)) != only:
            raise self.refuse(f"{name} is {value}, PyTorch has {only} only")

    def given(self, name: str, index: int) -> Any:
        """What older opsets have as an attribute, and newer ones as an input; None where it isn't there."""
        if name in self.unread:
            return self.attribute(name, None)
        return None if self.optional(index) is None else self.numbers(index)

    def sizes(self, value: Value) -> tuple[int, ...]:
        """Of a value, where none is left open."""
        if value.tensor.shape != value.larger.shape:
            raise self.refuse("it needs a size that the model leaves open; fix it (--shape)")
        return tuple(value.tensor.shape)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Value:
        """What ``function`` gives for values and plain arguments."""
        (value,) = self._called(function, args, kwargs)
        return value

    def call_for_several(self, function: Callable[..., Any], *args: Any) -> tuple[Value, ...]:
        """The same of a function that gives a tuple."""
        return self._called(function, args, {})

    def _called(self, function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Value, ...]:
        try:
            found = self._calls.call(function, args, kwargs)
            return found if isinstance(found, tuple) else (found,)
        except Exception as error:  # PyTorch's own refusals have no common class
            raise self.refuse(first_line(error)) from None

    def computed(self, dtype: torch.dtype, value: Value) -> torch.dtype:
        """What ``value``, cast to ``dtype``, is computed in."""
        return dtype if value.node is None else self._calls.computed(dtype)


def known(tensor: torch.Tensor) -> Value:
    """A value whose numbers are known."""
    return Value(tensor, tensor)


def _mapped(given: Any, change: Callable[[Value], Any]) -> Any:
    if isinstance(given, Value):
        return change(given)
    if isinstance(given, dict):
        return {key: _mapped(each, change) for key, each in given.items()}
    return type(given)(_mapped(each, change) for each in given) if isinstance(given, tuple | list) else given


def _flat(given: Any) -> list[Any]:
    if isinstance(given, dict):
        return _flat(list(given.values()))
    return [leaf for each in given for leaf in _flat(each)] if isinstance(given, tuple | list) else [given]
