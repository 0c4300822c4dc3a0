"""The foreign models are what their names say, the same each time, and torch's exporter takes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from tests.foreign_models import text_encoder, vit

Made = tuple[nn.Module, tuple[torch.Tensor, ...]]


@pytest.mark.parametrize("make", [vit, text_encoder])
def test_exported_by_torch_it_computes_the_same(make: Callable[[], Made]) -> None:
    module, inputs = make()
    before = torch.random.get_rng_state()
    again, others = make()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(module(*inputs), again(*others))
    program = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
    assert program is not None
    model = program.model_proto.SerializeToString()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = {entry.name: value.numpy() for entry, value in zip(session.get_inputs(), inputs, strict=True)}
    np.testing.assert_allclose(session.run(None, feed)[0], module(*inputs).detach().numpy(), atol=1e-5)


def test_words_that_are_none_say_nothing() -> None:
    module, (ids, mask) = text_encoder()
    other = torch.where(mask > 0, ids, (ids + 1) % 100)
    assert not torch.equal(ids, other)
    assert torch.allclose(module(ids, mask), module(other, mask), atol=1e-6)
    assert float(module(ids, mask).detach().square().sum()) == pytest.approx(1, abs=1e-3)
