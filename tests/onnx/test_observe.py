"""What is seen of a model is what ONNX's own evaluator computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from hwnas.errors import ModelError
from hwnas.onnx.observe import INPUT, observe
from tests.flow.diff_models import IMAGES, Chain


def test_every_value_is_that_of_the_reference_evaluator() -> None:
    proto = onnx.load_from_string(Chain(3).onnx())
    rng = np.random.default_rng(0)
    feeds = [{"images": rng.standard_normal(IMAGES, dtype=np.float32)} for _ in range(2)]
    found = observe(proto, feeds)
    for run, feed in enumerate(feeds):
        reference = ReferenceEvaluator(proto).run(None, feed, intermediate=True)
        for value in found:
            np.testing.assert_allclose(value.array[run], reference[value.name], rtol=1e-4, atol=1e-5)
    assert [value.name for value in found] == ["images", *(node.output[0] for node in proto.graph.node)]
    assert [value.name for value in found if value.is_output] == ["logits"]
    assert (found[0].op, found[1].reads) == (INPUT, ("images",))


def test_what_cannot_run_is_told() -> None:
    proto = onnx.load_from_string(Chain(1).onnx())
    with pytest.raises(ModelError, match="can't run the model to see its values"):
        observe(proto, [{"images": np.zeros((1, 9, 6, 6), np.float32)}])
