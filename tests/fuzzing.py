"""Files that were damaged or edited, and what reading them may give."""

from __future__ import annotations

import copy
import json
import math
import os
import random
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
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

    def __init__(self) -> None:
        self.said: list[str] = []

    def __enter__(self) -> list[str]:
        return self.said

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, HwnasError):
            assert error.exit_status == 2
            assert len(str(error).splitlines()) == 1, error
            self.said.append(str(error))
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


def alike(data: Any, rng: random.Random) -> Any:
    """With one value somewhere inside replaced by another of its type, which few checks of types refuse."""
    data = copy.deepcopy(data)
    where, key = rng.choice(list(places(data)))
    match where[key]:
        case bool():
            where[key] = not where[key]
        case int():
            where[key] = rng.choice(
                [0, 1, -1, 2, where[key] + 1, where[key] - 1, 2**31, 2**31 - 1, 2**62, 10**18, -(10**18)]
            )
        case float():
            where[key] *= rng.choice([0, -1, 1e3, 1e-3, 1e300, 1e-300]) if rng.random() < 0.8 else 1 + rng.random()
        case str():
            where[key] = rng.choice(
                ["", "x", "é\n", "../../etc/passwd", "\0", "<b>", "x" * 3000, str(where[key])[:-1], "1"]
            )
        case list() if where[key]:
            inner = where[key]
            where[key] = rng.choice([[], inner[:-1], inner + inner[:1], inner[::-1], inner[:1], inner * 3])
        case dict() if where[key]:
            name = rng.choice(list(where[key]))
            where[key][rng.choice(["", "x", f"{name} "])] = where[key].pop(name)
        case _:
            where[key] = rng.choice([0, 0.5, 1, "x", [], {}])
    return data


_TOKENS = [
    b"", b"\0", b"{", b"[", b'"', b":", b"-", b"\xff", b"\xed\xa0\x80", b"&a", b"*a", b"<<: ", b"9" * 400, b"1e999",
    b"NaN", b"\r\n",
]  # fmt: skip


def spoilt(content: bytes, rng: random.Random) -> bytes:
    """A few bytes flipped, cut, doubled, moved or overwritten."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed) or 1)
        match rng.randrange(7):
            case 0 if changed:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + rng.randint(1, 50)]
            case 3:
                changed[at:at] = rng.choice(_TOKENS)
            case 4:
                changed[at:at] = changed[at : at + rng.randint(1, 200)]
            case 5:
                other = rng.randrange(len(changed) or 1)
                length = rng.randint(1, 64)
                changed[at : at + length] = changed[other : other + length]
            case _:
                changed[at : at + 8] = rng.choice([b"\0" * 8, b"\xff" * 8, b"\x80" + b"\0" * 7, b"\x7f" + b"\xff" * 7])
    return bytes(changed)


class TooSlow(BaseException):
    """A reader took more than :data:`MOST_S`."""


MOST_S = 5.0
MOST_MB = 1000.0


def hammer(files: dict[Path, bytes], read: Callable[[], object], examples: int, seed: int = 0) -> list[str]:
    """Alter one of some files at a time, and read; the messages of what was refused.

    Half are altered as what they say (JSON and YAML: a value replaced, removed or added), half as bytes. Nothing but a
    typed error of one line may come of it, within :data:`MOST_S` of processor time and :data:`MOST_MB`.
    """
    rng = random.Random(seed)
    plain = {path: _said(path, content) for path, content in files.items()}
    refused: list[str] = []
    faults: dict[str, str] = {}
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    handler = signal.signal(signal.SIGPROF, _too_slow)
    for example in range(examples):
        path = rng.choice(list(files))
        content = files[path]
        if plain[path] is not None and rng.random() < 0.6:
            said = plain[path]
            for _ in range(rng.randint(1, 3)):
                change = altered if rng.random() < 0.4 else alike
                said = change(said, rng) if isinstance(said, dict | list) and said else said
            content = json.dumps(said).encode("utf-8", "surrogatepass")
        else:
            content = spoilt(content, rng)
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, MOST_S)
        try:
            with one_line_or_nothing() as outcome:
                read()
            refused += outcome
        except (Exception, TooSlow) as error:  # the first of each kind is kept, to be tried again
            frame = traceback.extract_tb(error.__traceback__)[-1]
            kept = path.with_name(f"{path.name}.{example}.found")
            faults.setdefault(
                f"{type(error).__name__} in {frame.name}, line {frame.lineno}", f"{error!s:.200} ({kept})"
            )
            kept.write_bytes(content)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            path.write_bytes(files[path])
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
        assert grown_mb < MOST_MB, f"{grown_mb:.0f} MB in example {example} of {path}"
    signal.signal(signal.SIGPROF, handler)
    assert not faults, "\n".join(f"{where}: {what}" for where, what in faults.items())
    return refused


def _too_slow(*_: object) -> None:
    raise TooSlow


def _said(path: Path, content: bytes) -> Any:
    try:
        if path.suffix == ".json":
            return json.loads(content)
        if path.suffix == ".yaml":
            return yaml.safe_load(content)
    except ValueError:
        pass
    return None
