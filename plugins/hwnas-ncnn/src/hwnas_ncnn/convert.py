"""ONNX -> ncnn, by pnnx, ncnn's own converter: a program that reads and writes files."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from hwnas.artifacts.structure import check_written
from hwnas.errors import ModelError
from hwnas.onnx.read import input_chw, parsed_network
from hwnas.runtimes.base import missing
from hwnas_ncnn.param import check_weights, read_param, with_input_shape

_SECONDS_AT_MOST = 300


def to_ncnn(graph: bytes) -> tuple[bytes, bytes]:
    """A serialized fp32 ONNX model as ncnn's (``.param``, ``.bin``), for one image at a time.

    Args:
        graph: with its weights inside.

    Raises:
        ModelError: not an ONNX model, or one with a layer that pnnx or this package doesn't know.
        CountError: what pnnx wrote isn't the graph.
        RuntimeMissingError: pnnx isn't installed, or doesn't start here.
    """
    proto = parsed_network(graph)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]  # of another batch, perhaps
    try:
        import pnnx
    except Exception as error:
        raise missing("ncnn", "pip install pnnx", error) from None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(proto.SerializeToString(deterministic=True))
        try:
            # its status says nothing: 0 or not, there is a model or there is none
            subprocess.run(
                [pnnx.EXEC_PATH, "model.onnx", "fp16=0"],
                cwd=folder, capture_output=True, timeout=_SECONDS_AT_MOST, check=False,
            )  # fmt: skip
            text, weights = ((folder / f"model.ncnn.{kind}").read_bytes() for kind in ("param", "bin"))
        except subprocess.TimeoutExpired:
            raise ModelError(f"pnnx didn't convert the model within {_SECONDS_AT_MOST} s") from None
        except FileNotFoundError:
            raise ModelError("pnnx can't convert the model to ncnn") from None
        except OSError as error:
            raise missing("ncnn", "pip install pnnx", error) from None
    param = with_input_shape(text.decode("ascii", "replace"), input_chw(proto)).encode()
    found = read_param(param)
    check_weights(found, weights)
    check_written(found.structure, graph)
    return param, weights
