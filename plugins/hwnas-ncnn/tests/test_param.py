"""What is read of ncnn's files before ncnn sees them: sound ones are, contradictions aren't."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("hwnas_ncnn", reason="the package of plugins/hwnas-ncnn isn't installed")

from hwnas_ncnn.convert import to_ncnn
from hwnas_ncnn.param import read_param
from hwnas_ncnn.runtime import Ncnn

from hwnas.artifacts.formats.base import get_format
from hwnas.errors import ConfigError, ModelError
from hwnas.graph.count import count
from hwnas.nn.network import Network
from hwnas.records.target import get_target
from hwnas.space.registry import get_space
from tests.onnx_models import onnx_of


@cache
def _network() -> Network:
    space = get_space("scarlet-tiny")
    return Network(space, [2] * space.num_layers).eval()


@cache
def _files() -> tuple[bytes, bytes]:
    space = _network().space
    return to_ncnn(onnx_of(_network(), (space.stem.c_in, space.resolution, space.resolution)))


def _load(param: bytes, weights: bytes) -> None:
    Ncnn().load_files(param, weights, threads=1, precision="fp32")


def test_counts_the_network() -> None:
    """Held against PyTorch's own modules and the formulas of Ops."""
    layers = [m for m in _network().modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    found = read_param(_files()[0]).structure
    assert found == (len(layers), sum(layer.weight.numel() for layer in layers), count(_network().graph).madds)


def test_keeps_the_activations_whole() -> None:
    text = _files()[0].decode()
    assert len(re.findall("^HardSwish", text, re.MULTILINE)) == sum(
        isinstance(m, torch.nn.Hardswish) for m in _network().modules()
    )


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("^7767517", "7767518"),
        (r"^(7767517)\n\d+", r"\1\n9"),
        ("^HardSwish ", "Conjurer "),
        ("^HardSwish ", "MemoryData "),
        (r" 6=\d+", " 6=99999999"),
        (r" 6=\d+", " 6=-1"),
        (r" 0=\d+", " 0=0"),
        (r" 11=3", " 11=5000"),
        (r" 3=2", " 3=0"),
        (r" 4=\d+", " 4=-3"),
        (r" 5=1", " 5=7"),
        (r" 7=\d+", " 7=5"),
        (r" 2=1 ", " 2=999999 "),
        (r"-23310=2,", "-23310=999999999,"),
        (r"-23310=2,0.0", "-23310=2,nan"),
        (r" 5=1", " 5=1 8=2"),
        (r" 5=1", " 5=1 5=1"),
        (r" 1 1 in0 1 ", " 1 1 nowhere 1 "),
        (r" 1 1 in0 1 ", " 1 1 in0 in0 "),
        (r" 1 1 in0 1 ", " 1 9 in0 1 "),
        (r" 1 1 in0 1 ", " -1 1 in0 1 "),
        (r"0=\d+ 1=\d+ 2=3$", ""),
        (r"0=\d+ 1=\d+ 2=3$", "0=1000000 1=1000000 2=3"),
        (r"0=\d+ 1=\d+ 2=3$", "0=1 1=1 2=3 3=9"),
    ],
)
def test_refuses_contradictions(pattern: str, replacement: str) -> None:
    param, weights = _files()
    changed, times = re.subn(pattern, replacement, param.decode(), count=1, flags=re.MULTILINE)
    assert times
    assert changed.encode() != param
    with pytest.raises(ModelError) as caught:
        _load(changed.encode(), weights)
    assert "\n" not in str(caught.value)


def test_refuses_other_weights() -> None:
    param, weights = _files()
    for changed in (weights[:-4], weights + b"\0\0\0\0", b"\x47\x6b\x30\x01" + weights[4:], b""):
        with pytest.raises(ModelError, match=r"ncnn \.bin"):
            _load(param, changed)


def test_any_change_is_refused_or_runs() -> None:
    """ncnn itself would end the process on some of these."""
    param, weights = _files()
    rng, words = random.Random(0), param.decode().split(" ")
    refused = 0
    for _ in range(400):
        changed = list(words)
        for _ in range(rng.choice([1, 1, 2])):
            changed[rng.randrange(len(words))] = rng.choice(["0=1", "6=0", "1", "in0", "", "4=1", "11=9", *words])
        text = " ".join(changed).encode()
        try:
            session = Ncnn().load_files(text, weights, threads=1, precision="fp32")
        except ModelError:
            refused += 1
            continue
        session.run([np.zeros((1, *read_param(text).input_chw), np.float32)])
    assert 200 < refused < 400


def test_refuses_what_it_doesnt_have() -> None:
    kind = get_format("ncnn")
    fp32 = get_target(str(Path(__file__).parents[1] / "targets" / "ncnn-fp32.yaml"))
    with pytest.raises(ModelError, match="runtime ncnn runs fp32, bf16, not 'int8'"):
        kind.write(b"", fp32.model_copy(update={"precision": "int8"}))
    with pytest.raises(ConfigError, match="format ncnn runs on runtime ncnn, not onnxruntime"):
        kind.runtime(fp32.model_copy(update={"runtime": "onnxruntime"}))
    with pytest.raises(ModelError, match=r"the model takes images of \(3, 32, 32\), not \(3, 8, 8\)"):
        Ncnn().load_files(*_files(), threads=1, precision="fp32").run([np.zeros((1, 3, 8, 8), np.float32)])
