"""A checkpoint of the released layout, which can't be had, with random values."""

from __future__ import annotations

from pathlib import Path

import torch

from hwnas.space.scarlet import released_archs


def official_state(name: str) -> dict[str, torch.Tensor]:
    """A state of the released layout with random values: written from the layout's description, not by our mapping."""
    arch = released_archs()[name]
    state: dict[str, torch.Tensor] = {}

    def conv(key: str, c_out: int, c_in: int, kernel: int) -> None:
        state[f"{key}.weight"] = torch.randn(c_out, c_in, kernel, kernel)

    def bn(key: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean"):
            state[f"{key}.{part}"] = torch.randn(channels)
        state[f"{key}.running_var"] = torch.rand(channels) + 0.5
        state[f"{key}.num_batches_tracked"] = torch.tensor(7)

    conv("stem.0", 32, 3, 3)
    bn("stem.1", 32)
    conv("separable_conv.0", 32, 1, 3)
    bn("separable_conv.1", 32)
    conv("separable_conv.3", 16, 32, 1)
    bn("separable_conv.4", 16)
    c_in = 16
    widths = [32] * 2 + [40] * 4 + [80] * 4 + [96] * 4 + [192] * 4 + [320]
    for i, (choice, c_out) in enumerate(zip(arch, widths, strict=True)):
        if choice == 12:
            continue
        kernel, hidden, key = (3, 5, 7)[choice // 4], c_in * (3, 6)[choice // 2 % 2], f"mb_module.{i}"
        conv(f"{key}.conv1", hidden, c_in, 1)
        bn(f"{key}.bn1", hidden)
        conv(f"{key}.conv2", hidden, 1, kernel)
        bn(f"{key}.bn2", hidden)
        if choice % 2:
            conv(f"{key}.mid_se.squeeze_conv", hidden // 4, hidden, 1)
            state[f"{key}.mid_se.squeeze_conv.bias"] = torch.randn(hidden // 4)
            conv(f"{key}.mid_se.excite_conv", hidden, hidden // 4, 1)
            state[f"{key}.mid_se.excite_conv.bias"] = torch.randn(hidden)
        conv(f"{key}.conv3", c_out, hidden, 1)
        bn(f"{key}.bn3", c_out)
        c_in = c_out
    conv("conv_before_pooling.0", 1280, 320, 1)
    bn("conv_before_pooling.1", 1280)
    state["classifier.weight"] = torch.randn(1000, 1280)
    state["classifier.bias"] = torch.randn(1000)
    return state


def write(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save({"model_state": state}, path)
    return path
