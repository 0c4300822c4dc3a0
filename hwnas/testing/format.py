"""`FormatContract`: what hwnas relies on in a format of model files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.arrays import Images
from hwnas.artifacts.formats.base import Files, Format
from hwnas.artifacts.precision import in_precision
from hwnas.artifacts.samples import Samples
from hwnas.artifacts.structure import graph_structure
from hwnas.errors import ConfigError
from hwnas.graph.graph import chain
from hwnas.ops.head import Head
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stem import Stem
from hwnas.records.target import Target
from hwnas.runtimes.base import Session
from hwnas.testing.runtime import error, example, reference, refusal

_OPS = (
    Stem(c_in=3, h_in=24, w_in=24, c_out=16, width=8, stride=2, separable=True, act="relu6"),
    MBConv(c_in=16, h_in=12, w_in=12, c_out=16, kernel=5, stride=1, expansion=3, se=True, act="hswish"),
    MBConv(c_in=16, h_in=12, w_in=12, c_out=24, kernel=3, stride=2, expansion=3, se=False, act="relu"),
    Head(c_in=24, h_in=6, w_in=6, c_out=10, width=32, act="hswish"),
)


class FormatContract:
    """What :class:`hwnas.artifacts.formats.base.Format` promises, on a small network, against PyTorch.

    Attributes:
        runtime: that targets of the format name.
        precisions: that it is asked for; each must be one that this machine runs.
        errors: how far results may be off, by precision: the norm of the difference over that of PyTorch's result.
        deterministic: whether the same graph gives the same bytes.
    """

    runtime: str
    precisions: tuple[str, ...] = ("fp32",)
    errors: Mapping[str, float] = {"fp32": 1e-5, "fp16": 1e-2, "bf16": 6e-2, "int8": 0.2}
    deterministic: bool = True

    @pytest.fixture
    def kind(self) -> Format:
        """The format to test; override this."""
        raise NotImplementedError("override the fixture 'kind'")

    def test_says_what_it_is(self, kind: Format) -> None:
        assert kind.name
        assert kind.suffixes
        assert len(set(kind.suffixes)) == len(kind.suffixes)
        assert all(suffix.startswith(".") and suffix.isascii() and "/" not in suffix for suffix in kind.suffixes)

    def test_writes_its_files_in_order(self, kind: Format) -> None:
        for precision in self.precisions:
            files = self._written(kind, precision)
            assert tuple(files) == kind.suffixes
            assert all(isinstance(content, bytes) for content in files.values())

    def test_agrees_with_pytorch_for_any_batch(self, kind: Format) -> None:
        network, _, images = _example()
        for precision in self.precisions:
            session = self._session(kind, precision)
            for count in (1, 3, 2):
                logits = session.run([images[:count]])[0]
                assert logits.dtype == np.float32
                assert logits.shape == (count, 10)
                assert error(logits, reference(network, images[:count])) <= self.errors[precision], precision
            call = session.bind([images[:2]])
            call()
            assert error(session.run([images[:2]])[0], reference(network, images[:2])) <= self.errors[precision]

    def test_agrees_with_pytorch_for_a_fixed_batch(self, kind: Format) -> None:
        network, _, images = _example()
        for precision in self.precisions:
            logits = self._session(kind, precision, batch=2).run([images[:2]])[0]
            assert error(logits, reference(network, images[:2])) <= self.errors[precision], precision

    def test_reads_the_precision_back(self, kind: Format) -> None:
        _, graph, _ = _example()
        for precision in self.precisions:
            files = self._written(kind, precision)
            session = kind.open(files, self._target(kind, precision), threads=1)
            found = kind.precisions(files, session)
            assert found.get(precision, 0) > 0
            assert sum(found.values()) == graph_structure(graph).layers

    def test_the_same_graph_gives_the_same_bytes(self, kind: Format) -> None:
        if not self.deterministic:
            pytest.skip("the format says that it isn't deterministic")
        for precision in self.precisions:
            assert self._written(kind, precision) == self._written(kind, precision)

    @pytest.mark.parametrize("damage", ["empty", "noise", "text", "a third", "all but a byte"])
    def test_refuses_damaged_files(self, kind: Format, damage: str) -> None:
        files = self._written(kind, self.precisions[0])
        for suffix, content in files.items():
            damaged = {
                "empty": b"",
                "noise": np.random.default_rng(0).bytes(4096),
                "text": b"not a model",
                "a third": content[: len(content) // 3],
                "all but a byte": content.rstrip()[:-1],
            }[damage]
            refusal(partial(self._opened, kind, {**files, suffix: damaged}))

    def test_refuses_when_a_file_is_missing(self, kind: Format) -> None:
        files = self._written(kind, self.precisions[0])
        for missing in kind.suffixes:
            rest = {suffix: content for suffix, content in files.items() if suffix != missing}
            assert missing in refusal(partial(self._opened, kind, rest))

    def test_refuses_an_unknown_option(self, kind: Format) -> None:
        target = self._target(kind, self.precisions[0]).model_copy(update={"options": {"none such": "1"}})
        with pytest.raises(ConfigError, match="none such"):
            kind.runtime(target)

    def test_leaves_the_process_as_it_was(self, kind: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        _example()
        before = _surroundings()
        for precision in self.precisions:
            self._session(kind, precision).run([_example()[2]])
        assert _surroundings() == before

    def _target(self, kind: Format, precision: str, batch: int | None = None) -> Target:
        settings = {
            "schema": "hwnas-target/1", "name": "contract", "format": kind.name, "precision": precision,
            "runtime": self.runtime, "tolerance": {"relative": 0.1, "top1": 0.5}, "quantization": {"keep_float": []},
        }  # fmt: skip
        return Target.of_plain(settings if batch is None else {**settings, "batch": batch}, "target")

    def _written(self, kind: Format, precision: str, batch: int | None = None) -> Files:
        _, graph, images = _example()
        target = self._target(kind, precision, batch)
        graph, _ = in_precision(graph, target, kind, Samples(arrays=(images,)))
        return kind.write(graph, target)

    def _session(self, kind: Format, precision: str, batch: int | None = None) -> Session:
        target = self._target(kind, precision, batch)
        return kind.open(self._written(kind, precision, batch), target, threads=1)

    def _opened(self, kind: Format, files: Files) -> Session:
        return kind.open(files, self._target(kind, self.precisions[0]), threads=1)


@cache
def _example() -> tuple[nn.Module, bytes, Images]:
    return example(chain(_OPS[0].in_shapes[0], tuple((str(index), op) for index, op in enumerate(_OPS))), batch=3)


def _surroundings() -> tuple[object, ...]:
    return (
        os.getcwd(),
        dict(os.environ),
        sorted(os.listdir(tempfile.gettempdir())),
        torch.get_num_threads(),
        torch.get_rng_state().tolist(),
        np.random.get_state(legacy=False)["state"]["key"].tolist(),
    )
