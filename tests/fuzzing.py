"""Files that were damaged or edited, and what reading them may give."""

from __future__ import annotations

import copy
import math
import os
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from hwnas.errors import HwnasError

FUZZ = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

ODD = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 1, 2, 7, 10**30, -(10**30), 0.0, -0.0, 0.5, 1e-300, 1e300, math.inf, -math.inf,
         math.nan, "", "1", "1e9", "nan", "../../etc/passwd", "/dev/null.yaml", "a\0b.yaml", "\ud800", "x" * 5000, [],
         {}, [[]], [None], {"": None}, {"kind": "mbconv"}, [0, 0]]
    ),
    st.integers(), st.floats(), st.text(max_size=5),
)  # fmt: skip


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
"""Of each kind of file; ``make fuzz`` has 5,000."""

_ODD_VALUES: list[Any] = [
    None, True, -1, 0, 3.5, 1e308, 10**30, "", "x", "../..", [], [1], {}, {"a": 1}, [[[]]], "\ud800", float("nan"),
]  # fmt: skip


class one_line_or_nothing:  # noqa: N801  (reads as a sentence where it is used)
    """Lets typed errors of one line pass, and nothing else."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, HwnasError):
            assert error.exit_status == 2
            assert len(str(error).splitlines()) == 1, error
            return True
        return False


def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """A few bytes flipped, cut, inserted, doubled or swapped for others."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        if not changed:
            break
        at = draw(st.integers(0, len(changed) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                changed[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + draw(st.integers(1, 50))]
            case 3:
                changed[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                changed[at:at] = changed[at : at + draw(st.integers(1, 200))]
    return bytes(changed)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key or index) of everything inside."""
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        yield data, key
        if isinstance(value, dict | list) and value:
            yield from places(value)


def mutate(draw: st.DrawFn, original: dict[str, Any]) -> dict[str, Any]:
    """One to three values replaced, removed, repeated, renamed or scaled."""
    data = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(data))
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        match draw(st.integers(0, 5)):
            case 0:
                del container[key]
            case 1 if isinstance(container, list):
                container.insert(key, copy.deepcopy(container[key]))
            case 1:
                container[draw(st.text(max_size=5))] = container.pop(key)
            case 2 if isinstance(container[key], int | float) and not isinstance(container[key], bool):
                container[key] = container[key] * draw(st.sampled_from([-1, 0, 1000, 0.001, 1.0000001, 2]))
            case _:
                container[key] = copy.deepcopy(draw(ODD))
    return data


def altered(data: Any, rng: random.Random) -> Any:
    """With one value somewhere inside replaced, removed or added."""
    data = copy.deepcopy(data)
    where = data
    while isinstance(where, dict | list) and where:
        key = rng.choice(list(where) if isinstance(where, dict) else range(len(where)))
        if not isinstance(where[key], dict | list) or not where[key] or rng.random() < 0.3:
            break
        where = where[key]
    match rng.randrange(3):
        case 0:
            where[key] = rng.choice(_ODD_VALUES)
        case 1:
            del where[key]
        case _ if isinstance(where, dict):
            where[rng.choice(["schema", "kind", "learner", "spcae", "1"])] = rng.choice(_ODD_VALUES)
        case _:
            where.append(rng.choice(_ODD_VALUES))
    return data
