"""A bench's cells of somebody's own model: the model on one runtime in one precision, and loading it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hwnas.arrays import Array
from hwnas.artifacts.cells import TAKE_ONNX, Loaded
from hwnas.artifacts.first_run import FirstRun, first_run
from hwnas.artifacts.parity import Evidence, compare
from hwnas.artifacts.samples import Samples
from hwnas.errors import ModelError, NoReferenceError, ParityError, RuntimeMissingError
from hwnas.onnx.computed import computed_precisions, weight_precisions
from hwnas.onnx.model import OnnxModel
from hwnas.onnx.stand_in import stand_in
from hwnas.records.artifact import Parity
from hwnas.records.bench import BenchCell
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.onnxruntime import OnnxRuntimeSession
from hwnas.runtimes.registry import RUNTIMES, get_runtime

_INPUTS = "stand-in inputs, beside ONNX Runtime without its optimizations"


@dataclass(frozen=True, kw_only=True)
class ModelCell:
    """A row of the table."""

    model: OnnxModel
    runtime: str
    precision: str
    threads: int

    @property
    def named(self) -> BenchCell:
        first = {port.shape[:1] for port in self.model.inputs}
        batch = first.pop()[0] if len(first) == 1 and () not in first else 1
        return BenchCell(
            artifact=self.model.name, target=self.precision, runtime=self.runtime, threads=self.threads, batch=batch
        )

    @property
    def bytes(self) -> int:
        return len(self.model.data)


def model_cells(models: Sequence[OnnxModel], threads: Collection[int], runtimes: Sequence[str]) -> Iterator[ModelCell]:
    """Every model on each of ``runtimes``, or on all that are installed, in every precision that it is ready for.

    Raises:
        RuntimeMissingError: one of ``runtimes`` isn't installed.
    """
    for model in models:
        for runtime in map(get_runtime, runtimes) if runtimes else _installed():
            for precision in _precisions(runtime, model):
                for number in threads:
                    yield ModelCell(model=model, runtime=runtime.name, precision=precision, threads=number)


def _installed() -> Iterator[Runtime]:
    for name in RUNTIMES.names():
        try:
            yield get_runtime(name)
        except RuntimeMissingError:
            continue


def _precisions(runtime: Runtime, model: OnnxModel) -> tuple[str, ...]:
    """int8 for a model that is quantized; another would need images to take its ranges from."""
    if runtime.name in TAKE_ONNX and "int8" in runtime.precisions and _is_quantized(model):
        return ("int8",)
    return tuple(precision for precision in runtime.precisions if precision != "int8")


def _is_quantized(model: OnnxModel) -> bool:
    return any(node.op_type.startswith(("Quantize", "DynamicQuantize", "QLinear")) for node in model.proto.graph.node)


class ModelLoader:
    """Loads cells of models."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str, str], FirstRun | ModelError] = {}
        self._references: dict[str, tuple[Array, ...] | None] = {}

    def load(self, cell: ModelCell) -> Loaded:
        """Load ``cell`` here, after a process of its own survived that.

        Raises:
            ModelError: the runtime can't run the model, or crashes, or gives no numbers where the graph does.
        """
        run = self._first_run(cell)
        runtime = get_runtime(cell.runtime)
        session = runtime.load(run.prepared, threads=cell.threads, precision=cell.precision)
        reference = self._reference(cell.model)
        return Loaded(
            session=session,
            feed=tuple(map(stand_in, cell.model.inputs)),
            parity=_parity(cell.model, reference, run.outputs) if reference else None,
            precisions=_computed_in(session, cell),
            memory_mb=run.memory_mb,
        )

    def _first_run(self, cell: ModelCell) -> FirstRun:
        key = cell.model.sha256, cell.runtime, cell.precision  # threads hardly matter
        if key not in self._runs:
            try:
                self._runs[key] = first_run(cell.model.data, cell.model.inputs, cell.runtime, cell.precision)
            except ModelError as error:
                self._runs[key] = error
        found = self._runs[key]
        if isinstance(found, ModelError):
            raise found
        return found

    def _reference(self, model: OnnxModel) -> tuple[Array, ...] | None:
        """What the graph gives as it is; None where ONNX Runtime can't run it so."""
        if model.sha256 not in self._references:
            try:
                run = first_run(model.data, model.inputs, "onnxruntime", "fp32", as_is=True)
            except ModelError:
                self._references[model.sha256] = None
            else:
                self._references[model.sha256] = run.outputs
        return self._references[model.sha256]


@runtime_checkable
class _Tells(Protocol):
    def precisions(self) -> dict[str, int]: ...


def _computed_in(session: Session, cell: ModelCell) -> dict[str, int]:
    """{precision: layers with weights that compute in it}, as the runtime tells; else as it was asked."""
    if isinstance(session, OnnxRuntimeSession) and session.on_cpu:
        return computed_precisions(cell.model.data)
    if isinstance(session, _Tells):
        return session.precisions()
    layers = sum(weight_precisions(cell.model.data).values())
    return {cell.precision: layers} if layers else {}


def _parity(model: OnnxModel, reference: Sequence[Array], outputs: Sequence[Array]) -> Parity | None:
    """As files of artifacts are judged, on one sample; None where the graph as it is gives nothing to compare with.

    Raises:
        ModelError: they aren't what the graph gives: of other shapes, or not finite.
    """
    samples = Samples(arrays=tuple(stand_in(port)[None] for port in model.inputs), whole=True)
    expected = {port.name: output[None] for port, output in zip(model.outputs, reference, strict=True)}
    evidence = Evidence(samples=samples, inputs=_INPUTS, outputs=expected, source="the graph", classifies=False)
    try:
        return compare(evidence, [output[None] for output in outputs])
    except NoReferenceError:
        return None
    except ParityError as error:
        raise ModelError(f"gives {error}") from None
