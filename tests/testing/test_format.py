"""The contract suite itself: a format with a fault must fail the test that is about it."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from hwnas.arrays import Array
from hwnas.artifacts.formats.base import Files
from hwnas.artifacts.formats.onnx import OnnxFormat
from hwnas.errors import ModelError
from hwnas.progress import Progress
from hwnas.records.target import Target
from hwnas.runtimes.base import Runtime, Session
from hwnas.testing import FormatContract


class Contract(FormatContract):
    runtime = "onnxruntime"


class NoDot(OnnxFormat):
    suffixes = ("onnx",)


class Unordered(OnnxFormat):
    suffixes = (".onnx", ".txt")

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        return {".txt": b"", ".onnx": graph}


class SlightlyOff(OnnxFormat):
    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        proto = onnx.load_from_string(graph)
        weight = max(proto.graph.initializer, key=lambda one: len(one.raw_data))
        weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * np.float32(1.01)).tobytes()
        return {".onnx": proto.SerializeToString()}


class OneImage:
    """Takes the first image for all."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        (images,) = inputs
        return (np.repeat(self._session.run([images[:1]])[0], len(images), axis=0),)

    def bind(self, inputs: Sequence[Array]) -> Callable[[], float | None]:
        return self._session.bind(inputs)


class FirstImageOnly(OnnxFormat):
    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        return OneImage(super().open(files, target, threads=threads))


class Claims(OnnxFormat):
    """Says of every layer what was asked for, and forgets one."""

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        return {name: count - 1 for name, count in super().precisions(files, session).items()}


class Numbered(OnnxFormat):
    counter: Iterator[int] = itertools.count()

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        proto = onnx.load_from_string(graph)
        proto.graph.name = f"graph{next(self.counter)}"
        return {".onnx": proto.SerializeToString()}


class Crashing(OnnxFormat):
    """Lets its library's own exceptions through."""

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        try:
            return super().open(files, target, threads=threads)
        except ModelError as error:
            raise RuntimeError(str(error)) from None


class Guesses(OnnxFormat):
    """Puts something in the place of a file that isn't there."""

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        return super().open({".onnx": b"", **files}, target, threads=threads)


class Obliging(OnnxFormat):
    def runtime(self, target: Target) -> Runtime:
        return super().runtime(target.model_copy(update={"options": {}}))


class Leaves(OnnxFormat):
    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        (Path(tempfile.gettempdir()) / "left.onnx").write_bytes(graph)
        return super().write(graph, target)


class Wanders(OnnxFormat):
    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        os.environ["WANDERED"] = "1"
        return super().write(graph, target)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (NoDot, "test_says_what_it_is"),
        (Unordered, "test_writes_its_files_in_order"),
        (SlightlyOff, "test_agrees_with_pytorch_for_any_batch"),
        (FirstImageOnly, "test_agrees_with_pytorch_for_any_batch"),
        (FirstImageOnly, "test_agrees_with_pytorch_for_a_fixed_batch"),
        (Claims, "test_reads_the_precision_back"),
        (Numbered, "test_the_same_graph_gives_the_same_bytes"),
        (Guesses, "test_refuses_when_a_file_is_missing"),
        (Obliging, "test_refuses_an_unknown_option"),
    ],
)
def test_a_fault_is_found(fault: type[OnnxFormat], test: str) -> None:
    getattr(Contract(), test)(OnnxFormat())
    with pytest.raises((Exception, pytest.fail.Exception)):
        getattr(Contract(), test)(fault())


@pytest.mark.parametrize("damage", ["empty", "noise", "text", "a third", "all but a byte"])
def test_a_librarys_own_exceptions_are_found(damage: str) -> None:
    with pytest.raises(RuntimeError):
        Contract().test_refuses_damaged_files(Crashing(), damage)


@pytest.mark.parametrize("fault", [Leaves, Wanders])
def test_traces_in_the_process_are_found(
    fault: type[OnnxFormat], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDERED", raising=False)
    test = Contract().test_leaves_the_process_as_it_was
    test(OnnxFormat(), tmp_path, monkeypatch)
    with pytest.raises(AssertionError):
        test(fault(), tmp_path, monkeypatch)
    os.environ.pop("WANDERED", None)
