"""``hwnas count``, ``hwnas predict`` and ``hwnas derive``: what is known of an arch, and its network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
import yaml

from hwnas.cli.console import (
    ClassesOption,
    JsonOption,
    ResolutionOption,
    SeedOption,
    ShapeOption,
    command,
    parse_shapes,
    print_result,
)
from hwnas.errors import ConfigError
from hwnas.progress import ProgressBars

if TYPE_CHECKING:
    from hwnas.flow.count import ArchCount
    from hwnas.flow.predict import ArchPredictions
    from hwnas.onnx.count import ModelCount
    from hwnas.records.model import ModelInfo

ArchArgument = Annotated[
    str,
    typer.Argument(
        help="A search's folder (its winner), front.json:N, an arch.json, a released name, or SPACE:i,j,k,…"
    ),
]

_FITS = {True: "fits", False: "doesn't fit"}


def count(
    model: Annotated[
        str,
        typer.Argument(
            help="An ONNX file, module:callable (your own code, which is run), or an arch: a search's folder (its "
            "winner), front.json:N, an arch.json, a released name, or SPACE:i,j,k,…"
        ),
    ],
    shape: ShapeOption = None,
    resolution: ResolutionOption = None,
    classes: ClassesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Multiply-adds (1 = 2 FLOPs), parameters, and memory of an arch (batch 1, stabilizers dropped) or of any model."""
    from hwnas.flow.count import ArchCount
    from hwnas.flow.count import count as count_any

    found = count_any(model, resolution=resolution, classes=classes, shapes=parse_shapes(shape))
    if isinstance(found, ArchCount):
        _print_arch(found, as_json)
    else:
        _print_model(found, as_json)


def _print_arch(found: ArchCount, as_json: bool) -> None:
    counted = found.count
    result = {
        "arch": str(found.arch),
        "madds": counted.madds,
        "params": counted.params,
        "model_mb": found.model_mb,
        "peak_activation_mb": found.peak_activation_mb,
        "ops": [{"op": op.to_dict(), "madds": c.madds, "params": c.params} for op, c in counted.per_op],
    }
    rows = [f"{c.madds / 1e6:>10.3f} M  {c.params:>9,}  {op}" for op, c in counted.per_op]
    total = f"{counted.madds / 1e6:>10.3f} M multiply-adds, {counted.params:,} parameters: {found.arch}"
    peak = f"at most {found.peak_activation_mb:.2f} MB of activations at one time"
    print_result(result, as_json, *rows, total, f"{found.model_mb:.2f} MB of weights, {peak}, in fp32")


def _print_model(found: ModelCount, as_json: bool) -> None:
    model = found.model
    result = {
        "model": model.name,
        "inputs": {port.name: list(port.shape) for port in model.inputs},
        "madds": found.madds,
        "params": found.params,
        "model_mb": found.model_mb,
        "peak_activation_mb": found.peak_activation_mb,
        "ops": [{"name": n.name, "op": n.op, "madds": n.madds, "params": n.params} for n in found.nodes],
        "uncounted": [{"name": node.name, "op": node.op, "why": node.uncounted} for node in found.uncounted],
    }
    rows = [
        f"{'?' if n.madds is None else format(n.madds / 1e6, '.3f'):>10} M  {n.params:>9,}  {n.op} {n.name}"
        for n in found.nodes
        if n.madds != 0 or n.params
    ]
    least = "at least " if found.uncounted else ""
    taken = ", ".join(f"{port.name} {'x'.join(map(str, port.shape))}" for port in model.inputs)
    total = f"{found.madds / 1e6:>10.3f} M multiply-adds, {found.params:,} parameters: {model.name} for {taken}"
    known = found.peak_activation_mb is not None
    peak = f"at most {found.peak_activation_mb:.2f} MB of activations at one time" if known else "activations unknown"
    print_result(
        result,
        as_json,
        *rows,
        f"{least}{total.lstrip() if least else total}",
        f"{found.model_mb:.2f} MB of weights, {peak}",
        *(f"not counted: {node.op} {node.name}: {node.uncounted}" for node in found.uncounted),
    )


def predict(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Released names, arch.json files, front.json:N, SPACE:i,j,k,…; for a table of kernels also ONNX files "
            "and module:callable.",
        ),
    ],
    table: Annotated[
        list[Path], typer.Option(help="Latency table of the device; several (as of other resolutions) are merged.")
    ],
    shape: ShapeOption = None,
    resolution: Annotated[
        int | None, typer.Option(help="Of an arch's input in pixels; the table's, unless given.")
    ] = None,
    quantile: Annotated[
        Literal["p50", "p90"], typer.Option(help="Of a network's runs: their median, or what nine of ten stay within.")
    ] = "p50",
    budget_ms: Annotated[
        float | None, typer.Option("--budget", min=0, help="Of a network in ms; says who fits.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A kernel that nothing is known about is an error, and no lower bound.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Latency of networks in ms, with the interval that should hold 90 % of them.

    An op or a kernel that isn't in the table is interpolated from those that are; the output says so.
    """
    from hwnas.flow.predict import ArchPredictions
    from hwnas.flow.predict import predict as predict_any

    with ProgressBars() as progress:
        found = predict_any(
            table, models, resolution=resolution, quantile=quantile, shapes=parse_shapes(shape), strict=strict,
            progress=progress,
        )  # fmt: skip
    if isinstance(found, ArchPredictions):
        _print_archs(found, budget_ms, as_json)
    else:
        from hwnas.cli.kernels import of_predictions
        from hwnas.flow.kernels import ModelPredictions

        assert isinstance(found, ModelPredictions)
        result, lines = of_predictions(found, budget_ms)
        print_result(result, as_json, *lines)


def _print_archs(found: ArchPredictions, budget_ms: float | None, as_json: bool) -> None:
    low_ms, high_ms = (end.tolist() for end in found.interval_ms) if found.interval_ms else (None, None)
    result = {
        "archs": [str(arch) for arch in found.archs],
        "quantile": found.quantile,
        "latency_ms": found.latency_ms.tolist(),
        "low_ms": low_ms,
        "high_ms": high_ms,
        "model_mb": found.model_mb.tolist(),
        "peak_activation_mb": found.peak_activation_mb.tolist(),
        "interpolated": [[op.to_dict() for op in ops] for ops in found.interpolated],
        "fits": None if budget_ms is None else (found.latency_ms <= budget_ms).tolist(),
        "device": found.device.plain(),
    }
    lines = []
    for index, arch in enumerate(found.archs):
        interval = f"{low_ms[index]:.3f} to {high_ms[index]:.3f} ms" if low_ms and high_ms else "not calibrated"
        guessed = f", {len(ops)} of its ops interpolated" if (ops := found.interpolated[index]) else ""
        fits = ""
        if budget_ms is not None:
            within = bool(found.latency_ms[index] <= budget_ms)
            fits = f": {_FITS[within]} {budget_ms:g} ms"
        lines.append(f"{found.latency_ms[index]:>9.3f} ms  ({interval}{guessed})  {arch}{fits}")
    print_result(result, as_json, *lines, f"on {found.device}")


def derive(
    arch: ArchArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The model folder to make.")],
    supernet: Annotated[Path | None, typer.Option(help="Inherit weights of this run of `hwnas train`.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Official SCARLET weights (.pth.tar).")] = None,
    resolution: ResolutionOption = None,
    classes: ClassesOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """A standalone network of one arch; without --supernet and --checkpoint its weights are random."""
    if supernet and checkpoint:
        raise ConfigError("give --supernet or --checkpoint, not both")
    from hwnas.evaluation.interval import plus_minus
    from hwnas.flow.derive import derive as derive_network
    from hwnas.graph.count import count

    network = derive_network(
        arch, supernet, checkpoint=checkpoint, output=output, resolution=resolution, classes=classes, seed=seed
    )
    counted, info = count(network.graph), network.info
    result = {
        "model": str(output),
        "arch": str(network.arch),
        "madds": counted.madds,
        "params": counted.params,
        "parity": info.parity,
        "accuracy": info.accuracy,
        "stabilizers": {str(each.layer): str(each) for each in network.stabilizers},
    }
    print_result(
        result,
        as_json,
        f"{counted.madds / 1e6:.3f} M multiply-adds (fvcore agrees), {counted.params:,} parameters",
        *(f"stabilizer of layer {each.layer}: {each}" for each in network.stabilizers),
        *(
            f"accuracy, {name}: {plus_minus(value, info.accuracy_images.get(name))}"
            for name, value in info.accuracy.items()
        ),
        *([f"differs from the supernet's path by {info.parity:.1e}"] if info.parity is not None else []),
        f"model: {output}",
        *_next(output, info, trained=checkpoint is not None),
    )


def _next(model: Path, info: ModelInfo, *, trained: bool) -> Iterator[str]:
    """Training by itself, which inherited and random weights need, and then what ships."""
    if not trained:
        yield f"next: {command('train', 'winner.yaml')}, where winner.yaml says (more: docs/train-a-supernet.md)"
        config = {"data": info.data or "photos"}
        if info.corrupt_images == "skip":
            config["corrupt_images"] = "skip"
        learner = {"kind": "network", "network": str(model)}
        text = yaml.safe_dump(
            {**config, "learner": learner, "learning_rate": 0.05},
            default_flow_style=None, sort_keys=False, allow_unicode=True, width=10**6,
        )  # fmt: skip
        yield from (f"  {line}" for line in text.splitlines())
    words = command("export", model if trained else "runs/winner", "--target", "onnx-fp32", "-o", "artifact")
    yield f"{'next' if trained else 'then'}: {words}"
