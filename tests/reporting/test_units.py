"""Numbers as people read them."""

from __future__ import annotations

import pytest

from hwnas.errors import counted
from hwnas.reporting.units import bytes_, large, milliseconds, number, percent, seconds, shown, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (milliseconds(0.01234), "0.012 ms"),
        (milliseconds(0.7116), "0.712 ms"),
        (milliseconds(7.116), "7.12 ms"),
        (milliseconds(1234.5), "1,234 ms"),
        (percent(0.97216), "97.22 %"),
        (large(999), "999"),
        (large(5_313_152), "5.31 M"),
        (large(9e20), "9.0×10²⁰"),
        (bytes_(412), "412 bytes"),
        (bytes_(412_883), "413 kB"),
        (seconds(41.26), "41.3 s"),
        (seconds(126), "2 min 6 s"),
        (seconds(7260), "2 h 1 min"),
        (number(float("nan")), "not a number"),
        (number(0.00005), "5.0e-05"),
        (number(12.0), "12"),
        (shown(0.5, "fraction"), "50.00 %"),
        (shown(2.0, "ms"), "2.00 ms"),
        (shown(3.5, "joule"), "3.500 joule"),
        (shown(3.5, ""), "3.500"),
        (words("latency_ms"), "latency"),
        (words("val_accuracy"), "val accuracy"),
        (words("madds"), "multiply-adds"),
        (words("latency_ms my phone"), "latency on my phone"),
        (words("latency_p90_ms"), "p90 latency"),
        (words("latency_p90_ms gpu"), "p90 latency on gpu"),
        (words("model_mb"), "model size"),
        (words("top-5 accuracy"), "top-5 accuracy"),
    ],
)
def test_reads_as(text: str, expected: str) -> None:
    assert text.replace("\N{NO-BREAK SPACE}", " ") == expected


@pytest.mark.parametrize(
    ("count", "noun", "expected"),
    [
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
        (0, "random prefix", "0 random prefixes"),
        (3, "arch", "3 archs"),
        (2, "class", "2 classes"),
        (1234, "op", "1,234 ops"),
    ],
)
def test_a_count_and_its_noun(count: int, noun: str, expected: str) -> None:
    assert counted(count, noun) == expected
