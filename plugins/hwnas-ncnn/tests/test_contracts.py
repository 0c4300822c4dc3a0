"""ncnn as hwnas finds it: by its entry points, held to the contracts."""

from __future__ import annotations

import pytest

pytest.importorskip("hwnas_ncnn", reason="the package of plugins/hwnas-ncnn isn't installed")

from hwnas.artifacts.formats.base import FORMATS, Format, get_format
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.registry import RUNTIMES, get_runtime
from hwnas.testing import FormatContract, RuntimeContract


def test_registered() -> None:
    assert "ncnn" in RUNTIMES.names()
    assert "ncnn" in FORMATS.names()


class TestRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return get_runtime("ncnn")


class TestFormat(FormatContract):
    runtime = "ncnn"
    precisions = ("fp32", "bf16")

    @pytest.fixture
    def kind(self) -> Format:
        return get_format("ncnn")
