"""`RuntimeContract`: what hwnas relies on in a runtime."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.external_data_helper import convert_model_to_external_data
from torch import nn

from hwnas.arrays import Images
from hwnas.errors import ModelError
from hwnas.graph.graph import Graph, Op, chain
from hwnas.nn.layers import GraphModule, initialize, weights_of
from hwnas.onnx.kernel_model import kernel_model
from hwnas.onnx.model import model_of
from hwnas.onnx.stand_in import stand_in
from hwnas.onnx.write import to_onnx
from hwnas.ops.head import Head
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem
from hwnas.runtimes.base import Runtime, Session

_OPS: Mapping[str, Op] = {
    "stem": Stem(c_in=3, h_in=32, w_in=32, c_out=16, width=8, stride=2, separable=True, act="relu6"),
    "residual": MBConv(c_in=16, h_in=12, w_in=12, c_out=16, kernel=5, stride=1, expansion=3, se=False, act="hswish"),
    "gated": MBConv(c_in=16, h_in=12, w_in=12, c_out=24, kernel=3, stride=2, expansion=6, se=True, act="hswish"),
    "gated residual": MBConv(c_in=16, h_in=7, w_in=7, c_out=16, kernel=7, stride=1, expansion=3, se=True, act="relu"),
    "stabilizer": Stabilizer(c_in=24, h_in=8, w_in=8, c_out=24),
    "head": Head(c_in=24, h_in=7, w_in=7, c_out=10, width=64, act="hswish"),
}


class RuntimeContract:
    """What :class:`hwnas.runtimes.base.Runtime` promises, on small blocks, against PyTorch's own modules.

    Attributes:
        errors: how far results may be off, by precision: the norm of the difference over that of PyTorch's result.
            Rounding to bf16 (8 bits), fp16 (11 bits) or int8 happens at each of up to five layers, and int8 cuts off
            what goes beyond the range of the few random images that ``prepare`` calibrates with.
    """

    errors: Mapping[str, float] = {"fp32": 1e-5, "fp16": 5e-3, "bf16": 3e-2, "int8": 0.15}

    @pytest.fixture
    def runtime(self) -> Runtime:
        """The runtime to test; override this."""
        raise NotImplementedError("override the fixture 'runtime'")

    def test_says_what_it_is(self, runtime: Runtime) -> None:
        assert runtime.name
        assert runtime.version()
        assert runtime.accelerator() is None or runtime.accelerator()
        assert runtime.precisions
        assert len(set(runtime.precisions)) == len(runtime.precisions)
        assert set(runtime.precisions) <= set(self.errors), "say in `errors` how exact each precision is"
        assert all(isinstance(k, str) and isinstance(v, str) for k, v in runtime.options.items())

    @pytest.mark.parametrize("name", _OPS)
    def test_agrees_with_pytorch(self, runtime: Runtime, name: str) -> None:
        module, model, images = _example(name)
        expected = reference(module, images)
        for precision in runtime.precisions:
            result = _loaded(runtime, model, precision).run([images])[0]
            assert result.dtype == np.float32
            assert result.shape == expected.shape
            assert error(result, expected) <= self.errors[precision], precision

    def test_takes_any_batch(self, runtime: Runtime) -> None:
        _, model, images = _example("gated", batch=3)
        for precision in runtime.precisions:
            session = _loaded(runtime, model, precision)
            together = session.run([images])[0]
            single = np.concatenate([session.run([images[i : i + 1]])[0] for i in range(3)])
            assert error(together, single) <= self.errors[precision], precision

    def test_a_bound_call_repeats_one_inference(self, runtime: Runtime) -> None:
        module, model, images = _example("gated", batch=2)
        for precision in runtime.precisions:
            session = _loaded(runtime, model, precision)
            calls = [session.bind([images]), session.bind([images[:1]])]
            for _ in range(3):
                for call in calls:
                    ns = call()
                    assert ns is None or ns > 0
            assert error(session.run([images])[0], reference(module, images)) <= self.errors[precision]

    def test_a_bound_call_ends_when_the_inference_does(self, runtime: Runtime) -> None:
        """Told by processor time, not by the clock: nothing of this process computes once the call is back."""
        _, model, images = _example("gated residual", batch=64)
        for precision in runtime.precisions:
            call = _loaded(runtime, model, precision).bind([images])
            call()
            shares = []  # of five: what else this process does, falls on some of them, or on all alike
            for _ in range(5):
                idle_s = _process_s(lambda: time.sleep(0.03))
                inference_s = _process_s(call)
                shares.append((_process_s(lambda: time.sleep(0.03)) - idle_s) / inference_s)
            assert np.median(shares) < 0.3, precision

    def test_sessions_leave_each_other_alone(self, runtime: Runtime) -> None:
        examples = [_example(name) for name in ("residual", "gated")]
        for precision in runtime.precisions:
            sessions, alone = [], []
            for _, model, images in examples:
                sessions.append(_loaded(runtime, model, precision))
                alone.append(sessions[-1].run([images])[0])
            calls = [session.bind([images]) for session, (_, _, images) in zip(sessions, examples, strict=True)]
            for call in calls * 2:
                call()
            for session, (_, _, images), before in zip(sessions, examples, alone, strict=True):
                np.testing.assert_array_equal(session.run([images])[0], before)

    def test_threads_change_no_numbers(self, runtime: Runtime) -> None:
        _, model, images = _example("gated")
        for precision in runtime.precisions:
            one, two = (_loaded(runtime, model, precision, threads).run([images])[0] for threads in (1, 2))
            assert error(two, one) <= self.errors[precision], precision

    def test_leaves_the_process_as_it_was(self, runtime: Runtime) -> None:
        _, model, images = _example("gated")
        threads = torch.get_num_threads()
        other = threads + 1
        before = torch.get_rng_state(), np.random.get_state(legacy=False)
        for precision in runtime.precisions:
            session = _loaded(runtime, model, precision, threads=other)
            session.run([images])
            session.bind([images])()
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], before[1]["state"]["key"])

    def test_refuses_another_precision(self, runtime: Runtime) -> None:
        _, model, _ = _example("residual")
        for call in (
            lambda: runtime.prepare(model, "fp12"),
            lambda: runtime.load(model, threads=1, precision="fp12"),
        ):
            message = refusal(call)
            assert "fp12" in message
            assert all(precision in message for precision in runtime.precisions)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
    def test_refuses_a_model_cut_short(self, runtime: Runtime, share: float) -> None:
        _, model, _ = _example("gated")
        broken = model[: int(share * len(model))]
        for precision in runtime.precisions:
            refusal(partial(_loaded, runtime, broken, precision))

    def test_refuses_what_is_no_model(self, runtime: Runtime) -> None:
        noise = np.random.default_rng(0).bytes(4096)
        for precision in runtime.precisions:
            for junk in (noise, b"not a model"):
                refusal(partial(_loaded, runtime, junk, precision))
                refusal(partial(runtime.load, junk, threads=1, precision=precision))
                refusal(partial(runtime.kernels, junk, precision))

    def test_opens_no_other_file(self, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model may name a file that holds its weights; here the file is there, and must not be read."""
        proto = onnx.load_from_string(_example("residual")[1])
        convert_model_to_external_data(proto, location="weights.bin", size_threshold=0)
        onnx.save(proto, tmp_path / "model.onnx")
        monkeypatch.chdir(tmp_path)
        model = (tmp_path / "model.onnx").read_bytes()
        for precision in runtime.precisions:
            refusal(partial(_loaded, runtime, model, precision))
            refusal(partial(runtime.kernels, model, precision))

    def test_tells_its_kernels_or_that_it_does_not(self, runtime: Runtime) -> None:
        """Each runs alone, or is told by name; a runtime that tells none says so in a line."""
        precision = runtime.precisions[0]
        model = model_of(_example("gated")[1], "gated").data
        try:
            launches = runtime.kernels(model, precision)
        except ModelError:
            refusal(partial(runtime.kernels, model, precision))
            return
        assert "fp12" in refusal(partial(runtime.kernels, model, "fp12"))
        assert any(launch.kernel for launch in launches)
        for launch in launches:
            assert launch.name
            assert bool(launch.uncut) == (launch.kernel is None), launch
            if launch.kernel:
                data, ports = kernel_model(launch.kernel)
                prepared = runtime.prepare(data, precision)
                session = runtime.load(prepared, threads=1, precision=precision, as_is=True)
                given = session.run([stand_in(port) for port in ports])
                assert len(given) == len(launch.kernel.outputs)
                assert all(np.isfinite(each).all() for each in given)


def _example(name: str, batch: int = 1) -> tuple[nn.Module, bytes, Images]:
    op = _OPS[name]
    return example(chain(op.in_shapes[0], (("op", op),)), batch)


def _process_s(call: Callable[[], object]) -> float:
    """Processor time of this whole process meanwhile."""
    begin_s = time.process_time()
    call()
    return time.process_time() - begin_s


def _loaded(runtime: Runtime, model: bytes, precision: str, threads: int = 1) -> Session:
    return runtime.load(runtime.prepare(model, precision), threads=threads, precision=precision)


def example(graph: Graph, batch: int) -> tuple[nn.Module, bytes, Images]:
    """A network with random weights, its ONNX graph, and images for it."""
    network = GraphModule(graph).eval()
    for node in graph:
        initialize(network.get_submodule(node.place), node.op, torch.Generator().manual_seed(0))
    images = np.random.default_rng(1).standard_normal((batch, *graph.in_shapes[0]), dtype=np.float32)
    return network, to_onnx(graph, weights_of(network)), images


def reference(network: nn.Module, images: Images) -> Images:
    """What PyTorch says."""
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(images)).numpy())


def error(result: Images, expected: Images) -> float:
    """The norm of the difference over that of what was expected."""
    return float(np.linalg.norm(result - expected) / np.linalg.norm(expected))


def refusal(call: Callable[[], object]) -> str:
    """The message of the ModelError that ``call`` must end in: one line."""
    with pytest.raises(ModelError) as caught:
        call()
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message
