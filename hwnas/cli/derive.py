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
    from hwnas.cli.deriving import derive_from_supernet, derive_released
    from hwnas.flow.origin import search_folder
    from hwnas.space.arch import parse_arch

    if supernet:
        from hwnas.training.trained import read_supernet_info

        info = read_supernet_info(supernet)
        found = parse_arch(arch, resolution or info.space.resolution, classes or info.space.classes)
        derived = derive_from_supernet(found, supernet, output, search_folder(arch))
    else:
        derived = derive_released(parse_arch(arch, resolution, classes), checkpoint, output, seed)
    notes = derived.network.stabilizer_notes
    result = {
        "model": str(output),
        "arch": str(derived.network.arch),
        "madds": derived.counted.madds,
        "params": derived.counted.params,
        "parity": derived.parity,
        "accuracy": derived.info.accuracy,
        "stabilizers": {str(layer): note for layer, note in notes.items()},
    }
    print_result(
        result,
        as_json,
        f"{derived.counted.madds / 1e6:.3f} M multiply-adds (fvcore agrees), {derived.counted.params:,} parameters",
        *(f"stabilizer of layer {layer}: {note}" for layer, note in notes.items()),
        *(f"accuracy, {name}: {value:.2%}" for name, value in derived.info.accuracy.items()),
        *([f"differs from the supernet's path by {derived.parity:.1e}"] if derived.parity is not None else []),
        f"model: {output}",
    )
