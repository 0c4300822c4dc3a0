"""What a report shows, as plain data. Whoever has the files fills this in; nothing here reads or computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwnas.arrays import Archs, Values
from hwnas.graph.graph import Op
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace


@dataclass(frozen=True, kw_only=True)
class ObjectiveContent:
    """One objective of a search.

    Attributes:
        name: as the search calls it, like ``latency_ms``.
        unit: ``fraction`` (shown in percent), ``ms``, ``madds``, ``params``, ``bytes``, another word that is
            written behind the number, or nothing.
        maximize: whether more is better.
    """

    name: str
    unit: str
    maximize: bool


@dataclass(frozen=True, kw_only=True)
class FailedContent:
    """An arch that couldn't be evaluated, and why."""

    choices: tuple[int, ...]
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchContent:
    """What a search did and found.

    Attributes:
        space: that was searched.
        objectives: K of them, in the order of the columns of ``values``.
        archs: (M, L) every evaluation, in the order they were made.
        values: (M, K) in the objectives' own sign and unit.
        front: indices of the non-dominated archs within budget.
        budgets: objective's name -> at most this value.
        winner: index of the arch that was taken; None when none was.
        strategy, evaluations, seed: how it was searched.
        hypervolume: of the front; None when it wasn't computed.
        reference_point: (K,) of the hypervolume, in the objectives' own sign and unit.
        hypervolume_history: (M,) after each evaluation, if known.
        baseline_history: the same for random archs within the same budgets, from the same reference point.
        failed: archs that couldn't be evaluated; they aren't among ``archs``.
    """

    space: ChainSpace
    objectives: tuple[ObjectiveContent, ...]
    archs: Archs
    values: Values
    front: tuple[int, ...]
    budgets: Mapping[str, float] = field(default_factory=dict)
    winner: int | None
    strategy: str
    evaluations: int
    seed: int
    hypervolume: float | None
    reference_point: tuple[float, ...] = ()
    hypervolume_history: Values | None = None
    baseline_history: Values | None = None
    failed: tuple[FailedContent, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceContent:
    """A device, and how fast everything that a search evaluated is on it.

    Attributes:
        name: short, as its table's file is called.
        device: in one line; empty when its table isn't there any more.
        latency_ms: (M,) predicted, in the order of the search's evaluations.
        budget_ms: on this device; None for none.
        interpolated: ops that its table lacks and a kernel model answered for.
    """

    name: str
    device: str
    latency_ms: Values
    budget_ms: float | None = None
    interpolated: int = 0


@dataclass(frozen=True, kw_only=True)
class MeasuredContent:
    """A network that was measured after the search.

    Attributes:
        choices: of the arch.
        label: what it is known by in the chart, like its accuracy.
        predicted_ms: by the table, when it was searched.
        refitted_ms: by the table after these measurements were added to it; None when they weren't.
        measured_ms, measured_p10_ms, measured_p90_ms: on the device.
        within: whether the measurement is within the budget.
        on_front: whether it is on the final front.
    """

    choices: tuple[int, ...]
    label: str
    predicted_ms: float
    refitted_ms: float | None
    measured_ms: float
    measured_p10_ms: float | None
    measured_p90_ms: float | None
    within: bool
    on_front: bool


@dataclass(frozen=True, kw_only=True)
class MeasuredObjectiveContent:
    """A latency that was measured.

    Attributes:
        name: of the objective.
        device: in one line.
        drift: how many times as slow the machine was as when the table was made; measurements are divided by it.
            None when it isn't known.
        table: the table that the measurements were added to; None when they weren't.
        error_after: mean absolute relative error of the refitted table for networks left out of the fit, if known.
        budget_ms: that was searched with; None for none.
        budget_as_searched_ms: what the first table said of the slowest arch that is within the budget by the refitted
            one; None when it isn't known.
        networks: that were measured.
    """

    name: str
    device: str
    drift: float | None
    table: str | None
    error_after: float | None
    budget_ms: float | None
    budget_as_searched_ms: float | None
    networks: tuple[MeasuredContent, ...]


@dataclass(frozen=True, kw_only=True)
class ClosingContent:
    """A front that was measured on the device.

    Attributes:
        rounds: of measuring, replacing and measuring again.
        objectives: that were measured.
        unmeasured: networks of the final front that weren't.
        failed: archs that couldn't be measured.
    """

    rounds: int
    objectives: tuple[MeasuredObjectiveContent, ...]
    unmeasured: int = 0
    failed: tuple[FailedContent, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WinnerContent:
    """The network that was chosen.

    Attributes:
        arch: its choices.
        walk: (place, Op) as ``ChainSpace.walk`` gives them; a skipped layer is absent.
        predicted_ms: place -> what the predictor says that it adds; empty without a table.
        stabilizers: layer -> what became of its stabilizer, in a few words.
        madds, params: of the derived network at batch 1.
        accuracies: what it was measured on -> fraction of right answers; the last is the one to be known for.
    """

    arch: Arch
    walk: tuple[tuple[str, Op], ...]
    predicted_ms: Mapping[str, float]
    stabilizers: Mapping[int, str] = field(default_factory=dict)
    madds: int
    params: int
    accuracies: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class NetworkLatency:
    """A whole network that was predicted and measured."""

    label: str
    predicted_ms: float
    measured_ms: float


@dataclass(frozen=True, kw_only=True)
class LatencyContent:
    """How well latency was predicted.

    Attributes:
        device: in one line.
        fields: the device field by field, and whatever else tells how it was measured.
        predicted_ms: of the winner.
        low_ms, high_ms: ends of the winner's 90 % prediction interval; None when the table isn't calibrated.
        measured_ms, measured_p10_ms, measured_p90_ms: the winner on the device; None when it wasn't benched.
        networks: whole networks of the table, beside the winner.
        fitted: whether the predictor's scale was fitted on these networks, which flatters it.
    """

    device: str
    fields: Mapping[str, str]
    predicted_ms: float
    low_ms: float | None
    high_ms: float | None
    measured_ms: float | None
    measured_p10_ms: float | None = None
    measured_p90_ms: float | None = None
    networks: tuple[NetworkLatency, ...] = ()
    fitted: bool = True


@dataclass(frozen=True, kw_only=True)
class TrainingContent:
    """One training run.

    Attributes:
        name: as ``supernet``.
        rows: one per epoch: ``epoch`` and what was logged; a name with ``loss`` or ``accuracy`` in it is drawn,
            accuracies being fractions.
        config: the run's configuration; may be nested.
    """

    name: str
    rows: tuple[Mapping[str, float], ...]
    config: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """A file of the artifact, by its path inside it.

    Attributes:
        precision: that was asked for.
        precisions: {precision: layers with weights that compute in it}, read back.
        memory_mb: peak of what loading it and one inference add to a process; None where nobody knows.
        lacks: why it couldn't run where it was exported; None where it did.
        exported_ms, fp32_ms: medians of the file and of the same format in fp32, timed in the same rounds.
    """

    path: str
    bytes: int
    sha256: str
    precision: str
    precisions: Mapping[str, int] = field(default_factory=dict)
    memory_mb: float | None = None
    lacks: str | None = None
    exported_ms: float | None = None
    fp32_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class ParityContent:
    """How far an exported file is from the network it was made of, on ``images`` inputs.

    ``max_relative_error`` is the largest difference of an output, over the largest output; ``tolerance`` what was
    allowed of it; ``top1_agreement`` a fraction, as are the accuracies of the network and of the file on these inputs.
    """

    path: str
    max_relative_error: float
    tolerance: float
    top1_agreement: float
    images: int
    accuracy_before: float | None = None
    accuracy_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class BenchContent:
    """One latency measurement of an exported file.

    Attributes:
        memory_mb: see :class:`FileContent`; for this batch.
        fastest: of all with its threads and batch.
    """

    path: str
    runtime: str
    threads: int
    batch: int
    p50_ms: float
    p10_ms: float
    p90_ms: float
    memory_mb: float | None = None
    fastest: bool = False


@dataclass(frozen=True, kw_only=True)
class ArtifactContent:
    """What is shipped. The first file is the one whose size is the headline."""

    files: tuple[FileContent, ...]
    parity: tuple[ParityContent, ...] = ()
    bench: tuple[BenchContent, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepContent:
    """One step of how everything was made; ``command`` can be typed again as it stands."""

    name: str
    command: str
    seconds: float
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """A whole report; what is None or empty isn't drawn, and the page says so.

    Attributes:
        created: when, as it shall be read.
        version: of hwnas.
        devices: the one that was searched for, and others to compare it with.
    """

    title: str
    created: str
    version: str
    search: SearchContent | None = None
    devices: tuple[DeviceContent, ...] = ()
    closing: ClosingContent | None = None
    winner: WinnerContent | None = None
    latency: LatencyContent | None = None
    training: tuple[TrainingContent, ...] = ()
    artifact: ArtifactContent | None = None
    how: tuple[StepContent, ...] = ()
