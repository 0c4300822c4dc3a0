"""The page of ``hwnas table validate --plot``: a table's predictions against measured networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from hwnas.errors import counted
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.validate import Validation
from hwnas.reporting import charts
from hwnas.reporting.markup import Html, code, details, escape, facts, join, lead, side_by_side, tile, tiles
from hwnas.reporting.page import page
from hwnas.reporting.predictions import Predictions, by_madds, by_table, common_range, predictions_figure
from hwnas.reporting.units import by_commas, milliseconds, percent
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import LatencyTable

_HOW_TO_READ = (
    "On the dashed line the prediction is exact; above it the network was slower than predicted. A dot is the mean of "
    "both measurements, its bar ends at them. The grey bands are ±5 % and ±10 %."
)
_DOTTED = " Between the dotted lines the table expects nine of ten networks."


def render_validation(found: Validation, validated: LatencyTable) -> str:
    """The validation of a table, as the text of one HTML file; the same validation gives the same text.

    Args:
        found: what :mod:`hwnas.prediction.validate` found of ``validated``.
        validated: the table.

    Raises:
        TableError: the table covers no space.
        SpaceError: the space's file isn't there any more, or has changed.
        MissingOpError: the table lacks ops of its space and can't tell them from the others.
    """
    space = validated.get_space()
    protocol = validated.protocol
    return page(
        title=f"{space.name} at {space.resolution} px: predicted against measured",
        eyebrow="hwnas table validate",
        created=str(validated.device),
        top=tiles(_tiles(found, validated)),
        sections={
            "networks": ("Network by network", _networks_section(found, validated, space)),
            "table": ("The table", _table_section(validated)),
        },
        footer=Html(f"<p>The table was made by hwnas {escape(protocol.hwnas)}.</p>") if protocol else Html(""),
    )


def _lead(found: Validation, validated: LatencyTable, space: ChainSpace) -> str:
    in_its_rounds = "in the same rounds as the table's ops"
    when = in_its_rounds if _held_out(found, validated) else "for this page, after the table was made"
    return (
        f"{len(found.networks)} random networks of {space.name} that the table's calibration hasn't seen, each "
        f"measured twice {when}. The table's prediction is off by {percent(found.mape)} on average, another "
        f"measurement by {percent(found.retest_mape)}, the count of multiply-adds by {percent(found.madds_mape)}."
    )


def _held_out(found: Validation, validated: LatencyTable) -> bool:
    """Whether the networks are those that the table holds for this."""
    held_out = [(first.choices, first.p50_ms, again.p50_ms) for first, again in validated.held_out]
    return held_out == [(n.choices, n.measured_ms, n.measured_again_ms) for n in found.networks]


def _tiles(found: Validation, validated: LatencyTable) -> Iterator[Html]:
    error = "How far the prediction is from the measurement, relative to it, on average."
    again = "The same for one measurement of a network, taken as a prediction of the other: the noise of measuring."
    fitted = "The same for multiply-adds alone, fitted to these very networks"
    order = "How well the order of the networks is told: 1 is the same order, 0 none."
    pairs = "Counted by pairs: the faster of two is told right in (1 + τ) / 2 of all pairs."
    yield tile("mean absolute error (MAPE)", percent(found.mape), error)
    yield tile("measured again", percent(found.retest_mape), again)
    yield tile("multiply-adds instead", percent(found.madds_mape), f"{fitted}; ρ {_correlation(found.madds_spearman)}.")
    for within, share in ((5, found.within_5), (10, found.within_10)):
        yield tile(f"within ±{within} %", percent(share, 0), f"Networks predicted to ±{within} % of what was measured.")
    if found.coverage_90 is not None:
        inside = "Single measurements inside the interval that should hold nine of ten."
        yield tile("inside the 90 % interval", percent(found.coverage_90, 0), inside)
    yield tile("Spearman's ρ", _correlation(found.spearman), order)
    yield tile("Kendall's τ", _correlation(found.kendall), pairs)
    if _held_out(found, validated):
        yield tile("drift", "none", "These networks were measured together with the table's ops.")
    elif found.drift is not None:
        times = "The table's own networks took so many times what they took when it was made; the errors include it."
        yield tile("drift", f"× {found.drift:.3f}", times)


def _correlation(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _networks_section(found: Validation, validated: LatencyTable, space: ChainSpace) -> Html:
    """Both scatters with the same axes, so that the eye can compare, and all numbers as a table."""
    ours, baseline = by_table(found, LatencyPredictor(validated, space)), by_madds(found, space)
    ends_ms = common_range(ours, baseline)
    drawn = [
        _scatter("Predicted by the table", "From the latencies of their ops.", ours, ends_ms, "chart-table"),
        _scatter("Predicted by multiply-adds", "The same networks, the same axes.", baseline, ends_ms, "chart-madds"),
    ]
    rows = [_row(*astuple(network)) for network in found.networks]
    head = ["choices", "predicted", "measured", "measured again", "error of the prediction", "of measuring"]
    return join(
        lead(_lead(found, validated, space)),
        lead(_HOW_TO_READ if ours.interval_ms is None else _HOW_TO_READ + _DOTTED),
        side_by_side(drawn),
        details(f"All {counted(len(rows), 'network')}, as a table", head, rows),
    )


def _row(choices: tuple[int, ...], *times_ms: float) -> list[object]:
    predicted_ms, first_ms, again_ms = times_ms
    errors = predicted_ms / ((first_ms + again_ms) / 2) - 1, first_ms / again_ms - 1
    signed = (f"{100 * error:+.2f}\N{NO-BREAK SPACE}%" for error in errors)
    return [code(by_commas(choices)), *map(milliseconds, times_ms), *signed]


def _scatter(title: str, note: str, predictions: Predictions, ends_ms: Sequence[float], name: str) -> Html:
    figure = predictions_figure(predictions, ends_ms)
    return charts.card(title, note, figure, name, height_px=470, description=f"{title}, against measured")


def _table_section(validated: LatencyTable) -> Html:
    """On what device the table holds, how it was made, and how its ops make a network."""
    device, source = validated.device, validated.space
    assert source is not None  # it gave its space
    options = ", ".join(f"{name} {value}" for name, value in device.options.items())
    known: dict[str, object] = {
        "hardware": f"{device.hardware}, {device.cores} processors, {device.os}",
        "clocks": device.clocks,
        "runtime": f"{device.runtime} {device.runtime_version}" + (f" ({options})" if options else ""),
        "inference": f"{device.precision}, threads: {device.threads}, batch: {device.batch}",
        "space": f"{source.source}, {source.resolution} px, {source.classes} classes",
        "entries": f"{len(validated.ops)} ops" + (f", {len(validated.failed)} failed" if validated.failed else ""),
    }
    made = {
        "made": str(validated.protocol or validated.provenance),
        "a network takes": str(validated.calibration or "the sum of its ops: not calibrated, so there is no interval"),
    }
    if protocol := validated.protocol:
        made["the machine's own speed"] = f"varied by ±{percent(protocol.unsteadiness_90)} from second to second"
    return join(facts(known), facts(made))
