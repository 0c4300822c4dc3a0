"""``hwnas table …``: look at latency tables, check them, compare them, take in those of others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hwnas.cli.console import JsonOption, SeedOption, ShapeOption, parse_shapes, print_result
from hwnas.cli.profile import summary
from hwnas.errors import ConfigError, counted
from hwnas.progress import ProgressBars, say

if TYPE_CHECKING:
    from hwnas.prediction.diff import Comparison

Format = Literal["ofa", "proxylessnas", "csv"]
Unit = Literal["s", "ms", "us"]

app = typer.Typer(help="Latency tables.", no_args_is_help=True)

TableArgument = Annotated[Path, typer.Argument(help="A latency table (YAML).")]


@app.command("show")
def show(
    table: TableArgument,
    layers_of: Annotated[
        str | None,
        typer.Option("--per-layer", metavar="MODEL", help="What each kernel of a model adds, costliest first."),
    ] = None,
    shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a table says: device, origin, calibration, entries; and whether its networks were really measured."""
    from hwnas.tables.kernel_table import KernelTable, is_kernel_table

    if is_kernel_table(table):
        from hwnas.cli import kernels
        from hwnas.flow.kernels import per_layer

        found = KernelTable.read(table)
        if layers_of:
            told, lines = kernels.per_layer(per_layer(found, layers_of, parse_shapes(shape)))
        else:
            told, lines = kernels.of_table(found, table)
        print_result(told, as_json, *lines)
        return
    if layers_of:
        raise ConfigError(
            f"{table} is a table of a space's ops; hwnas profile {layers_of} -o TABLE makes one of kernels"
        )
    from hwnas.tables.sum_check import check_networks
    from hwnas.tables.table import LatencyTable

    loaded = LatencyTable.load(table)
    space, calibration = loaded.space, loaded.calibration
    sections = {name: getattr(loaded, name) for name in ("space", "protocol", "provenance", "calibration")}
    result = {
        "device": loaded.device.plain(),
        **{name: section.plain() if section else None for name, section in sections.items()},
        "ops": [{"op": op.to_dict(), **latency.model_dump()} for op, latency in loaded.ops.items()],
        "failed": [{"op": op.to_dict(), "reason": reason} for op, reason in loaded.failed.items()],
        "networks": len(loaded.networks),
        "held_out": len(loaded.held_out),
        "added": len(loaded.added),
    }
    print_result(
        result,
        as_json,
        f"{loaded.device}; clocks: {loaded.device.clocks}",
        f"{space.source} at {space.resolution} px, {space.classes} classes" if space else "of no space",
        str(loaded.protocol or loaded.provenance),
        f"a network takes {calibration}" if calibration else "not calibrated",
        "median of each op's runs ± half the distance from their 10th to their 90th percentile:",
        *(f"{latency.p50_ms:>9.4f} ms ±{latency.spread:>6.1%}  {op}" for op, latency in loaded.ops.items()),
        *([f"networks: {check_networks(loaded)}"] if space and loaded.networks else []),
        *(f"   failed                {op}: {reason}" for op, reason in loaded.failed.items()),
    )


@app.command("validate")
def validate(
    table: TableArgument,
    networks: Annotated[int, typer.Option(min=5, help="Random networks to measure, twice each.")] = 30,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Measure nothing: use the networks the table holds for this.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="An .html page to draw predicted against measured on.")] = None,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure random whole networks on this machine and hold the table's predictions against them.

    Each network is loaded and measured twice in the same rounds: the difference is the retest noise. A table of another
    device holds networks that were measured there (hwnas kit build --held-out N), for --held-out.
    """
    from hwnas.flow.table import validate_table
    from hwnas.tables.table import LatencyTable

    space = LatencyTable.load(table).get_space()
    with ProgressBars() as progress:
        found = validate_table(table, networks=networks, held_out=held_out, seed=seed, plot=plot, progress=progress)
    count = len(found.networks)
    coverage = "" if found.coverage_90 is None else f"   inside the 90 % interval {found.coverage_90:.0%}"
    where = "held out of the table's calibration" if held_out else "measured on this machine now"
    print_result(
        asdict(found),
        as_json,
        f"{count} random networks of {space.name}, {where}; predicted against measured:",
        f"  MAPE {found.mape:.2%}   within 5 % {found.within_5:.0%}   within 10 % {found.within_10:.0%}{coverage}",
        f"  Spearman {_rank(found.spearman)}   Kendall {_rank(found.kendall)}",
        f"  multiply-adds alone: MAPE {found.madds_mape:.2%}, Spearman {_rank(found.madds_spearman)}",
        f"  the same networks measured again: MAPE {found.retest_mape:.2%}",
        *([f"  the table's own networks now take {found.drift:.3f} × what they took then"] if found.drift else []),
        *([f"plot: {plot}"] if plot else []),
    )


def _rank(correlation: float | None) -> str:
    return "not defined" if correlation is None else f"{correlation:.4f}"


@app.command("diff")
def diff(
    a: TableArgument,
    b: TableArgument,
    archs: Annotated[int, typer.Option(min=10, help="Random archs to compare predictions for.")] = 1000,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """What two tables disagree about: ops, and the order of whole networks."""
    from hwnas.flow.table import diff_tables

    found = diff_tables(a, b, archs=archs, seed=seed)
    lines = [f"a: {found.a}", f"b: {found.b}", f"{counted(found.ops.count, 'op')} in common: {_comparison(found.ops)}"]
    unlike = [("slower", op) for op in found.slower_on_b] + [("faster", op) for op in found.faster_on_b]
    lines += [
        f"  relatively {how} on b, {op.relative:.2f} ×: {op.op} ({op.a_ms:.3f} ms, {op.b_ms:.3f} ms)"
        for how, op in unlike
    ]
    if networks := found.networks:
        what = f"{networks.latency.count} random networks of {networks.space} at {networks.resolution} px"
        lines.append(f"{what}: {_comparison(networks.latency)}")
        if networks.flipped is not None:
            lines.append(f"  {networks.flipped:.1%} of pairs are in the other order")
        lines += [
            f"  a says {flip.a_ms[0]:.3f} < {flip.a_ms[1]:.3f} ms, b says {flip.b_ms[0]:.3f} > {flip.b_ms[1]:.3f} ms: "
            f"{flip.faster_on_a} and {flip.faster_on_b}"
            for flip in networks.flips
        ]
        lines += [
            f"  layer {layer.layer}: fastest on a [{layer.fastest_on_a}], which takes {layer.cost_on_b:.2f} × the best "
            f"of b [{layer.fastest_on_b}]"
            for layer in networks.layers
        ]
    print_result(asdict(found), as_json, *lines)


def _comparison(found: Comparison) -> str:
    ranks = f"Spearman {found.spearman:.4f}, Kendall {found.kendall:.4f}; " if found.spearman is not None else ""
    return f"{ranks}b takes {found.ratio:.3f} × (80 %: {found.ratio_p10:.3f} to {found.ratio_p90:.3f} ×)"


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A kit's result, or a table of another tool.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The table to write (YAML; of kernels JSON).")],
    form: Annotated[
        Format | None, typer.Option("--format", help="Of another tool's table; found out if not given.")
    ] = None,
    unit: Annotated[Unit | None, typer.Option("--unit", help="Of another tool's times.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="What another tool measured on, in words.")] = None,
    known: Annotated[
        list[Path] | None, typer.Option("--with", help="The table that a kit of models was built --with.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what was measured elsewhere, by a kit or by another tool, and write it as a table."""
    from hwnas.flow.table import import_table
    from hwnas.tables.kernel_table import KernelTable
    from hwnas.tables.table import WITHOUT_SPACE

    loaded = import_table(file, output, form=form, unit=unit, device=device, known=known, tell=say)
    if isinstance(loaded, KernelTable) or loaded.provenance is None:
        result, lines = summary(loaded, output)
    else:
        result = {"ops": len(loaded.ops), "table": str(output), "device": loaded.device.plain(),
                  "provenance": loaded.provenance.plain()}  # fmt: skip
        lines = [f"{counted(len(loaded.ops), 'op')}; {loaded.provenance}", f"table: {output}", f"next: {WITHOUT_SPACE}"]
    print_result(result, as_json, *lines)
