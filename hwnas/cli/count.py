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
    from hwnas.flow.count import count as count_arch

    found = count_arch(arch, resolution=resolution, classes=classes)
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
    memory = (
        f"{found.model_mb:.2f} MB of weights, at most {found.peak_activation_mb:.2f} MB of activations at one time, "
        "in fp32"
    )
    print_result(result, as_json, *rows, total, memory)
