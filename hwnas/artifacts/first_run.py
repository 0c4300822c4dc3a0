"""A model's first run on a runtime, in a process of its own: a crash stays there, its memory is its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hwnas.arrays import Array, Port
from hwnas.artifacts.process_memory import added_mb
from hwnas.errors import ModelError, first_line
from hwnas.files import read_json, to_json
from hwnas.onnx.stand_in import stand_in
from hwnas.own_process import ending, started
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime

_LIMIT_S = 600
_MODEL, _PREPARED, _OUTPUTS, _ASKED, _TOLD = "model", "prepared", "outputs.npz", "asked", "told"


@dataclass(frozen=True, kw_only=True)
class FirstRun:
    """What it gave.

    Attributes:
        prepared: what the runtime loads.
        outputs: of the model, for what :func:`hwnas.onnx.stand_in.stand_in` makes of its inputs.
        memory_mb: see :mod:`hwnas.artifacts.process_memory`; None where the system doesn't tell.
    """

    prepared: bytes = field(repr=False)
    outputs: tuple[Array, ...]
    memory_mb: float | None


def first_run(model: bytes, inputs: Sequence[Port], runtime: str, precision: str, *, as_is: bool = False) -> FirstRun:
    """Prepare a model for a runtime with its default options, load it and run it on one thread.

    A model that is run in int8 is one that is quantized already.

    Raises:
        ModelError: the runtime isn't here, can't take the model, crashes or takes far too long.
    """
    asked = {
        "runtime": runtime, "precision": precision, "as_is": as_is,
        "inputs": [[port.name, port.dtype, list(port.shape)] for port in inputs],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / _MODEL).write_bytes(model)
        (folder / _ASKED).write_text(to_json(asked))
        try:
            with started(__name__, name) as process:
                process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise ModelError(f"a process that runs it takes longer than {_LIMIT_S} s") from None
        if process.returncode or not (folder / _TOLD).exists():
            raise ModelError(f"a process that runs it ends with {ending(process.returncode)}")
        told = read_json(folder / _TOLD, ModelError)
        if "failed" in told:
            raise ModelError(told["failed"])
        with np.load(folder / _OUTPUTS) as outputs:
            return FirstRun(
                prepared=(folder / _PREPARED).read_bytes(),
                outputs=tuple(outputs[str(index)] for index in range(len(outputs.files))),
                memory_mb=told["memory_mb"],
            )


def _run(folder: Path) -> None:
    asked = read_json(folder / _ASKED, ModelError)
    feed = [stand_in(Port(name, dtype, tuple(shape))) for name, dtype, shape in asked["inputs"]]
    runtime = get_runtime(asked["runtime"])
    model, precision = (folder / _MODEL).read_bytes(), asked["precision"]
    prepared = model if precision == "int8" else runtime.prepare(model, precision)  # what is quantized already
    sessions: list[Session] = []

    def load() -> None:
        sessions.append(runtime.load(prepared, threads=1, precision=precision, as_is=asked["as_is"]))
        sessions[0].bind(feed)()

    try:
        memory_mb = added_mb(load)
    except FileNotFoundError:  # not Linux
        load()
        memory_mb = None
    outputs = {str(index): output for index, output in enumerate(sessions[0].run(feed))}
    np.savez(folder / _OUTPUTS, **outputs)  # type: ignore[arg-type]  # NumPy's stub takes names for its own options
    (folder / _PREPARED).write_bytes(prepared)
    (folder / _TOLD).write_text(to_json({"memory_mb": memory_mb}))


if __name__ == "__main__":
    where = Path(sys.argv[1])
    try:
        _run(where)
    except Exception as error:  # whatever a runtime raises is why it can't
        (where / _TOLD).write_text(to_json({"failed": first_line(error)}))
