"""`Target`: what to export to and how close it must come; a YAML file of ``export/targets/`` or of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hwnas.errors import ConfigError, unknown
from hwnas.files import read_yaml
from hwnas.record import FileRecord, Record
from hwnas.shipped import shipped

OPSET = 20
IR_VERSION = 10
"""Of ONNX graphs, where nobody asks for another."""

RangeRule = Literal["minmax", "mse"]
"""``minmax``: nothing is clipped. ``mse``: the least mean square error of clipping and rounding together."""

Precision = Literal["fp32", "fp16", "bf16", "int8"]
OPTIMIZED = ("fp32", "bf16")
"""Precisions whose graph can be optimized: that of fp32, which bf16 is computed in too."""
_FOR_WINDOWS = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def _on_every_system(name: str) -> str:
    if name.endswith(".") or name.split(".")[0].lower() in _FOR_WINDOWS:
        raise ValueError(f"Windows can have no file called {name!r}")
    return name


PlainName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100), AfterValidator(_on_every_system)
]
"""Of a plain file, on every system."""


WIDEST = {"fp32": 0.1, "fp16": 0.2, "bf16": 0.2, "int8": 0.9}
"""{precision: the widest ``relative`` of a tolerance that still tells the network from another}."""


class Tolerance(Record):
    """How far an exported file may be from the PyTorch network.

    Attributes:
        relative: largest absolute difference of a logit, over the largest absolute logit; see :data:`WIDEST`.
        cosine: least cosine between an input's logits and PyTorch's.
        sqnr_db: least signal to quantization noise; see :func:`hwnas.artifacts.parity.sqnr_db`. Where it is given,
            ``top1`` is asked of networks that beat guessing on labelled images only: what a network of random weights
            puts first is a matter of differences smaller than int8's noise.
        top1: least share of inputs with the same first class.
        accuracy_points: largest loss of accuracy, in points of 100 and rounded up to whole images, with labels at hand.
    """

    relative: Annotated[float, Field(gt=0, lt=1)]
    cosine: Annotated[float, Field(ge=0.5, le=1)] = 0.9
    sqnr_db: Annotated[float, Field(ge=0, le=200)] | None = None
    top1: Annotated[float, Field(ge=0.5, le=1)]
    accuracy_points: Annotated[float, Field(ge=0, le=20)] = 1.0


class Batch(Record):
    """Images of one inference: any number from ``min`` to ``max``, built to be fastest at ``opt``."""

    min: Annotated[int, Field(ge=1)]
    opt: Annotated[int, Field(ge=1)]
    max: Annotated[int, Field(ge=1, le=4096)]

    @model_validator(mode="after")
    def _ordered(self) -> Batch:
        if not self.min <= self.opt <= self.max:
            raise ValueError(f"a batch has min ≤ opt ≤ max, not {self.min}, {self.opt}, {self.max}")
        return self

    @property
    def fixed(self) -> int | None:
        """The one batch it takes, None where it takes several."""
        return self.min if self.min == self.max else None


def _one_batch(value: Any) -> Any:
    return {"min": value, "opt": value, "max": value} if type(value) is int else value


class Quantization(Record):
    """How int8 comes about.

    Attributes:
        images: of the train part, at most, that ranges of activations are taken from.
        ranges: how they follow from the values; see :data:`RangeRule`.
        keep_float: parts that stay in float: squeeze-and-excitation, depthwise convolutions, the first and the last
            layer with weights. ``auto`` tries combinations and takes the fastest of the most accurate. As they are
            timed, it may choose otherwise the next time; the choice is in the file's notes.
    """

    images: Annotated[int, Field(ge=1, le=100_000)] = 256
    ranges: RangeRule = "mse"
    keep_float: Literal["auto"] | tuple[Literal["se", "depthwise", "first", "last"], ...] = "auto"


class Target(FileRecord):
    """One kind of file to make.

    Attributes:
        name: the YAML file's name without suffix.
        opset, ir_version: of the ONNX graph, which other formats are made from.
        batch: a number, or ``min``, ``opt`` and ``max``.
        preprocessing: ``outside``: the graph takes normalised floats (batch, C, H, W); ``inside``: it takes bytes
            (batch, H, W, C), RGB, and normalises them itself.
        runtime: that runs the file: it checks and times it where it can.
        optimize: ``timed``: rewrites of the graph that keep its function are tried, and those that are faster on the
            target's runtime here are kept.
        tolerance: a miss fails the export.
    """

    SCHEMA = "hwnas-target/1"
    REMEDY = "write it anew, as docs/ship-a-model.md has it"
    ERROR = ConfigError

    name: Annotated[PlainName, Field(max_length=80)]  # and its suffix still gives a plain name
    format: str
    precision: Precision
    opset: Annotated[int, Field(ge=14)] = OPSET
    ir_version: Annotated[int, Field(ge=7)] = IR_VERSION
    batch: Annotated[Batch, BeforeValidator(_one_batch)] = Batch(min=1, opt=1, max=64)
    preprocessing: Literal["outside", "inside"] = "outside"
    runtime: str
    options: Mapping[str, str] = {}
    optimize: Literal["none", "timed"] = "none"
    quantization: Quantization = Quantization()
    tolerance: Tolerance

    @property
    def in_bf16(self) -> bool:
        """Whether what isn't int8 is computed in bf16."""
        return "bf16" in (self.precision, self.options.get("floats"))

    @model_validator(mode="after")
    def _floats_are_optimized(self) -> Target:
        if self.optimize != "none" and self.precision not in OPTIMIZED:
            raise ValueError(f"optimize goes with {' and '.join(OPTIMIZED)}, not with {self.precision}")
        return self

    @model_validator(mode="after")
    def _tolerance_is_one(self) -> Target:
        widest = WIDEST[self.precision]
        if self.tolerance.relative > widest:
            raise ValueError(
                f"tolerance.relative of {self.precision} is at most {widest}: more tells no networks apart"
            )
        return self


def optimizing(target: Target) -> Target:
    """``target`` with ``optimize: timed``.

    Raises:
        ConfigError: it is of a precision that can't be optimized.
    """
    if target.precision not in OPTIMIZED:
        raise ConfigError(
            f"target {target.name} is {target.precision}; only {' and '.join(OPTIMIZED)} can be optimized"
        )
    return target.model_copy(update={"optimize": "timed"})


def target_names() -> tuple[str, ...]:
    """The shipped targets."""
    return tuple(sorted(path.stem for path in shipped("export", "targets").glob("*.yaml")))


def get_target(name: str) -> Target:
    """A shipped target by name, or a YAML file by path.

    Raises:
        ConfigError: unknown name, or a wrong file, in which case the message names the field; or a file that is called
            like a shipped target and says otherwise: what an artifact says of a target would mean two things.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    elif name in target_names():
        path = shipped("export", "targets", f"{name}.yaml")
    else:
        raise ConfigError(unknown("target", name, target_names(), "or the path of a .yaml file"))
    data = read_yaml(path, ConfigError)
    found = Target.of_plain({**data, "name": path.stem} if isinstance(data, dict) else data, path)
    if path.stem in target_names() and path.stem != name and found != get_target(path.stem):
        raise ConfigError(f"{path} is called like the target {path.stem} of hwnas and says otherwise; rename the file")
    return found
