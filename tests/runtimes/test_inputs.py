"""Sessions of models with several inputs and outputs, of any dtype; the graph's own optimizations left out."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from hwnas.onnx.model import model_of
from hwnas.onnx.stand_in import stand_in
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.runtimes.registry import get_runtime
from tests.onnx_models import graph_model

WORDS = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
FLOATS = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
IDS = np.array([[0, 6, 3], [2, 2, 5]])
BYTES = np.arange(8, dtype=np.uint8).reshape(2, 4)


def embedded() -> bytes:
    """(ids, beside) -> beside + words[ids], ids + ids."""
    return graph_model(
        [
            helper.make_node("Gather", ["words", "ids"], ["found"]),
            helper.make_node("Add", ["found", "beside"], ["sum"]),
            helper.make_node("Add", ["ids", "ids"], ["twice"]),
        ],
        {"ids": IDS, "beside": FLOATS},
        ["sum", "twice"],
        words=WORDS,
    )


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_takes_inputs_and_gives_outputs_in_the_models_order(name: str) -> None:
    pytest.importorskip(name)
    session = get_runtime(name).load(embedded(), threads=1, precision="fp32")
    for ids, beside in ((IDS, FLOATS), (IDS[:1], FLOATS[:1])):  # any batch
        total, twice = session.run([ids, beside])
        np.testing.assert_allclose(total, WORDS[ids] + beside, rtol=1e-6)
        np.testing.assert_array_equal(twice, 2 * ids)
        assert (total.dtype, twice.dtype) == (np.float32, np.int64)
        call = session.bind([ids, beside])
        assert [call() for _ in range(3)] == [None] * 3


def test_torch_takes_several() -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])]
    model = graph_model(nodes, {"a": FLOATS, "b": FLOATS}, ["product", "sum"])
    session = get_runtime("torch").load(model, threads=1, precision="fp32")
    product, total = session.run([FLOATS, 2 * FLOATS])
    np.testing.assert_allclose(product, 2 * FLOATS**2)
    np.testing.assert_allclose(total, 3 * FLOATS)
    assert session.bind([FLOATS, FLOATS])() is None


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_takes_bytes_and_gives_yes_or_no(name: str) -> None:
    pytest.importorskip(name)
    nodes = [
        helper.make_node("Cast", ["bytes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Greater", ["floats", "limit"], ["above"]),
    ]
    model = graph_model(nodes, {"bytes": BYTES}, ["floats", "above"], limit=np.float32(3.5))
    session = get_runtime(name).load(model, threads=1, precision="fp32")
    floats, above = session.run([BYTES])
    np.testing.assert_array_equal(floats, BYTES.astype(np.float32))
    np.testing.assert_array_equal(above.astype(bool), BYTES > 3)
    session.bind([BYTES])()


def test_an_output_whose_size_depends_on_the_data_is_bound() -> None:
    model = graph_model([helper.make_node("NonZero", ["bytes"], ["where"])], {"bytes": BYTES}, ["where"])
    session = OnnxRuntime().load(model, threads=1, precision="fp32")
    session.bind([BYTES])()
    np.testing.assert_array_equal(session.run([BYTES])[0], np.nonzero(BYTES))


def test_as_is_is_without_the_runtimes_own_optimizations() -> None:
    for as_is, level in ((True, "ORT_DISABLE_ALL"), (False, "ORT_ENABLE_ALL")):
        session = OnnxRuntime().load(embedded(), threads=1, precision="fp32", as_is=as_is)
        assert session._session.get_session_options().graph_optimization_level.name == level
        np.testing.assert_allclose(session.run([IDS, FLOATS])[0], WORDS[IDS] + FLOATS, rtol=1e-6)


def test_stand_ins_fit_the_models_inputs() -> None:
    model = model_of(embedded(), "embedded", {"ids": (2, 3), "beside": (2, 3, 4)})
    total, _ = OnnxRuntime().load(model.data, threads=1, precision="fp32").run([stand_in(p) for p in model.inputs])
    assert total.shape == (2, 3, 4)
