"""`Op`: one shape-complete layer or fused block, the unit of counting, profiling and building.

An Op says everything about what it computes (kind, input shape, hyper-parameters) and nothing about
weights. Ops are frozen and hashable, so an Op *is* the key of a latency table.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from hwnas.errors import SpaceError

ACTIVATIONS = ("relu", "relu6", "hswish")

_KINDS: dict[str, type[Op]] = {}
_FIELD_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}


@dataclass(frozen=True, kw_only=True)
class Op:
    """What every kind of Op has: its input shape (C, H, W) and its output channels.

    Subclasses register themselves under their ``kind``; a kind can be taken only once.
    """

    kind: ClassVar[str]
    c_in: int
    h_in: int
    w_in: int
    c_out: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind in _KINDS:
            raise TypeError(f"op kind {cls.kind!r} is already taken by {_KINDS[cls.kind].__name__}")
        _KINDS[cls.kind] = cls

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.type in ("int", "float") and (isinstance(value, bool) or not value > 0):
                raise SpaceError(f"op {self.kind}: {f.name} must be a positive number, got {value!r}")
            if f.type == "float":
                object.__setattr__(self, f.name, float(value))  # 3 and 3.0 are one Op, in files as well
            if f.name == "act" and value not in ACTIVATIONS:
                raise SpaceError(f"op {self.kind}: act must be one of {', '.join(ACTIVATIONS)}, got {value!r}")

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Output shape (C, H, W)."""
        return self.c_out, self.h_in, self.w_in

    @property
    def absorbs_before(self) -> bool:
        """Whether a 1×1 convolution in front of this Op folds exactly into its first convolution."""
        return False

    @property
    def absorbs_after(self) -> bool:
        """Whether a 1×1 convolution behind this Op folds exactly into its last convolution."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """A flat mapping of plain values, ``kind`` first: what files hold."""
        return {"kind": self.kind, **asdict(self)}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Op:
        """The Op that ``to_dict`` described.

        Raises:
            SpaceError: unknown kind, or a field missing, unknown or out of range.
        """
        kind = data.get("kind")
        cls = _KINDS.get(kind) if isinstance(kind, str) else None
        if cls is None:
            raise SpaceError(f"unknown op kind {kind!r}; known: {', '.join(sorted(_KINDS))}")
        expected = {f.name: f.type for f in fields(cls)}
        given = {k: v for k, v in data.items() if k != "kind"}
        if missing := sorted(expected.keys() - given.keys()):
            raise SpaceError(f"op {kind}: missing field {missing[0]!r}")
        if unknown := sorted(given.keys() - expected.keys(), key=str):
            raise SpaceError(f"op {kind}: unknown field {unknown[0]!r}; it has {', '.join(expected)}")
        for name, value in given.items():
            wanted = _FIELD_TYPES[str(expected[name])]
            if not isinstance(value, wanted) or (isinstance(value, bool) and expected[name] != "bool"):
                raise SpaceError(f"op {kind}: {name} must be {expected[name]}, got {value!r}")
        return cls(**given)

    def __str__(self) -> str:
        return f"{self.kind} {self._shapes()}{self._details()}"

    def _shapes(self) -> str:
        c, h, w = self.out_shape
        return f"{self.c_in}x{self.h_in}x{self.w_in}->{c}x{h}x{w}"

    def _details(self) -> str:
        return ""


def _strided(size: int, stride: int) -> int:
    return -(-size // stride)  # "same" padding: rounds up


@dataclass(frozen=True, kw_only=True)
class Stem(Op):
    """conv 3×3 to ``width``, BN, act; then, if ``separable``, depthwise 3×3, BN, act, 1×1 to ``c_out``, BN."""

    kind: ClassVar[str] = "stem"
    width: int
    stride: int
    separable: bool
    act: str

    @property
    def out_shape(self) -> tuple[int, int, int]:
        return self.c_out, _strided(self.h_in, self.stride), _strided(self.w_in, self.stride)

    @property
    def absorbs_after(self) -> bool:
        return self.separable

    def _details(self) -> str:
        return f" w{self.width} s{self.stride}{' separable' if self.separable else ''} {self.act}"


@dataclass(frozen=True, kw_only=True)
class MBConv(Op):
    """Inverted residual block (MobileNetV2 §3.3): 1×1 expand, depthwise k×k, optional SE, 1×1 project.

    The expanding convolution is there iff ``expansion`` isn't 1. SE as in MobileNetV3 §5.3, on the
    expanded width, reduction 4, hard-sigmoid gate.
    """

    kind: ClassVar[str] = "mbconv"
    kernel: int
    stride: int
    expansion: float
    se: bool
    act: str

    @property
    def hidden(self) -> int:
        """Channels between the expanding and the projecting convolution."""
        return round(self.c_in * self.expansion)

    @property
    def squeezed(self) -> int:
        """Channels inside the SE module."""
        return max(1, self.hidden // 4)

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.c_in == self.c_out

    @property
    def out_shape(self) -> tuple[int, int, int]:
        return self.c_out, _strided(self.h_in, self.stride), _strided(self.w_in, self.stride)

    @property
    def absorbs_before(self) -> bool:
        return self.expansion != 1 and not self.residual

    @property
    def absorbs_after(self) -> bool:
        return not self.residual

    def _details(self) -> str:
        return f" k{self.kernel} s{self.stride} e{self.expansion:g}{' se' if self.se else ''} {self.act}"


@dataclass(frozen=True, kw_only=True)
class Stabilizer(Op):
    """The skip of a choice layer: a learnable 1×1 convolution, no bias, no BN (SCARLET-NAS §3.2)."""

    kind: ClassVar[str] = "stabilizer"


@dataclass(frozen=True, kw_only=True)
class Downsample(Op):
    """The "identity" of a layer that changes shape (NAS-Bench-Macro): 1×1 strided convolution, BN."""

    kind: ClassVar[str] = "downsample"
    stride: int

    @property
    def out_shape(self) -> tuple[int, int, int]:
        return self.c_out, _strided(self.h_in, self.stride), _strided(self.w_in, self.stride)

    @property
    def absorbs_before(self) -> bool:
        return True

    @property
    def absorbs_after(self) -> bool:
        return True

    def _details(self) -> str:
        return f" s{self.stride}"


@dataclass(frozen=True, kw_only=True)
class Head(Op):
    """1×1 convolution to ``width``, BN, act, global average pooling, linear layer to ``c_out`` classes."""

    kind: ClassVar[str] = "head"
    width: int
    act: str

    @property
    def out_shape(self) -> tuple[int, int, int]:
        return self.c_out, 1, 1

    @property
    def absorbs_before(self) -> bool:
        return True

    def _details(self) -> str:
        return f" w{self.width} {self.act}"
