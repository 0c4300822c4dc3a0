"""The formats of hwnas: the contract, and what is their own."""

from __future__ import annotations

import pytest

from hwnas.artifact.formats.base import Format
from hwnas.artifact.formats.registry import get_format
from hwnas.testing import FormatContract


class TestOnnx(FormatContract):
    runtime = "onnxruntime"
    precisions = ("fp32", "int8")

    @pytest.fixture
    def kind(self) -> Format:
        return get_format("onnx")
