"""INT8: broken files are told from fine ones whether anything was learnt or not, and the choice of what stays float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hwnas.arrays import Array, Images
from hwnas.artifacts.formats.base import get_format
from hwnas.artifacts.make import Made, make
from hwnas.artifacts.parity import Evidence, _lost, compare, judge, misses, random_textures, sqnr_db
from hwnas.artifacts.precision import Trial, choose, in_precision
from hwnas.artifacts.source import NetworkSource
from hwnas.errors import DataError, HwnasError
from hwnas.nn.network import Network
from hwnas.records.artifact import Verdict
from hwnas.records.target import Quantization, Target, get_target
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from tests.artifacts.evidence import evidence_of, made_up, of_images
from tests.onnx_models import onnx_of

CHW = (3, 16, 16)


def asked(keep: str | tuple[str, ...], name: str = "onnx-int8-cpu") -> Target:
    target = get_target(name)
    return target.model_copy(update={"quantization": Quantization(keep_float=keep)})  # type: ignore[arg-type]


@pytest.fixture
def network(small_space: ChainSpace) -> Network:
    return Network(small_space, [1] * small_space.num_layers).eval()


@pytest.fixture
def evidence(network: Network) -> Evidence:
    return evidence_of(network, random_textures(48, CHW))


def test_signal_to_noise_by_hand() -> None:
    """The same logits but for ±1 between two inputs: a signal of 4, whatever all have in common."""
    reference = np.array([[101.0, 5.0], [99.0, 7.0]], np.float32)
    assert sqnr_db(reference, reference + np.float32(0.1)) == pytest.approx(20, abs=1e-3)  # 4 over 4 · 0.01
    assert sqnr_db(reference, reference[::-1]) == pytest.approx(10 * np.log10(4 / 16))
    assert sqnr_db(reference, reference) == 200
    assert sqnr_db(reference[:1], reference[:1]) is None


def test_what_all_inputs_share_counts_for_nothing() -> None:
    """Logits of random weights: nearly the same for every input. A file that lost the rest looks right otherwise."""
    reference = 100 + np.random.default_rng(0).standard_normal((64, 10)).astype(np.float32)
    lost = np.broadcast_to(reference.mean(0), reference.shape)
    parity = compare(made_up(reference), [lost])
    assert parity.cosine > 0.999
    assert parity.max_relative < 0.1
    tolerance = get_target("onnx-int8-cpu").tolerance
    assert "0.0 dB" in misses(parity, tolerance, "PyTorch", learnt=False)[0]
    same = compare(made_up(lost), [lost])
    assert "the same for all inputs" in misses(same, tolerance, "PyTorch", learnt=False)[0]


@pytest.mark.parametrize("name", ["onnx-int8-cpu", "openvino-int8", "onnx-int8-tensorrt"])
def test_random_weights_pass_and_broken_files_fail(network: Network, evidence: Evidence, name: str) -> None:
    made = make(NetworkSource(network), asked((), name), of_images(random_textures(48, CHW, seed=1)))
    assert judge(made.session, made.target, made.precisions, evidence).failures == ()
    for broken in broken_graphs(made.graph):
        session = get_runtime("onnxruntime").load(broken, threads=1, precision="fp32")
        failures = judge(session, made.target, made.precisions, evidence).failures
        assert any("dB above its noise" in failure for failure in failures), failures


def broken_graphs(graph: bytes) -> list[bytes]:
    """An activation's scale off by 8; the channels of a layer's weights in a wrong order."""

    def scaled(weight: np.ndarray) -> np.ndarray:
        return weight / np.float32(8)

    def rolled(weight: np.ndarray) -> np.ndarray:
        return np.roll(weight, 1, axis=0)

    found = []
    for name, change in (("head.flatten.scale", scaled), ("stem.conv.0.weight.quantized", rolled)):
        proto = onnx.load_from_string(graph)
        weight = next(w for w in proto.graph.initializer if w.name == name)
        weight.CopyFrom(numpy_helper.from_array(np.asarray(change(numpy_helper.to_array(weight))), name))
        found.append(proto.SerializeToString())
    return found


def verdict(made: Made, logits: Images, evidence: Evidence) -> Verdict:
    """What is said of ``made`` if it answers with these logits."""

    class Session:
        def __init__(self) -> None:
            self._at = 0

        def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
            (images,) = inputs
            self._at += len(images)
            return (logits[self._at - len(images) : self._at],)

    return judge(Session(), made.target, made.precisions, evidence)  # type: ignore[arg-type]


def test_classes_and_accuracy_are_asked_of_networks_that_learnt(network: Network, evidence: Evidence) -> None:
    made = make(NetworkSource(network), asked(()), of_images(random_textures(16, CHW, seed=1)))
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=48)
    right = (20 * np.eye(10)[labels] + rng.standard_normal((48, 10))).astype(np.float32)
    learnt = made_up(right, *evidence.samples.arrays, labels)
    assert verdict(made, right, learnt).failures == ()
    wrong = right.copy()
    wrong[:6] = np.roll(right[:6], 1, axis=1)  # six of 48 images in another class
    tolerant = made.target.model_copy(
        update={
            "tolerance": made.target.tolerance.model_copy(update={"sqnr_db": 0.0, "relative": 0.99, "cosine": 0.01})
        }
    )
    judged = verdict(replace(made, target=tolerant), wrong, learnt)
    assert (judged.accuracy_before, judged.accuracy_after) == (1.0, 42 / 48)
    assert any("same first class on 87.50%" in failure for failure in judged.failures)
    assert any(
        "accuracy 100.00% becomes 87.50%: 6 of 48 images lost, 1 allowed (1 points)" in failure
        for failure in judged.failures
    )
    guessing = replace(learnt, labels=(right.argmax(1) + 1) % 10)
    assert not any(
        "first class" in failure for failure in verdict(replace(made, target=tolerant), wrong, guessing).failures
    )


@pytest.mark.parametrize(
    ("images", "points", "allowed"), [(75, 1.0, 1), (100, 1.0, 1), (101, 1.0, 2), (48, 0.0, 0), (100, 7.0, 7)]
)
def test_the_loss_that_is_allowed_is_whole_images(images: int, points: float, allowed: int) -> None:
    assert _lost(33 / images, (33 - allowed) / images, images, points) == []
    (words,) = _lost(33 / images, (32 - allowed) / images, images, points)
    assert f": {allowed + 1} of {images} images lost, {allowed} allowed" in words
    assert "more test images" in words
    assert "accuracy_points in a target file" in words


def trial(keep: tuple[str, ...], sqnr: float | None, ms: float | None) -> Trial:
    return Trial(keep=keep, graph=b"", sqnr_db=sqnr, p50_ms=ms)


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        ([((), 30, 1.0), (("se",), 30.5, 2.0)], ()),  # as accurate, faster
        ([((), 20, 1.0), (("se",), 30.0, 2.0)], ("se",)),  # accuracy first
        ([((), 30, 1.01), (("se",), 30.5, 1.0)], ()),  # no faster than the measurement is sure of: fewer in float
        ([((), 30, 1.2), (("se",), 29.5, 1.0)], ("se",)),
        ([((), 30, None), (("se",), 30.9, None)], ()),  # not timed here
        ([((), 20, None), (("depthwise",), 30, None), (("se",), 25, None)], ("se",)),  # kept for speed alone
        ([((), 30, 1.2), (("depthwise",), 30, 1.0)], ("depthwise",)),
        ([((), None, 2.0), (("se",), None, 1.0)], ("se",)),  # nothing tells inputs apart
    ],
)
def test_accuracy_first_then_latency(
    trials: list[tuple[tuple[str, ...], float | None, float | None]], best: tuple[str, ...]
) -> None:
    assert choose([trial(*one) for one in trials]).keep == best


def test_auto_takes_one_of_what_it_tried_and_says_why(network: Network) -> None:
    model = onnx_of(network, CHW)
    images, kind = of_images(random_textures(32, CHW)), get_format("onnx")
    found, (ranges, why) = in_precision(model, asked("auto"), kind, images)
    choices: tuple[tuple[str, ...], ...] = ((), ("se",), ("depthwise",), ("first", "last"), ("se", "first", "last"))
    graphs = {in_precision(model, asked(keep), kind, images)[0]: keep for keep in choices}
    assert len(graphs) == 5
    assert ranges == "activation ranges by mse from 24 images"
    assert why.startswith(f"kept in float: {' + '.join(graphs[found]) or 'nothing'} (")
    assert why.count(" dB") == why.count(" ms") == 5
    _, (_, why) = in_precision(model, asked("auto", "onnx-int8-tensorrt"), kind, images)
    assert "not timed here" in why


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (None, "needs images"),
        (np.zeros((0, *CHW), np.float32), "needs images"),
        (np.full((4, *CHW), np.nan, np.float32), "NaN"),
        (np.full((4, *CHW), 0.7, np.float32), "of one colour"),
        (random_textures(4, (3, 8, 8)), "3x16x16"),
    ],
)
def test_images_that_calibrate_nothing(network: Network, images: Images | None, words: str) -> None:
    given = None if images is None else of_images(images)
    with pytest.raises(HwnasError, match=words) as caught:
        in_precision(onnx_of(network, CHW), asked("auto"), get_format("onnx"), given)
    assert "\n" not in str(caught.value)
    if words != "3x16x16":
        assert isinstance(caught.value, DataError)


def test_one_image_is_enough(network: Network) -> None:
    _, notes = in_precision(
        onnx_of(network, CHW), asked(("se",)), get_format("onnx"), of_images(random_textures(1, CHW))
    )
    assert notes[1] == "kept in float: se, as asked"
