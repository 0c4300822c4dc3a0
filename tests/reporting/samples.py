"""Contents that look like those of real runs."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from hwnas.graph.count import cost, count
from hwnas.prediction.lowered import LayerSum
from hwnas.reporting.content import (
    ArtifactContent,
    BenchContent,
    ClosingContent,
    DeviceContent,
    FailedContent,
    FileContent,
    LatencyContent,
    MeasuredContent,
    MeasuredObjectiveContent,
    NetworkLatency,
    ObjectiveContent,
    ParityContent,
    ReportContent,
    SearchContent,
    StepContent,
    TrainingContent,
    WinnerContent,
)
from hwnas.space.arch import Arch
from hwnas.space.registry import get_space

_RATE = {"scarlet-tiny": 3.1e-7, "scarlet-s2": 3.4e-8}  # ms a multiply-add

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'
CHARTS = [
    *("chart-front", "chart-hypervolume", "chart-choices", "chart-device-0", "chart-closing-0"),
    *("chart-latency", "chart-training-0", "chart-training-1"),
]


def report(name: str, evaluations: int = 300) -> ReportContent:
    """Everything, for a space with a budget that about half of the archs meet."""
    search = search_content(name, evaluations)
    assert search.winner is not None
    arch = Arch(search.space, tuple(map(int, search.archs[search.winner])))
    predicted_ms = search.values[search.winner, 1]
    return ReportContent(
        title="The fastest accurate digit reader for this machine" if name == "scarlet-tiny" else "SCARLET on a phone",
        created="2025-03-14 09:26 UTC",
        version="0.1.0",
        search=search,
        devices=device_contents(search),
        closing=closing_content(search),
        winner=_winner(arch, _op_ms(name)),
        latency=_latency(float(predicted_ms)),
        training=(_training("supernet", 30), _training("fine-tuned network", 12)),
        artifact=_artifact(float(predicted_ms)),
        how=_how(name, arch),
    )


def search_content(name: str, evaluations: int = 300) -> SearchContent:
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
    return SearchContent(
        space=space,
        objectives=(
            ObjectiveContent(name="accuracy", unit="fraction", maximize=True),
            ObjectiveContent(name="latency_ms", unit="ms", maximize=False),
        ),
        archs=archs,
        values=values,
        front=front,
        budgets={"latency_ms": budget_ms},
        winner=max(front, key=lambda i: accuracy[i]),
        strategy="nsga2",
        evaluations=evaluations,
        seed=0,
        hypervolume=0.0719,
        reference_point=(0.85, 1.1 * budget_ms),
        hypervolume_history=np.cumsum(gains * rng.integers(0, 2, evaluations)) / 100,
        baseline_history=np.cumsum(gains[::-1] * rng.integers(0, 2, evaluations)) / 120,
        failed=(FailedContent(choices=tuple(map(int, archs[0])), reason="accuracy returned nan"),),
    )


def device_contents(search: SearchContent) -> tuple[DeviceContent, ...]:
    """The device of the search, and one whose latencies are alike but for a third of the archs."""
    latency_ms = search.values[:, 1]
    slow = np.where(np.arange(len(latency_ms)) % 3, 1.0, 1.4)
    return (
        DeviceContent(
            name="phone", device="Example CPU", latency_ms=latency_ms, budget_ms=search.budgets["latency_ms"]
        ),
        DeviceContent(
            name="board", device="Example board", latency_ms=3 * slow * latency_ms, budget_ms=None, interpolated=2
        ),
    )


def closing_content(search: SearchContent) -> ClosingContent:
    """The front, measured 4 % slower than predicted; one network more, over budget."""
    budget_ms = search.budgets["latency_ms"]
    points = [
        MeasuredContent(
            choices=tuple(map(int, search.archs[index])),
            label=f"accuracy {100 * search.values[index, 0]:.2f} %",
            predicted_ms=predicted_ms,
            refitted_ms=1.04 * predicted_ms,
            measured_ms=measured_ms,
            measured_p10_ms=0.98 * measured_ms,
            measured_p90_ms=1.05 * measured_ms,
            within=measured_ms <= budget_ms,
            on_front=measured_ms <= budget_ms,
        )
        for index in search.front
        if (predicted_ms := float(search.values[index, 1])) and (measured_ms := 1.04 * predicted_ms)
    ]
    points.append(
        dataclasses.replace(
            points[0],
            predicted_ms=budget_ms,
            measured_ms=1.05 * budget_ms,
            measured_p10_ms=None,
            measured_p90_ms=None,
            refitted_ms=None,
            within=False,
            on_front=False,
        )
    )
    measured = MeasuredObjectiveContent(
        name="latency_ms", device="Example CPU", drift=1.01, table="table.yaml", error_after=0.011,
        budget_ms=budget_ms, budget_as_searched_ms=1.02 * budget_ms, networks=tuple(points),
    )  # fmt: skip
    failed = FailedContent(choices=tuple(map(int, search.archs[1])), reason="the runtime can't run it")
    return ClosingContent(rounds=2, objectives=(measured,), unmeasured=1, failed=(failed,))


def _beaten(values: np.ndarray, index: int, among: np.ndarray) -> bool:
    accuracy, latency_ms = values[index]
    others = values[among]
    no_worse = (others[:, 0] >= accuracy) & (others[:, 1] <= latency_ms)
    return bool((no_worse & ((others[:, 0] > accuracy) | (others[:, 1] < latency_ms))).any())


def _op_ms(name: str):
    return lambda op: _RATE[name] * cost(op).madds + 0.004


def _winner(arch: Arch, op_ms) -> WinnerContent:
    graph = arch.space.graph(arch.choices)
    walk = tuple((node.place, node.op) for node in graph)
    total = count(graph)
    skipped = [i for i, c in enumerate(arch.choices) if arch.space.layers[i][c].skips]
    return WinnerContent(
        arch=arch,
        walk=walk,
        predicted_ms={place: op_ms(op) for place, op in walk},
        stabilizers={layer: f"folded into the block after layer {layer}" for layer in skipped},
        madds=total.madds,
        params=total.params,
        accuracies={"inherited, validation": 0.9417, "fine-tuned, test": 0.9722, "exported, test": 0.9722},
    )


def _latency(predicted_ms: float) -> LatencyContent:
    rng = np.random.default_rng(3)
    predictions = predicted_ms * rng.uniform(0.6, 1.7, 12)
    return LatencyContent(
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


def _training(name: str, epochs: int) -> TrainingContent:
    rng = np.random.default_rng(epochs)
    part = np.arange(1, epochs + 1) / epochs
    loss = 0.25 + 2.05 * np.exp(-4 * part) + rng.normal(0, 0.02, epochs)
    accuracy = 0.97 - 0.8 * np.exp(-5 * part) + rng.normal(0, 0.006, epochs)
    return TrainingContent(
        name=name,
        rows=tuple(
            {"epoch": e, "loss": a, "accuracy": b, "seconds": 4.2}
            for e, (a, b) in enumerate(zip(loss.tolist(), accuracy.tolist(), strict=True), start=1)
        ),
        config={"space": "scarlet-tiny", "seed": 0, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}},
    )


def _artifact(median_ms: float) -> ArtifactContent:
    def hash_of(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    return ArtifactContent(
        files=(
            FileContent(
                path="onnx-fp32/model.onnx",
                bytes=412_883,
                sha256=hash_of("a"),
                precision="fp32",
                precisions={"fp32": 31},
                memory_mb=9.2,
                exported_ms=median_ms,
                fp32_ms=median_ms,
            ),
            FileContent(
                path="onnx-int8/model.onnx",
                bytes=131_072,
                sha256=hash_of("b"),
                precision="int8",
                precisions={"int8": 25, "fp32": 6},
                memory_mb=7.7,
                exported_ms=0.58 * median_ms,
                fp32_ms=median_ms,
            ),
            FileContent(
                path="openvino-bf16/model.xml",
                bytes=206_441,
                sha256=hash_of("c"),
                precision="bf16",
                precisions={"bf16": 31},
                exported_ms=1.2 * median_ms,
                fp32_ms=median_ms,
            ),
            FileContent(
                path="tensorrt-fp16/model.engine",
                bytes=306_441,
                sha256=hash_of("d"),
                precision="fp16",
                precisions={"fp16": 31},
                lacks="there is no NVIDIA GPU here",
            ),
        ),
        parity=tuple(
            ParityContent(
                path=path,
                max_relative_error=error,
                tolerance=tolerance,
                top1_agreement=same,
                images=360,
                accuracy_before=before,
                accuracy_after=after,
            )
            for path, error, tolerance, same, before, after in (
                ("onnx-fp32/model.onnx", 4.8e-6, 1e-4, 1.0, 0.9722, 0.9722),
                ("onnx-int8/model.onnx", 0.41, 0.3, 0.9889, 0.9722, 0.9611),
                ("openvino-bf16/model.xml", 6.1e-3, 5e-2, 1.0, None, None),
            )
        ),
        bench=tuple(
            BenchContent(
                path=path,
                runtime=runtime,
                threads=threads,
                batch=1,
                p50_ms=f * median_ms,
                p10_ms=0.96 * f * median_ms,
                p90_ms=(1.05 + 0.1 * f) * f * median_ms,
                memory_mb=None if f == 0.92 else 9.3,
                fastest=f in (0.58, 0.71),
            )
            for path, runtime, threads, f in (
                ("onnx-fp32/model.onnx", "onnxruntime 1.20.1", 1, 1.03),
                ("onnx-fp32/model.onnx", "onnxruntime 1.20.1", 2, 0.71),
                ("onnx-int8/model.onnx", "onnxruntime 1.20.1", 1, 0.58),
                ("openvino-bf16/model.xml", "openvino 2025.0", 1, 0.92),
            )
        ),
    )


def _how(name: str, arch: Arch) -> tuple[StepContent, ...]:
    return (
        StepContent(
            name="Profile the device",
            command=f"hwnas profile --space {name} --runtime onnxruntime --threads 1 -o table.yaml",
            seconds=41.3,
            facts={"operations": "63", "networks": "12"},
        ),
        StepContent(
            name="Train the supernet", command="hwnas train supernet.yaml", seconds=126.0, facts={"epochs": "30"}
        ),
        StepContent(
            name="Search",
            command="hwnas search --supernet runs/supernet --table table.yaml:0.9 --evaluations 300 --seed 0",
            seconds=38.9,
            facts={"evaluations": "300", "hypervolume": "0.0719"},
        ),
        StepContent(name="Derive", command=f"hwnas derive {arch} --supernet runs/supernet -o model", seconds=1.2),
        StepContent(name="Export", command="hwnas export model --target onnx-fp32 -o artifact", seconds=7.7),
    )


def small_search(**changes: object) -> SearchContent:
    """Five archs of macro by accuracy, phone, GPU and size: a front of three, one dominated, one over budget."""
    space = get_space("macro")
    search = SearchContent(
        space=space,
        objectives=(
            ObjectiveContent(name="accuracy", unit="fraction", maximize=True),
            ObjectiveContent(name="latency_ms phone", unit="ms", maximize=False),
            ObjectiveContent(name="latency_ms gpu", unit="ms", maximize=False),
            ObjectiveContent(name="model_mb", unit="MB", maximize=False),
            ObjectiveContent(name="madds", unit="madds", maximize=False),
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
        winner=2,
        strategy="nsga2",
        evaluations=5,
        seed=0,
        hypervolume=0.1,
        reference_point=(0.8, 9.0, 1.0, 6.0, 9e6),
        hypervolume_history=np.array([0.01, 0.02, 0.05, 0.05, 0.05]),
    )
    return dataclasses.replace(search, **changes)


def evil_report() -> ReportContent:
    """Markup in every text that comes from outside."""
    content = report("scarlet-tiny")
    space = dataclasses.replace(content.search.space, name=EVIL, source=EVIL)
    artifact = content.artifact
    return dataclasses.replace(
        content,
        title=EVIL,
        created=EVIL,
        version=EVIL,
        search=dataclasses.replace(
            content.search, space=space, strategy=EVIL, failed=(FailedContent(choices=(0,), reason=EVIL),)
        ),
        devices=tuple(dataclasses.replace(d, name=EVIL, device=EVIL) for d in content.devices),
        closing=dataclasses.replace(
            content.closing,
            objectives=tuple(
                dataclasses.replace(
                    measured,
                    name=EVIL,
                    device=EVIL,
                    table=EVIL,
                    networks=tuple(dataclasses.replace(n, label=EVIL) for n in measured.networks),
                )
                for measured in content.closing.objectives
            ),
            failed=(FailedContent(choices=(0,), reason=EVIL),),
        ),
        winner=dataclasses.replace(
            content.winner, arch=Arch(space, content.winner.arch.choices), stabilizers={0: EVIL}, accuracies={EVIL: 0.5}
        ),
        latency=dataclasses.replace(
            content.latency,
            device=EVIL,
            fields={EVIL: EVIL},
            networks=(NetworkLatency(label=EVIL, predicted_ms=1.0, measured_ms=1.1),),
        ),
        training=tuple(
            dataclasses.replace(run, name=EVIL, config={EVIL: {EVIL: EVIL}}, rows=({"epoch": 1, EVIL + "loss": 0.3},))
            for run in content.training
        ),
        artifact=dataclasses.replace(
            artifact,
            files=tuple(
                dataclasses.replace(f, path=EVIL, precision=EVIL, sha256=EVIL, precisions={EVIL: 1}, lacks=EVIL)
                for f in artifact.files
            ),
            parity=tuple(dataclasses.replace(p, path=EVIL) for p in artifact.parity),
            bench=tuple(dataclasses.replace(b, path=EVIL, runtime=EVIL) for b in artifact.bench),
        ),
        how=tuple(dataclasses.replace(s, name=EVIL, command=EVIL, facts={EVIL: EVIL}) for s in content.how),
    )
