"""What people write down in Python is refused as a file of theirs would be: in one line, of one type."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import hwnas
from hwnas.errors import ModelError
from hwnas.files import validated
from hwnas.record import Record


class _Item(Record):
    x: int
    y: int


class _Items(Record):
    first: list[_Item]
    then: tuple[_Item, ...] | None = None
    by_name: dict[str, tuple[tuple[_Item, ...], ...]] | None = None


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (
            lambda: hwnas.Conditions(runtime="onnxruntime", threads=0),
            "Conditions: threads: .* greater than or equal to 1, got 0",
        ),
        (lambda: hwnas.TrainConfig(data="digits", epochs=0), "TrainConfig: epochs: .*got 0"),
        (lambda: hwnas.TrainConfig(data="digits", epochs=2, warmup_epochs=3.0), "warmup_epochs .3. must be less"),
        (
            lambda: hwnas.SupernetConfig(space="scarlet-tiny", resolutoin=3),
            "SupernetConfig: unknown key 'resolutoin'; did you mean 'resolution'[?]",
        ),
        (lambda: hwnas.SupernetConfig(spce="macro"), "SupernetConfig: unknown key 'spce'; did you mean 'space'[?]"),
        (
            lambda: hwnas.TrainConfig(data="digits", epoch=1),
            "TrainConfig: unknown key 'epoch'; did you mean 'epochs'[?]",
        ),
        (lambda: hwnas.TrainConfig(data="digits", space="macro"), "unknown key 'space'; it is a key of 'learner'"),
        (lambda: hwnas.Conditions(runtime="onnxruntime", thread=1), "Conditions: unknown key 'thread'; .*'threads'[?]"),
        (lambda: hwnas.NetworkConfig(netwrk="m"), "NetworkConfig: unknown key 'netwrk'; did you mean 'network'[?]"),
        (lambda: hwnas.NetworkConfig(), "NetworkConfig: network: Field required"),
        (
            lambda: hwnas.TrainConfig(data="digits", learner={"kind": "supernet", "spac": "x"}),
            "unknown key 'spac' in 'learner'; did you mean 'space'[?]",
        ),
    ],
)
def test_settings_of_ones_own(make: Callable[[], object], part: str) -> None:
    with pytest.raises(hwnas.HwnasError, match=part) as caught:
        make()
    assert caught.value.exit_status == 2
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": [{}] * 1000},
        {"first": [], "then": [{}] * 1000},
        {"first": [], "by_name": {"a": [[{}] * 1000] * 10}},
        {"first": [{"x": 1, "y": 2}] * 1000 + [{}] * 1000},
    ],
)
def test_a_list_of_wrong_items_is_read_to_the_first(wrong: object) -> None:
    """A million errors would take gigabytes, and one is told."""
    with pytest.raises(ModelError, match=r"\.x: Field required \(and 1 more\)$"):
        validated(_Items, wrong, "file", ModelError)
