"""What is to be measured, wherever that is done: a space's ops, or the kernels of some models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from hwnas.errors import ConfigError, OutputError, TableError
from hwnas.files import refuse_existing, write_atomic
from hwnas.flow.table import of_result
from hwnas.graph.kernel import Kernel
from hwnas.onnx.model import OnnxModel
from hwnas.prediction.calibrate import calibrate_if_enough
from hwnas.prediction.kernel_calibration import calibrated
from hwnas.profiling.kernels import Prepared, kernel_table_of, plan_kernels, prepare, readers
from hwnas.profiling.kit import Kit, build_kernel_kit, build_kit, check_runtime
from hwnas.profiling.local import check_threads, device_of, measure_plan
from hwnas.profiling.plan import Plan
from hwnas.profiling.returned import Returned, read_result
from hwnas.profiling.run import run_plan
from hwnas.profiling.timer import Effort
from hwnas.profiling.trial import not_to_be_run
from hwnas.progress import Progress, Tell
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.registry import get_runtime
from hwnas.space.registry import get_space
from hwnas.tables.device import Conditions
from hwnas.tables.kernel_table import KernelTable, check_same_device
from hwnas.tables.table import LatencyTable

_MOST_BYTES = 1 << 30
"""Of models that are measured at a time: each is in memory as a file, loaded, and once more in its kernels."""

Table = TypeVar("Table", LatencyTable, KernelTable)
Made = TypeVar("Made", LatencyTable, KernelTable, covariant=True)


class Job(Protocol[Made]):
    """Something to be measured; it travels to other processes.

    Attributes:
        suffix: of its tables' files.
        name: of what is measured, for messages.
    """

    suffix: ClassVar[str]

    @property
    def name(self) -> str: ...

    def here(self, progress: Progress | None = None) -> Made:
        """Measure it on this machine.

        Raises:
            SpaceError, ConfigError, RuntimeMissingError, TableError: it can't be measured as asked.
            ModelError: the runtime can't run it.
        """

    def kit(self, progress: Progress | None = None) -> Kit:
        """The kit that measures it elsewhere; raises as :meth:`here`, and for what can't go into a kit."""

    def result(self, path: Path) -> Returned:
        """What its kit sent back; raises as :func:`hwnas.profiling.returned.read_result`."""

    def table(self, returned: Returned, where: str, tell: Tell) -> Made:
        """The table of what its kit sent back; raises as :func:`hwnas.flow.table.of_result`."""

    def earlier(self, path: Path, tell: Tell) -> Made:
        """The table that was made of it before.

        Raises:
            OutputError: it is another's.
        """


@dataclass(frozen=True)
class SpaceJob:
    """A plan of a space's ops and networks."""

    plan: Plan
    suffix: ClassVar[str] = ".yaml"

    @property
    def name(self) -> str:
        return self.plan.space.source

    def here(self, progress: Progress | None = None) -> LatencyTable:
        space, runtime = get_space(self.plan.space), _runtime(self.plan.conditions)
        return calibrate_if_enough(measure_plan(self.plan, space, runtime, progress=progress), space)

    def kit(self, progress: Progress | None = None) -> Kit:
        return build_kit(self.plan, get_space(self.plan.space), _runtime(self.plan.conditions), progress=progress)

    def result(self, path: Path) -> Returned:
        return read_result(path)

    def table(self, returned: Returned, where: str, tell: Tell) -> LatencyTable:
        made = of_result(returned, where, tell)
        assert isinstance(made, LatencyTable)
        return made

    def earlier(self, path: Path, tell: Tell) -> LatencyTable:
        table = LatencyTable.load(path)
        of_space = table.space.fingerprint if table.space else None
        if (of_space, table.device.conditions) != (self.plan.space.fingerprint, self.plan.conditions):
            raise _otherwise(path)
        return table


@dataclass(frozen=True)
class ModelsJob:
    """Some models, and the kernels that a runtime makes of them.

    Attributes:
        confidence, seconds: see :class:`hwnas.profiling.timer.Effort`; the seconds are of all models together.
        known: what this has isn't measured again.
        kernels: to be measured beside those of the models.
    """

    models: tuple[OnnxModel, ...]
    conditions: Conditions
    confidence: float
    seconds: float
    seed: int
    known: KernelTable | None = None
    kernels: tuple[Kernel, ...] = ()
    suffix: ClassVar[str] = ".json"

    @property
    def name(self) -> str:
        first, *others = (model.name for model in self.models)
        return f"{first} and {len(others)} more" if others else first

    def here(self, progress: Progress | None = None) -> KernelTable:
        runtime = _runtime(self.conditions)
        check_threads(self.conditions.threads)
        if self.known:
            check_same_device(self.known, device_of(runtime, self.conditions))
        every, made = prepare(self.models, runtime, self.conditions.precision, progress), self.known
        for number, part in enumerate(_parts(every)):
            effort, also = self._effort(self.seconds * len(part) / len(every)), () if number else self.kernels
            plan = plan_kernels(part, self.conditions, also=also, known=made, effort=effort, seed=self.seed)
            if not plan.kernels and not plan.models and made:
                continue
            harmful = not_to_be_run((*plan.kernels, *plan.neighbours), self.conditions, progress=progress)
            data = run_plan(plan.plain(), list(readers(plan, part, runtime, harmful)), runtime, progress=progress)
            made = kernel_table_of(plan, data, "what was measured", made)
        assert made
        return calibrated(made)

    def kit(self, progress: Progress | None = None) -> Kit:
        runtime = _runtime(self.conditions)
        check_runtime(runtime)
        if self.known and self.known.device.conditions != self.conditions:
            raise TableError(
                f"the known table is of {self.known.device}; ask for the same runtime, precision and threads"
            )
        every = prepare(self.models, runtime, self.conditions.precision, progress)
        if len(list(_parts(every))) > 1:
            raise ConfigError(
                f"the models have {sum(len(each.data) for each in every) >> 20} MB together, a kit takes "
                f"{_MOST_BYTES >> 20} MB; profile some of them, then the others --with the table of the first"
            )
        plan = plan_kernels(
            every, self.conditions, also=self.kernels, known=self.known, effort=self._effort(self.seconds),
            seed=self.seed,
        )  # fmt: skip
        if not plan.kernels and not plan.models:
            raise ConfigError("nothing is left to measure: the known table has all of these models and their kernels")
        return build_kernel_kit(plan, every, runtime, progress=progress)

    def result(self, path: Path) -> Returned:
        return read_result(path, self.known)

    def table(self, returned: Returned, where: str, tell: Tell) -> KernelTable:
        made = of_result(returned, where, tell)
        assert isinstance(made, KernelTable)
        return made

    def earlier(self, path: Path, tell: Tell) -> KernelTable:
        table, asked = KernelTable.read(path), {model.sha256: model.name for model in self.models}
        measured = {model.sha256 for model in table.models}
        if table.device.conditions != self.conditions or not measured <= asked.keys():
            raise _otherwise(path)
        for name in (name for sha256, name in asked.items() if sha256 not in measured):
            tell(f"{path.stem}: {path} is without {name}")
        return table

    def _effort(self, seconds: float) -> Effort:
        return Effort(confidence=self.confidence, at_most_s=seconds, at_least_s=min(seconds, Effort.at_least_s))


def write_kit(job: Job[Table], output: Path, *, progress: Progress | None = None) -> Kit:
    """Write a kit: there ``python KIT.pyz -o RESULT``, then, here, :func:`hwnas.flow.table.import_table`.

    Raises:
        SpaceError, ConfigError, RuntimeMissingError, TableError: it can't be measured as asked, or not by a kit.
        ModelError: the runtime can have none of the models, or doesn't tell the kernels of one.
        OutputError: the output exists already or can't be written.
    """
    refuse_existing(output)
    built = job.kit(progress)
    write_atomic(output, built.data)
    return built


def _runtime(conditions: Conditions) -> Runtime:
    return get_runtime(conditions.runtime, conditions.options)


def _otherwise(path: Path) -> OutputError:
    return OutputError(f"{path} exists already and was measured otherwise; remove it or choose another folder")


def _parts(models: Sequence[Prepared]) -> Iterator[Sequence[Prepared]]:
    """Models that are measured in the same rounds: as many as memory holds with their kernels."""
    part: list[Prepared] = []
    for each in models:
        if part and sum(len(one.data) for one in (*part, each)) > _MOST_BYTES:
            yield part
            part = []
        part.append(each)
    yield part
