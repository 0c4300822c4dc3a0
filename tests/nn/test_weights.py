"""Weights of a file: what a network can't compute with is refused by the tensor's name, and what is odd is told."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from hwnas.errors import CheckpointError, HwnasWarning
from hwnas.nn.network import Network, load_strictly, load_weights, save_weights
from hwnas.space.registry import get_space

WEIGHT, VARIANCE, COUNTER = "head.classifier.weight", "head.conv.1.running_var", "head.conv.1.num_batches_tracked"


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(get_space("scarlet-tiny"), [0] * 8)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (WEIGHT, lambda t: t.to(torch.int8), "is int8, the network wants float32"),
        (WEIGHT, lambda t: t.bool(), "is bool, the network wants float32"),
        (WEIGHT, lambda t: t.to(torch.complex64), "is complex64, the network wants float32"),
        (WEIGHT, lambda t: t.to(torch.float8_e4m3fn), "is float8_e4m3fn, the network wants float32"),
        (WEIGHT, lambda t: t.to(torch.float8_e5m2), "is float8_e5m2, the network wants float32"),
        (WEIGHT, lambda t: t.to_sparse(), "is sparse .*save it dense"),
        (WEIGHT, lambda t: t.to_sparse_csr(), "is sparse .*save it dense"),
        (WEIGHT, lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is quantized"),
        (WEIGHT, lambda t: t.to("meta"), r"is without values \(meta\)"),
        (WEIGHT, lambda t: torch.nested.nested_tensor(list(t)), "is nested"),
        (WEIGHT, lambda t: t.double() * 1e300, "holds numbers in float64 that float32 can't"),
        (WEIGHT, lambda t: t.double() / 0.0, "holds a NaN or an infinity"),
        (VARIANCE, lambda t: -t, r"is negative \(-"),
        (COUNTER, lambda t: t - 1, r"is negative \(-1\)"),
        (COUNTER, lambda t: t.float(), "is float32, the network wants int64"),
    ],
)
def test_what_no_network_can_compute_with(
    network: Network, name: str, change: Callable[[torch.Tensor], torch.Tensor], words: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of kinds that it thinks of giving up
        state = network.state_dict() | {name: change(network.state_dict()[name])}
        with pytest.raises(CheckpointError, match=words) as caught:
            load_strictly(network, state, "a file")
    assert str(caught.value).startswith(f"a file: tensor '{name}' ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken(network: Network, dtype: torch.dtype) -> None:
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_strictly(network, own | {WEIGHT: own[WEIGHT].to(dtype)}, "a file")
    assert torch.equal(network.state_dict()[WEIGHT], own[WEIGHT].to(dtype).float())
    load_strictly(network, own, "a file")


def test_weights_of_zero_are_told(network: Network) -> None:
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_strictly(network, state | {"head.conv.1.bias": torch.zeros_like(state["head.conv.1.bias"])}, "a file")
    with pytest.warns(HwnasWarning, match=f"a file: the weights of 1 layer, the first '{WEIGHT}', are zero"):
        load_strictly(network, state | {WEIGHT: torch.zeros_like(state[WEIGHT])}, "a file")
    with pytest.warns(HwnasWarning, match=r"a file: all weights are zero: was it ever trained\?"):
        load_strictly(network, {name: torch.zeros_like(tensor) for name, tensor in state.items()}, "a file")
    load_strictly(network, state, "a file")


def test_a_type_that_pytorch_has_not(network: Network, tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(CheckpointError, match="isn't a safetensors file: 'F4'"):
        load_weights(network, tmp_path / "w")


def test_a_file_keeps_every_bit(network: Network, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == save(network.state_dict())
    other = Network(get_space("scarlet-tiny"), [0] * 8, seed=1)
    load_weights(other, tmp_path / "w")
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in network.state_dict().items())
