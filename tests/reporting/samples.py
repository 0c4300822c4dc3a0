"""Records and views that look like those of real runs."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from hwnas.graph.count import cost, count
from hwnas.prediction.costs import LayerSum
from hwnas.records.artifact import ArtifactRecord, ExportedFile, Parity
from hwnas.records.bench import BenchCell, BenchRecord, BenchRow, Fastest
from hwnas.records.demo import Step
from hwnas.records.evaluation import Answer, EvaluationRecord
from hwnas.records.network import Tensor
from hwnas.records.search import (
    Baseline,
    FailedArch,
    MeasuredFront,
    MeasuredNetwork,
    MeasuredObjective,
    SearchedTable,
    SearchObjective,
    SearchRecord,
    UnmeasurableArch,
)
from hwnas.records.target import Target, Tolerance
from hwnas.records.train import LogLine
from hwnas.reporting.views import Device, Latency, NetworkLatency, NextStep, Report, Training, Winner
from hwnas.space.arch import Arch
from hwnas.space.registry import get_space
from hwnas.tables.table import Latency as TimedLatency

_RATE = {"scarlet-tiny": 3.1e-7, "scarlet-s2": 3.4e-8}  # ms a multiply-add

DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
"""An image of one pixel."""
EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'
CHARTS = [
    *("chart-front", "chart-hypervolume", "chart-choices", "chart-device-0", "chart-measured-0"),
    *("chart-confusion", "chart-classes", "chart-latency", "chart-training-0", "chart-training-1"),
]


def report(name: str, evaluations: int = 300) -> Report:
    """Everything, for a space with a budget that about half of the archs meet."""
    search = search_record(name, evaluations)
    arch = search.winner
    assert arch is not None
    predicted_ms = float(search.values[search.winner_index, 1])
    return Report(
        title="The fastest accurate digit reader for this machine" if name == "scarlet-tiny" else "SCARLET on a phone",
        created="2025-03-14 09:26 UTC",
        version="0.1.0",
        search=search.model_copy(update={"measured": measured_front(search)}),
        devices=devices(search),
        winner=_winner(arch, _op_ms(name)),
        answers=answers(10),
        latency=_latency(predicted_ms),
        training=(_training("supernet", 30), _training("fine-tuned network", 12)),
        artifact=_artifact(arch, predicted_ms),
        bench=_bench(predicted_ms),
        how=_how(name, arch),
        next=(NextStep("Check it, wherever it was copied to.", "hwnas artifact check artifact"),),
    )


def answers(classes: int, wrong: int = 3) -> EvaluationRecord:
    """Of each class 40 images, one of them taken for the next class, and ``wrong`` of the first for the last."""
    last = classes - 1
    counts = {(label, label): 39 for label in range(classes)}
    counts |= {(label, (label + 1) % classes): 1 for label in range(classes)}
    counts[0, 0] -= wrong
    counts[0, last] = counts.get((0, last), 0) + wrong
    examples = [Answer(label=0, answer=last, share=0.9, image=DOT), Answer(label=1, answer=1, share=0.7, image=DOT)]
    return EvaluationRecord(
        labels=tuple(f"kind {label}" for label in range(classes)),
        answers=tuple((label, answer, count) for (label, answer), count in counts.items()),
        examples=tuple(examples),
    )


def search_record(name: str, evaluations: int = 300) -> SearchRecord:
    """A search whose later archs get better, with its front within a latency budget."""
    space = get_space(name)
    rng = np.random.default_rng(7)
    archs = space.sample(evaluations, rng)
    latency_ms = LayerSum(space, _op_ms(name))(archs)
    size = np.log(LayerSum(space, lambda op: float(cost(op).params))(archs))
    quality = (size - size.min()) / (size.max() - size.min())
    accuracy = 0.905 + 0.06 * quality**0.7 + rng.normal(0, 0.008, evaluations)
    values = np.stack([accuracy, latency_ms], axis=1)
    budget_ms = float(np.quantile(latency_ms, 0.7))
    inside = np.flatnonzero(latency_ms <= budget_ms)
    front = tuple(int(i) for i in inside if not _beaten(values, i, inside))
    gains = np.sort(rng.exponential(0.08, evaluations))[::-1]
    history = np.cumsum(gains * rng.integers(0, 2, evaluations)) / 100
    random = np.cumsum(gains[::-1] * rng.integers(0, 2, evaluations)) / 120
    return SearchRecord(
        space=space.ref,
        stabilizers=False,
        supernet=None,
        tables=(SearchedTable(name="phone", path=None, sha256="", device="Example CPU", budget_ms=budget_ms),),
        strategy="nsga2",
        objectives=(
            SearchObjective(name="accuracy", unit="fraction", maximize=True),
            SearchObjective(name="latency_ms", unit="ms", maximize=False, table=0, quantile="p50"),
        ),
        budgets={"latency_ms": budget_ms},
        seed=0,
        archs=archs,
        values=values,
        failed=(FailedArch(choices=tuple(archs[0].tolist()), reason="accuracy returned nan"),),
        front=front,
        winner_index=max(front, key=lambda i: accuracy[i]),
        reference=(0.85, 1.1 * budget_ms),
        hypervolume=0.0719,
        hypervolume_history=tuple(history.tolist()),
        baseline=Baseline(evaluations=evaluations, hypervolume_history=tuple(random.tolist())),
    )


def devices(search: SearchRecord) -> tuple[Device, ...]:
    """The device of the search, and one whose latencies are alike but for a third of the archs."""
    latency_ms = search.values[:, 1]
    slow = np.where(np.arange(len(latency_ms)) % 3, 1.0, 1.4)
    return (
        Device(name="phone", device="Example CPU", latency_ms=latency_ms, budget_ms=search.budgets["latency_ms"]),
        Device(name="board", device="Example board", latency_ms=3 * slow * latency_ms, interpolated=2),
    )


def point(index: int, predicted_ms: float, measured_ms: float, **changes: Any) -> MeasuredNetwork:
    """A network that was measured."""
    plain = {
        "index": index, "objective": "latency_ms", "predicted_ms": predicted_ms, "refitted_ms": 1.04 * predicted_ms,
        "measured_ms": measured_ms, "measured_p10_ms": 0.98 * measured_ms, "measured_p50_ms": measured_ms,
        "measured_p90_ms": 1.05 * measured_ms, "confidence_95": 0.01, "drift": 1.0, "budget_ms": None, "within": True,
        "on_front": True,
    }  # fmt: skip
    return MeasuredNetwork(**plain | changes)


def measured_objective(**changes: Any) -> MeasuredObjective:
    """A latency that was measured."""
    plain = {
        "objective": "latency_ms", "device": "a machine", "table": "table.yaml", "confidence_95": 0.01,
        "error_90": 0.03, "drift": 1.01, "error_before": 0.04, "error_after": 0.011, "budget_as_searched_ms": None,
    }  # fmt: skip
    return MeasuredObjective(**plain | changes)


def measured_front(search: SearchRecord) -> MeasuredFront:
    """The front, measured 4 % slower than predicted; who is over budget then left it."""
    budget_ms = search.budgets["latency_ms"]
    points = []
    for index in search.front:
        predicted_ms = float(search.values[index, 1])
        within = 1.04 * predicted_ms <= budget_ms
        points.append(
            point(index, predicted_ms, 1.04 * predicted_ms, budget_ms=budget_ms, within=within, on_front=within)
        )
    beyond = next(i for i in range(len(search.archs)) if i not in search.front)
    points.append(point(beyond, budget_ms, 1.05 * budget_ms, budget_ms=budget_ms, within=False, on_front=False))
    return MeasuredFront(
        rounds=2,
        unmeasured=(search.front[0],),
        failed=(UnmeasurableArch(index=1, reason="the runtime can't run it"),),
        points=tuple(points),
        objectives=(measured_objective(device="Example CPU", budget_as_searched_ms=1.02 * budget_ms),),
    )


def _beaten(values: np.ndarray, index: int, among: np.ndarray) -> bool:
    accuracy, latency_ms = values[index]
    others = values[among]
    no_worse = (others[:, 0] >= accuracy) & (others[:, 1] <= latency_ms)
    return bool((no_worse & ((others[:, 0] > accuracy) | (others[:, 1] < latency_ms))).any())


def _op_ms(name: str):
    return lambda op: _RATE[name] * cost(op).madds + 0.004


def _winner(arch: Arch, op_ms) -> Winner:
    graph = arch.space.graph(arch.choices)
    walk = tuple((node.place, node.op) for node in graph)
    total = count(graph)
    skipped = [i for i, c in enumerate(arch.choices) if arch.space.layers[i][c].skips]
    return Winner(
        arch=arch,
        walk=walk,
        predicted_ms={place: op_ms(op) for place, op in walk},
        stabilizers={layer: f"folded into the block after layer {layer}" for layer in skipped},
        madds=total.madds,
        params=total.params,
        accuracies={"inherited, validation": 0.9417, "fine-tuned, test": 0.9722, "exported, test": 0.9722},
    )


def _latency(predicted_ms: float) -> Latency:
    rng = np.random.default_rng(3)
    predictions = predicted_ms * rng.uniform(0.6, 1.7, 12)
    return Latency(
        device="Example CPU @ 2.10GHz, onnxruntime 1.20.1, fp32, 1 thread, batch 1",
        fields={
            "cores": "2",
            "system": "Linux x86_64",
            "clocks": "governor unknown, 2100 MHz when read",
            "runs": "64 in 8 rounds of random order",
        },
        predicted_ms=predicted_ms,
        low_ms=0.94 * predicted_ms,
        high_ms=1.06 * predicted_ms,
        measured_ms=1.027 * predicted_ms,
        measured_p10_ms=1.01 * predicted_ms,
        measured_p90_ms=1.09 * predicted_ms,
        networks=tuple(
            NetworkLatency(label=f"random network {i}", predicted_ms=p, measured_ms=p * rng.normal(1, 0.025))
            for i, p in enumerate(predictions.tolist())
        ),
    )


def _training(name: str, epochs: int) -> Training:
    rng = np.random.default_rng(epochs)
    part = np.arange(1, epochs + 1) / epochs
    loss = 0.25 + 2.05 * np.exp(-4 * part) + rng.normal(0, 0.02, epochs)
    accuracy = 0.97 - 0.8 * np.exp(-5 * part) + rng.normal(0, 0.006, epochs)
    return Training(
        name=name,
        log=tuple(
            LogLine(epoch=e, loss=a, learning_rate=0.1, images_per_second=4200.0, accuracy={"random": b})
            for e, (a, b) in enumerate(zip(loss.tolist(), accuracy.tolist(), strict=True), start=1)
        ),
        config={"space": "scarlet-tiny", "seed": 0, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}},
    )


def _artifact(arch: Arch, median_ms: float) -> ArtifactRecord:
    def exported(
        target: str, file: str, precision: str, count: int, error: float, tolerance: float, same: float,
        before: float | None = 0.9722, after: float | None = 0.9722, *, precisions: dict[str, int],
        memory_mb: float | None = None, ms: float | None = None, lacks: str | None = None, parts: tuple[str, ...] = (),
    ) -> ExportedFile:  # fmt: skip
        parity = Parity(
            max_abs=error,
            max_relative=error,
            cosine=1.0,
            sqnr_db=None,
            top1_agreement=same,
            images=360,
            inputs="digits",
        )
        settings = Target.model_construct(precision=precision, tolerance=Tolerance.model_construct(relative=tolerance))
        timed = TimedLatency(p50_ms=ms, p10_ms=ms, p90_ms=ms, count=10) if ms else None
        return ExportedFile.model_construct(
            target=target, settings=settings, files=[file, *parts], bytes=count,
            inputs=(Tensor(name="input", dtype="float32", shape=(None, 3, 32, 32), layout="NCHW"),),
            outputs=(Tensor(name="logits", dtype="float32", shape=(None, 10)),), opset=17, ir_version=9,
            precisions=precisions, notes=(), parity=parity, recheck=parity, accuracy_before=before,
            accuracy_after=after, lacks=lacks, latency=timed, fp32_ms=median_ms if timed else None,
            memory_mb=memory_mb, device=None,
        )  # fmt: skip

    files = [
        exported("onnx-fp32", "onnx-fp32/model.onnx", "fp32", 412_883, 4.8e-6, 1e-4, 1.0, precisions={"fp32": 31},
                 memory_mb=9.2, ms=median_ms),
        exported("onnx-int8", "onnx-int8/model.onnx", "int8", 131_072, 0.41, 0.3, 0.9889, 0.9722, 0.9611,
                 precisions={"int8": 25, "fp32": 6}, memory_mb=7.7, ms=0.58 * median_ms),
        exported("openvino-bf16", "openvino-bf16/model.xml", "bf16", 206_441, 6.1e-3, 5e-2, 1.0, None, None,
                 precisions={"bf16": 31}, ms=1.2 * median_ms, parts=("openvino-bf16/model.bin",)),
        exported("tensorrt-fp16", "tensorrt-fp16/model.engine", "fp16", 306_441, 1e-3, 5e-2, 1.0, None, None,
                 precisions={"fp16": 31}, lacks="there is no NVIDIA GPU here"),
    ]  # fmt: skip
    return ArtifactRecord.model_construct(
        files=files,
        sha256={name: hashlib.sha256(name.encode()).hexdigest() for file in files for name in file.files},
    )


def _bench(median_ms: float) -> BenchRecord:
    rows = tuple(
        BenchRow(
            artifact="artifact", target=target, runtime=runtime, threads=threads, batch=1, p50_ms=f * median_ms,
            p10_ms=0.96 * f * median_ms, p90_ms=(1.05 + 0.1 * f) * f * median_ms, count=100, precision="fp32",
            images_per_s=1000 / (f * median_ms), bytes=1, parity=None, precisions={}, predicted_ms=None,
            memory_mb=None if f == 0.92 else 9.3,
        )
        for target, runtime, threads, f in (
            ("onnx-fp32", "onnxruntime 1.20.1", 1, 1.03),
            ("onnx-fp32", "onnxruntime 1.20.1", 2, 0.71),
            ("onnx-int8", "onnxruntime 1.20.1", 1, 0.58),
            ("openvino-bf16", "openvino 2025.0", 1, 0.92),
        )
    )  # fmt: skip
    best = [Fastest(**{name: getattr(row, name) for name in (*BenchCell.model_fields, "p50_ms")}, as_fast=())
            for row in (rows[1], rows[2])]  # fmt: skip
    return BenchRecord(
        results=rows, fastest=tuple(best), lacking=(), drift=None, confidence_95=0.01, unsteadiness_90=0.02
    )


def _how(name: str, arch: Arch) -> tuple[Step, ...]:
    return (
        Step(
            name="Profile the device",
            command=f"hwnas profile --space {name} --runtime onnxruntime --threads 1 -o table.yaml",
            seconds=41.3,
            facts={"operations": "63", "networks": "12"},
        ),
        Step(name="Train the supernet", command="hwnas train supernet.yaml", seconds=126.0, facts={"epochs": "30"}),
        Step(
            name="Search",
            command="hwnas search --supernet runs/supernet --table table.yaml:0.9 --evaluations 300 --seed 0",
            seconds=38.9,
            facts={"evaluations": "300", "hypervolume": "0.0719"},
        ),
        Step(name="Derive", command=f"hwnas derive {arch} --supernet runs/supernet -o model", seconds=1.2),
        Step(name="Export", command="hwnas export model --target onnx-fp32 -o artifact", seconds=7.7),
    )


def small_search(**changes: object) -> SearchRecord:
    """Five archs of macro by accuracy, phone, GPU and size: a front of three, one dominated, one over budget."""
    search = SearchRecord(
        space=get_space("macro").ref,
        stabilizers=False,
        supernet=None,
        tables=(),
        objectives=(
            SearchObjective(name="accuracy", unit="fraction", maximize=True),
            SearchObjective(name="latency_ms phone", unit="ms", maximize=False),
            SearchObjective(name="latency_ms gpu", unit="ms", maximize=False),
            SearchObjective(name="model_mb", unit="MB", maximize=False),
            SearchObjective(name="madds", unit="madds", maximize=False),
        ),
        archs=np.array([[k, *[0, 1, 2, 0, 1, 2], j] for k, j in ((0, 0), (0, 1), (1, 1), (2, 1), (2, 2))]),
        values=np.array(
            [
                [0.90, 1.0, 0.50, 2.0, 1e6],
                [0.92, 2.0, 0.40, 3.0, 2e6],
                [0.94, 3.0, 0.90, 4.0, 3e6],
                [0.89, 2.5, 0.60, 3.5, 2e6],
                [0.96, 9.0, 0.95, 4.5, 9e6],
            ]
        ),
        front=(0, 1, 2),
        budgets={"latency_ms phone": 5.0, "model_mb": 6.0},
        winner_index=2,
        strategy="nsga2",
        seed=0,
        hypervolume=0.1,
        reference=(0.8, 9.0, 1.0, 6.0, 9e6),
        hypervolume_history=(0.01, 0.02, 0.05, 0.05, 0.05),
    )
    return search.model_copy(update=changes)


def evil_report() -> Report:
    """Markup in every text that comes from outside."""
    content = report("scarlet-tiny")
    search, artifact = content.search, content.artifact
    space = dataclasses.replace(search.get_space(), name=EVIL, source=EVIL)
    measured = search.measured.model_copy(
        update={
            "objectives": tuple(
                each.model_copy(update={"device": EVIL, "table": EVIL}) for each in search.measured.objectives
            ),
            "failed": (UnmeasurableArch(index=0, reason=EVIL),),
        }
    )
    accuracy, latency = search.objectives
    search = search.model_copy(
        update={
            "space": search.space.model_copy(update={"source": EVIL}),
            "_space": space,
            "strategy": EVIL,
            "objectives": (accuracy.model_copy(update={"name": EVIL}), latency),
            "failed": (FailedArch(choices=(0,), reason=EVIL),),
            "measured": measured,
        }
    )
    files = [
        f.model_copy(
            update={
                "files": [EVIL],
                "settings": f.settings.model_copy(update={"precision": EVIL}),
                "precisions": {EVIL: 1},
                "lacks": EVIL,
            }
        )
        for f in artifact.files
    ]
    return dataclasses.replace(
        content,
        title=EVIL,
        created=EVIL,
        version=EVIL,
        search=search,
        devices=tuple(dataclasses.replace(d, name=EVIL, device=EVIL) for d in content.devices),
        winner=dataclasses.replace(
            content.winner, arch=Arch(space, content.winner.arch.choices), stabilizers={0: EVIL}, accuracies={EVIL: 0.5}
        ),
        answers=content.answers.model_copy(update={"labels": (EVIL,) * 10}),
        next=(NextStep(EVIL, EVIL),),
        latency=dataclasses.replace(
            content.latency,
            device=EVIL,
            fields={EVIL: EVIL},
            networks=(NetworkLatency(label=EVIL, predicted_ms=1.0, measured_ms=1.1),),
        ),
        training=tuple(dataclasses.replace(run, name=EVIL, config={EVIL: {EVIL: EVIL}}) for run in content.training),
        artifact=artifact.model_copy(update={"files": files, "sha256": {EVIL: EVIL}}),
        bench=content.bench.model_copy(
            update={"results": tuple(row.model_copy(update={"runtime": EVIL}) for row in content.bench.results)}
        ),
        how=tuple(s.model_copy(update={"name": EVIL, "command": EVIL, "facts": {EVIL: EVIL}}) for s in content.how),
    )
