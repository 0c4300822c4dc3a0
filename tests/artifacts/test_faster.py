"""The driver keeps what is faster and leaves what isn't, by a device whose clock is known; and an artifact of what it
made passes its checks, while one whose padding isn't zero fails them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, numpy_helper

from hwnas.arrays import Array
from hwnas.artifacts.check import check_artifact
from hwnas.artifacts.faster import faster
from hwnas.artifacts.parity import random_textures
from hwnas.artifacts.structure import check_figures, check_structure, file_figures
from hwnas.errors import ConfigError, CountError, ModelError
from hwnas.flow.export import export
from hwnas.nn.network import Network
from hwnas.onnx.optimize.padding import shapes_before
from hwnas.onnx.optimize.rewrites import timed
from hwnas.profiling.timer import Effort
from hwnas.records.optimized import OptimizedRecord, Outcome
from hwnas.records.target import get_target, optimizing
from hwnas.runtimes.registry import get_runtime
from tests.artifacts.conftest import Copy, Shipped
from tests.onnx.optimize.graphs import Parts, images, kinds, model_of
from tests.onnx.optimize.test_layers import squeezed
from tests.onnx_models import onnx_of

EFFORT = Effort(rounds=3, runs_per_round=1, warmup_runs=0, at_least_s=0, at_most_s=0)
BOTH = "gates spread, channels padded to blocks of 8"
Clock = Callable[[GraphProto], float]


@dataclass(frozen=True)
class Device:
    """Runs a model; its own clock counts what ``clock`` says of the graph."""

    clock: Clock
    model: ModelProto

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        session = get_runtime("onnxruntime").load(self.model.SerializeToString(), threads=1, precision="fp32")
        return session.run(inputs)

    def bind(self, inputs: Sequence[Array]) -> Callable[[], float | None]:
        return lambda: 1e6 * self.clock(self.model.graph)


def optimized(model: ModelProto, clock: Clock) -> tuple[ModelProto, dict[str, Outcome]]:
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 5), dtype=np.float32)
    data = model.SerializeToString()
    found, record = faster(
        data, lambda each: Device(clock, onnx.load_from_string(each)), [x], block=8, effort=EFFORT
    )  # fmt: skip
    cpu = get_runtime("onnxruntime")
    one, other = (cpu.load(each, threads=1, precision="fp32").run([x])[0] for each in (data, found))
    np.testing.assert_allclose(other, one, atol=1e-5 * np.abs(one).max())
    for each in record.rewrites:
        assert (each.before_ms is None) == (each.outcome in ("never slower", "can't be run", "differs"))
    return onnx.load_from_string(found), {each.name: each.outcome for each in record.rewrites}


def nodes(graph: GraphProto) -> float:
    return len(graph.node)


def test_what_is_no_faster_is_left_out() -> None:
    model = squeezed(10, 3)
    found, outcomes = optimized(model, nodes)
    assert kinds(found) == kinds(model)
    assert set(outcomes.values()) == {"no faster"}
    assert len(outcomes) == 3


def blocked(graph: GraphProto) -> float:
    """A clock of a runtime with blocks: broadcasting products and odd channels cost."""
    spread = {node.output[0] for node in graph.node if node.op_type == "Resize"}
    broadcast = sum(node.op_type == "Mul" and spread.isdisjoint(node.input) for node in graph.node)
    odd = sum(len(weight.dims) == 4 and weight.dims[0] % 8 > 4 for weight in graph.initializer)
    return 10 + 5 * broadcast + odd


def test_of_alternatives_the_fastest_is_kept() -> None:
    found, outcomes = optimized(squeezed(13, 5), blocked)
    alone = [name for name in outcomes if name != BOTH]
    assert outcomes == {BOTH: "faster", **dict.fromkeys(alone, "another is faster")}
    assert kinds(found)["Resize"] == 1
    assert {tuple(w.dims) for w in found.graph.initializer if w.name == "w1"} == {(16, 6, 1, 1)}


def test_what_a_runtime_cannot_load_is_told_and_the_rest_goes_on() -> None:
    def load(data: bytes) -> Device:
        model = onnx.load_from_string(data)
        if kinds(model)["Resize"]:
            raise ModelError("no Resize here")
        return Device(blocked, model)

    x = np.ones((2, 6, 4, 5), np.float32)
    _, record = faster(squeezed(13, 5).SerializeToString(), load, [x], block=8, effort=EFFORT)
    assert {each.name: each.outcome for each in record.rewrites} == {
        "gates spread over the pixels": "can't be run",
        BOTH: "can't be run",
        "channels padded to blocks of 8": "faster",
    }
    assert all(each.kept == (each.outcome == "faster") for each in record.rewrites)


def test_where_nothing_can_be_rewritten_nothing_is_timed() -> None:
    model = squeezed(16, 8)
    found, outcomes = optimized(model, lambda graph: kinds_of(graph))
    assert "channels padded to blocks of 8" not in outcomes
    assert kinds(found) == kinds(model)


def kinds_of(graph: GraphProto) -> float:
    return float(len({node.op_type for node in graph.node}))


@pytest.fixture(scope="module")
def network(shipped: Shipped) -> Network:
    return shipped.network


@pytest.fixture(scope="module")
def rewritten(network: Network) -> tuple[bytes, OptimizedRecord]:
    """The network's graph with gates spread and channels padded, whatever is faster here."""
    plain = onnx.load_from_string(onnx_of(network))
    both = next(each for each in timed(16)[-1] if "spread" in each.name and "padded" in each.name)
    found = both.apply(plain)
    assert found
    record = OptimizedRecord(rewrites=(), merged={}, padded=shapes_before(plain, found.model))
    return found.model.SerializeToString(), record


def test_the_arch_and_declared_zeros_pass(network: Network, rewritten: tuple[bytes, OptimizedRecord]) -> None:
    graph, record = rewritten
    plain = onnx.load_from_string(onnx_of(network))
    more = sum(np.prod(w.dims) for w in onnx.load_from_string(graph).graph.initializer if len(w.dims) != 1)
    more -= sum(np.prod(w.dims) for w in plain.graph.initializer if len(w.dims) != 1)
    assert check_structure(graph, network.graph, record) > more > 0
    x = random_textures(2, network.graph.in_shapes[0])
    cpu = get_runtime("onnxruntime")
    one, other = (cpu.load(each, threads=1, precision="fp32").run([x])[0] for each in (onnx_of(network), graph))
    np.testing.assert_allclose(other, one, atol=1e-5 * np.abs(one).max())


def test_zeros_must_be_declared_and_be_zeros(network: Network, rewritten: tuple[bytes, OptimizedRecord]) -> None:
    graph, record = rewritten
    with pytest.raises(CountError, match="isn't the arch"):
        check_structure(graph, network.graph)
    name = next(iter(record.padded))
    fewer = record.model_copy(update={"padded": {k: v for k, v in record.padded.items() if k != name}})
    with pytest.raises((CountError, onnx.shape_inference.InferenceError)):
        check_structure(graph, network.graph, fewer)
    with pytest.raises(CountError, match="where its padding has to be zero"):
        check_structure(forged(graph, record), network.graph, record)


def test_a_resize_that_is_no_spread_gate_is_none(network: Network, rewritten: tuple[bytes, OptimizedRecord]) -> None:
    graph, record = rewritten
    proto = onnx.load_from_string(graph)
    resize = next(node for node in proto.graph.node if node.op_type == "Resize")
    next(each for each in resize.attribute if each.name == "coordinate_transformation_mode").s = b"half_pixel"
    with pytest.raises(CountError, match="1 × Resize too many"):
        check_structure(proto.SerializeToString(), network.graph, record)


def forged(graph: bytes, record: OptimizedRecord) -> bytes:
    """One number of the padding isn't zero."""
    proto = onnx.load_from_string(graph)
    name = next(iter(record.padded))
    weight = next(each for each in proto.graph.initializer if each.name == name)
    array = numpy_helper.to_array(weight).copy()
    array.reshape(-1)[-1] = 0.5
    weight.CopyFrom(numpy_helper.from_array(array, name))
    return proto.SerializeToString()


def grouped() -> ModelProto:
    """Somebody's network: three groups of eight channels, which are padded to four before they become two."""
    shapes = {"w": (24, 6, 1, 1), "v": (24, 8, 3, 3), "b": (24,), "u": (4, 24, 1, 1)}
    constants = {name: images(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}
    parts: Parts = [
        ("Conv", ["x", "w"], "c", {}), ("Relu", ["c"], "ca", {}),
        ("Conv", ["ca", "v", "b"], "d", {"group": 3, "pads": [1] * 4}), ("Relu", ["d"], "da", {}),
        ("Conv", ["da", "u"], "y", {}),
    ]  # fmt: skip
    return model_of(parts, constants, (2, 6, 4, 5))


def test_a_file_with_merged_groups_is_held_against_what_it_was() -> None:
    model = grouped()
    x = images(2, 6, 4, 5)

    def clock(graph: GraphProto) -> float:
        return 10 - max(weight.dims[1] for weight in graph.initializer if weight.name == "v") / 16

    data, record = faster(
        model.SerializeToString(), lambda each: Device(clock, onnx.load_from_string(each)), [x], block=16, effort=EFFORT
    )
    assert [each.name for each in record.rewrites if each.kept] == ["channels padded, groups merged to blocks of 16"]
    assert (record.merged, record.padded["v"]) == ({"v": 4}, (24, 8, 3, 3))
    expected = file_figures(model.SerializeToString())
    assert check_figures(data, expected, record) > 0
    with pytest.raises(CountError):
        check_figures(data, expected)
    proto = onnx.load_from_string(data)
    weight = next(each for each in proto.graph.initializer if each.name == "v")
    array = numpy_helper.to_array(weight).copy()
    array[0, 8] = 0.5  # of the second group
    weight.CopyFrom(numpy_helper.from_array(array, "v"))
    with pytest.raises(CountError, match="v of the exported graph isn't zero between its 4 groups"):
        check_figures(proto.SerializeToString(), expected, record)


@pytest.mark.usefixtures("in_this_process")
def test_an_artifact_of_it_passes_its_checks_and_a_forged_one_fails(copy: Copy) -> None:
    graph = onnx.load(copy.path / "onnx-fp32.onnx")
    both = next(each for each in timed(16)[-1] if "spread" in each.name and "padded" in each.name)
    found = both.apply(graph)
    assert found
    record = OptimizedRecord(rewrites=(), merged={}, padded=shapes_before(graph, found.model))

    def declare(manifest: dict[str, list[dict[str, object]]]) -> None:
        manifest["files"][0]["optimized"] = record.plain()

    copy.edit(declare)
    for data, passes in (
        (found.model.SerializeToString(), True),
        (forged(found.model.SerializeToString(), record), False),
    ):
        copy.replace("onnx-fp32.onnx", data)
        copy.rewrite()
        checked = {each.about: each for each in check_artifact(copy.path).checks}
        assert checked["onnx-fp32: structure"].passed is passes, checked["onnx-fp32: structure"].text
        assert ("declared zeros" if passes else "padding has to be zero") in checked["onnx-fp32: structure"].text
        assert checked["onnx-fp32: parity"].passed is (True if passes else None)


def test_export_tells_what_was_tried(
    network: Network, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.artifacts.faster._EFFORT", EFFORT)
    output = tmp_path_factory.mktemp("optimized") / "artifact"
    artifact = export(network, "onnx-fp32", output, optimize=True)
    (file,) = artifact.manifest.files
    assert file.settings == optimizing(get_target("onnx-fp32"))
    assert file.optimized
    assert {each.name for each in file.optimized.rewrites} >= {"gates spread over the pixels"}
    assert sum(each.kept for each in file.optimized.rewrites) <= 1
    assert check_artifact(output).passed


def test_only_floats_of_32_bits_are_optimized(network: Network, tmp_path_factory: pytest.TempPathFactory) -> None:
    output = tmp_path_factory.mktemp("refused") / "artifact"
    with pytest.raises(ConfigError, match="target onnx-int8-cpu is int8; only fp32 and bf16 can be optimized"):
        export(network, "onnx-int8-cpu", output, optimize=True)
    assert not output.exists()
    target = output.with_name("mine.yaml")
    words = "schema: hwnas-target/1\nformat: onnx\nprecision: fp16\nruntime: onnxruntime\noptimize: timed\n"
    target.write_text(words + "tolerance: {relative: 1.0e-2, top1: 0.9}\n")
    with pytest.raises(ConfigError, match="optimize goes with fp32 and bf16, not with fp16"):
        export(network, str(target), output)
