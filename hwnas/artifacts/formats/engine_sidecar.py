"""What lies beside a TensorRT engine: what it is, what it was built of, and where it runs; and the check of all that.

An engine is native code that says none of this itself. The sidecar guards against a file that was mixed up, altered or
carried to the wrong machine; it is no signature, so it doesn't guard against someone who writes both files.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections import Counter
from typing import Annotated

from pydantic import Field

from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.parse import parse_json
from hwnas.record import FileRecord
from hwnas.runtimes.cuda import gpu_here
from hwnas.runtimes.tensorrt_build import WEIGHTED, Layer, Shapes

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Sidecar(FileRecord):
    """The whole of ``<target>.json``.

    Attributes:
        engine_sha256, graph_sha256: of the engine, and of the ONNX graph that it was built of.
        runtime, version: that built it, and alone can load it.
        capability: compute capability of the GPU that it was built for, such as 86.
        platform: operating system and processor that it was built on, such as linux-x86_64.
        options: of the build.
        profile: {input: shapes that it takes}.
        layers: that compute on images, with the precision that each was built in.
    """

    SCHEMA = "hwnas-engine/1"
    REMEDY = "export it again"

    engine_sha256: _Sha256
    graph_sha256: _Sha256
    runtime: str
    version: str
    capability: Annotated[str, Field(pattern=r"^\d{2,3}$")]
    platform: str
    options: dict[str, str]
    profile: dict[str, Shapes]
    layers: tuple[Layer, ...]

    def precisions(self) -> dict[str, int]:
        """{precision: layers with weights that compute in it}."""
        layers = [layer for layer in self.layers if layer.type in WEIGHTED and not layer.of_values]
        return dict(Counter(layer.precision for layer in layers))


def this_platform() -> str:
    """Operating system and processor, such as linux-x86_64."""
    system, machine = sys.platform, platform.machine().lower()
    system = {"win32": "windows"}.get(system, system)
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return f"{system}-{machine}"


def sha256(content: bytes) -> str:
    """Of a file, as the sidecar has it."""
    return hashlib.sha256(content).hexdigest()


def read_sidecar(content: bytes, where: str) -> Sidecar:
    """A sidecar from its file's bytes.

    Raises:
        ModelError: it isn't one; the message has ``where`` and the field.
    """
    return Sidecar.of_plain(parse_json(content, where, ModelError), where)


def vouching(engine: bytes, content: bytes | None, name: str) -> Sidecar:
    """The sidecar that describes an engine.

    Raises:
        ModelError: there is none, it is malformed, or it describes another engine.
    """
    way = "export it again, or say that you trust it (--trust): an engine is native code"
    if content is None:
        raise ModelError(f"{name}.engine has no sidecar {name}.json, so nothing says what it is; {way}")
    sidecar = read_sidecar(content, f"{name}.json")
    found = sha256(engine)
    if found != sidecar.engine_sha256:
        raise ModelError(
            f"{name}.engine isn't the one that {name}.json describes: SHA-256 {found[:12]}…, "
            f"expected {sidecar.engine_sha256[:12]}…; {way}"
        )
    return sidecar


def check_runs_here(sidecar: Sidecar, runtime: str, version: str, name: str) -> None:
    """Say in words why an engine can't run here, before TensorRT gives none: version, then platform, then GPU.

    Raises:
        RuntimeMissingError: it was built by another version, on another platform or for another GPU.
    """
    built = f"{name}.engine was built"
    again = "or export it again on this machine"
    if (sidecar.runtime, sidecar.version) != (runtime, version):
        raise RuntimeMissingError(
            f"{built} by {sidecar.runtime} {sidecar.version} and here is {runtime} {version}, where an engine fits one "
            f"version: pip install '{sidecar.runtime}=={sidecar.version}', {again}"
        )
    if sidecar.platform != this_platform():
        raise RuntimeMissingError(f"{built} on {sidecar.platform} and this is {this_platform()}: run it there, {again}")
    gpu = gpu_here()  # where there is none, loading says so
    if gpu is not None and gpu[1] != sidecar.capability:
        raise RuntimeMissingError(
            f"{built} for compute capability {sidecar.capability} and {gpu[0]} has {gpu[1]}: "
            f"run it on such a GPU, {again}"
        )
