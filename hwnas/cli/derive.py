"""``hwnas derive``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.cli.count import ArchArgument
from hwnas.errors import ConfigError


def derive(
    arch: ArchArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The model folder to make.")],
    supernet: Annotated[Path | None, typer.Option(help="Inherit weights of this run of `hwnas train`.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Official SCARLET weights (.pth.tar).")] = None,
    resolution: Annotated[int | None, typer.Option(help="Input size in pixels.")] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs of the classifier.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """A standalone network of one arch; without --supernet and --checkpoint its weights are random."""
    if supernet and checkpoint:
        raise ConfigError("give --supernet or --checkpoint, not both")
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
        *(f"accuracy, {name}: {value:.2%}" for name, value in info.accuracy.items()),
        *([f"differs from the supernet's path by {info.parity:.1e}"] if info.parity is not None else []),
        f"model: {output}",
    )
