"""``hwnas count``."""

from __future__ import annotations

from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result

ArchArgument = Annotated[str, typer.Argument(help="A released name, an arch.json, front.json:N, or SPACE:i,j,k,…")]


def count(
    arch: ArchArgument,
    resolution: Annotated[int | None, typer.Option(help="Input size in pixels.")] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs of the classifier.")] = None,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Multiply-adds (1 = 2 FLOPs; batch 1), parameters, and memory in fp32 of an arch, stabilizers dropped."""
    from hwnas.graph.count import count as count_ops
    from hwnas.prediction.size import model_mb, peak_activation_mb
    from hwnas.space.arch import parse_arch

    found = parse_arch(arch, resolution, classes)
    counted = count_ops(found.space.graph(found.choices))
    ops = [{"op": op.to_dict(), "madds": c.madds, "params": c.params} for op, c in counted.per_op]
    size_mb, peak_mb = (float(cost(found.space)(found.choices)[0]) for cost in (model_mb, peak_activation_mb))
    result = {
        "arch": str(found),
        "madds": counted.madds,
        "params": counted.params,
        "model_mb": size_mb,
        "peak_activation_mb": peak_mb,
        "ops": ops,
    }
    rows = [f"{c.madds / 1e6:>10.3f} M  {c.params:>9,}  {op}" for op, c in counted.per_op]
    total = f"{counted.madds / 1e6:>10.3f} M multiply-adds, {counted.params:,} parameters: {found}"
    memory = f"{size_mb:.2f} MB of weights, at most {peak_mb:.2f} MB of activations at one time, in fp32"
    print_result(result, as_json, *rows, total, memory)
