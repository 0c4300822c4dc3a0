"""What a report shows and no record holds: numbers that were computed for it. Nothing here reads or computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwnas.arrays import Values
from hwnas.graph.graph import Op
from hwnas.records.artifact import ArtifactRecord
from hwnas.records.bench import BenchRecord
from hwnas.records.demo import Step
from hwnas.records.evaluation import EvaluationRecord
from hwnas.records.search import SearchRecord
from hwnas.records.train import LogLine
from hwnas.space.arch import Arch


@dataclass(frozen=True, kw_only=True, eq=False)
class Device:
    """A device, and how fast everything that a search evaluated is on it.

    Attributes:
        name: short, as its table is called.
        device: in one line.
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
class Winner:
    """The network that was chosen.

    Attributes:
        arch: its choices.
        walk: (place, Op) from input to output; a skipped layer is absent.
        predicted_ms: place -> what the predictor says that it adds; empty without a table.
        stabilizers: layer -> what became of its stabilizer, in a few words.
        madds, params: of the derived network at batch 1.
        accuracies: what it was measured on -> fraction of right answers; the last is the one to be known for.
        accuracy_images: on how many images each was found, where that is known.
        weights_bytes: of the file of its weights; None where there is none.
        is_winner: whether a search chose it, or another of its archs was taken; None without a search.
    """

    arch: Arch
    walk: tuple[tuple[str, Op], ...]
    predicted_ms: Mapping[str, float]
    stabilizers: Mapping[int, str] = field(default_factory=dict)
    madds: int
    params: int
    accuracies: Mapping[str, float]
    accuracy_images: Mapping[str, int] = field(default_factory=dict)
    weights_bytes: int | None = None
    is_winner: bool | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkLatency:
    """A whole network that was predicted and measured."""

    label: str
    predicted_ms: float
    measured_ms: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How well latency was predicted.

    Attributes:
        device: in one line.
        fields: the device field by field, and whatever else tells how it was measured.
        predicted_ms: of the winner.
        low_ms, high_ms: ends of the winner's 90 % prediction interval; None when the table isn't calibrated.
        measured_ms, measured_p10_ms, measured_p90_ms: the winner on the device; None when it wasn't measured.
        networks: whole networks of the table, that the predictor's scale was fitted on.
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


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training run: its name here, its log, its configuration, which may be nested, and how many classes it tells."""

    name: str
    log: tuple[LogLine, ...]
    config: Mapping[str, object]
    classes: int | None = None


@dataclass(frozen=True)
class NextStep:
    """What is worth doing with what is there: why, and the command for it."""

    why: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report; what is None or empty isn't drawn, and the page says so.

    Attributes:
        created: when, as it shall be read.
        version: of hwnas.
        doubt: why the front may be chance.
        devices: the one that was searched for, and others to compare it with.
        artifact: what is shipped; its first file's size is the headline.
        answers: of the winner, to the test images.
        artifact_bytes: of its whole folder.
        bench: of the artifact's files; rows of others aren't shown.
    """

    title: str
    created: str
    version: str
    search: SearchRecord | None = None
    doubt: str | None = None
    devices: tuple[Device, ...] = ()
    winner: Winner | None = None
    answers: EvaluationRecord | None = None
    latency: Latency | None = None
    training: tuple[Training, ...] = ()
    artifact: ArtifactRecord | None = None
    artifact_bytes: int | None = None
    bench: BenchRecord | None = None
    how: tuple[Step, ...] = ()
    next: tuple[NextStep, ...] = ()
