"""Ops as keys: equal iff all fields are, and the same after a round trip through a file's plain values."""

from __future__ import annotations

import json

import pytest

from hwnas.errors import SpaceError
from hwnas.graph.graph import Op
from hwnas.ops.mbconv import MBConv
from hwnas.space.registry import SPACES, get_space

MBCONV = {
    "kind": "mbconv", "c_in": 16, "h_in": 8, "w_in": 8, "c_out": 24, "kernel": 3, "stride": 2, "expansion": 3,
    "se": False, "act": "relu",
}  # fmt: skip


@pytest.mark.parametrize("name", SPACES.names())
def test_round_trip(name: str) -> None:
    for op in get_space(name).distinct_ops:
        again = Op.from_dict(json.loads(json.dumps(op.to_dict())))
        assert again == op
        assert hash(again) == hash(op)


def test_an_op_is_a_key() -> None:
    op = Op.from_dict(MBCONV)
    assert op == Op.from_dict({**MBCONV, "expansion": 3.0})
    assert op != Op.from_dict({**MBCONV, "w_in": 9})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "swin"}, "unknown op kind"),
        ({"kind": None}, "unknown op kind"),
        ({"kernel": None}, "kernel must be int"),
        ({"kernel": True}, "kernel must be int"),
        ({"kernel": 3.0}, "kernel must be int"),
        ({"c_in": 0}, "c_in must be a positive"),
        ({"c_in": -16}, "c_in must be a positive"),
        ({"se": 1}, "se must be bool"),
        ({"act": "swish"}, "act must be one of"),
        ({"expansion": float("nan")}, "expansion must be a positive"),
        ({"width": 3}, "unknown field 'width'"),
    ],
)
def test_wrong_fields(change: dict[str, object], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        Op.from_dict({**MBCONV, **change})


def test_missing_field() -> None:
    with pytest.raises(SpaceError, match="missing field 'kernel'"):
        Op.from_dict({k: v for k, v in MBCONV.items() if k != "kernel"})


def test_a_kind_can_be_taken_once() -> None:
    with pytest.raises(TypeError, match="already taken"):
        type("Other", (MBConv,), {"kind": "mbconv"})
