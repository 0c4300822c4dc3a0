"""What ``profile``, ``kit build`` and ``table import`` share: options that say what to measure, and what they print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.errors import ConfigError

if TYPE_CHECKING:  # imported when a verb runs
    from hwnas.tables.table import LatencyTable

SpaceOption = Annotated[str, typer.Option("--space", help="Name of a space, or its .yaml file.")]
RuntimeOption = Annotated[str, typer.Option("--runtime", help="What runs the network.")]
OptionsOption = Annotated[
    list[str] | None, typer.Option("--option", help="NAME=VALUE for the runtime; give it again for another.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", help="Of one inference.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="fp32, fp16, bf16 or int8, as the runtime has it.")]
BatchOption = Annotated[int, typer.Option("--batch", help="Images per inference.")]
ResolutionOption = Annotated[int | None, typer.Option("--resolution", help="Input size in pixels.")]
ClassesOption = Annotated[int | None, typer.Option("--classes", help="Outputs of the classifier.")]
NetworksOption = Annotated[int, typer.Option("--networks", min=3, help="Whole networks to calibrate with.")]
HeldOutOption = Annotated[
    int, typer.Option("--held-out", min=0, help="Whole networks to validate with, measured twice each.")
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence", min=1e-4, max=1.0, help="Know each median to ± this share (95 %).")
]
SecondsOption = Annotated[float, typer.Option("--seconds", min=0.0, help="End after so many, known or not.")]


def options_of(texts: list[str] | None) -> dict[str, str]:
    """What ``--option`` says.

    Raises:
        ConfigError: one isn't NAME=VALUE, or a name is there twice.
    """
    options: dict[str, str] = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key or key in options:
            raise ConfigError(f"--option takes NAME=VALUE, each name once, got {text!r}")
        options[key] = value
    return options


def summary(table: LatencyTable, output: object) -> tuple[dict[str, Any], list[str]]:
    """What a new table says: the JSON object, and lines to read."""
    protocol, calibration = table.protocol, table.calibration
    assert protocol is not None
    result = {
        "ops": len(table.ops),
        "failed": [{"op": op.to_dict(), "reason": reason} for op, reason in table.failed.items()],
        "networks": len(table.networks),
        "held_out": len(table.held_out),
        "seconds": protocol.seconds,
        "table": str(output),
        "device": table.device.plain(),
        "confidence_asked": protocol.confidence_asked,
        "confidence_95": protocol.confidence_95,
        "unsteadiness_90": protocol.unsteadiness_90,
        "calibration": calibration.plain() if calibration else None,
    }
    count = f"{len(table.ops)} ops and {len(table.networks) + 2 * len(table.held_out)} networks"
    lines = [f"{count} in {protocol.seconds:.0f} s on {table.device}"]
    lines += [f"could not be run: [{op}]: {reason}" for op, reason in list(table.failed.items())[:5]]
    lines.append(
        f"medians known to ±{protocol.confidence_95:.1%} (95 %), asked ±{protocol.confidence_asked:.1%}; the machine's "
        f"own speed varied by ±{protocol.unsteadiness_90:.1%} from second to second"
    )
    if protocol.confidence_95 > protocol.confidence_asked:
        lines.append("the machine was too noisy for the confidence asked: give it no other work, or more --seconds")
    lines.append(f"a network takes {calibration}" if calibration else "not calibrated: too few networks ran")
    return result, [*lines, f"table: {output}"]
