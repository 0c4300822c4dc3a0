"""The page of ``hwnas table validate --plot``: a table's predictions against measured networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.validate import Validation
from hwnas.reporting.markup import Html, card, code, details, escape, facts, join, lead, side_by_side, table, tile
from hwnas.reporting.page import chart, page
from hwnas.reporting.predictions import Predictions, by_madds, by_table, common_range, predictions_figure
from hwnas.reporting.units import milliseconds, percent
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
    device = validated.device
    protocol = validated.protocol
    return page(
        title=f"{space.name} at {space.resolution} px: predicted against measured",
        eyebrow="hwnas table validate",
        created=str(device),
        top=Html(f'<section aria-label="Numbers"><div class="tiles">{join(_tiles(found, validated))}</div></section>'),
        sections={
            "networks": ("Network by network", _networks_section(found, validated, space)),
            "table": ("The table", _table_section(validated)),
        },
        footer=Html(f"<p>The table was made by hwnas {escape(protocol.hwnas)}.</p>") if protocol else Html(""),
    )


def _lead(found: Validation, validated: LatencyTable, space: ChainSpace) -> str:
    count = len(found.networks)
    when = (
        "each measured twice in the same rounds as the table's ops"
        if _held_out(found, validated)
        else "each measured twice for this page, after the table was made"
    )
    return (
        f"{count} random networks of {space.name} that the table's calibration hasn't seen, {when}. The table's "
        f"prediction is off by {percent(found.mape)} on average, another measurement by {percent(found.retest_mape)}, "
        f"the count of multiply-adds by {percent(found.madds_mape)}."
    )


def _held_out(found: Validation, validated: LatencyTable) -> bool:
    """Whether the networks are those that the table holds for this."""
    held_out = [(first.choices, first.p50_ms, again.p50_ms) for first, again in validated.held_out]
    return held_out == [(n.choices, n.measured_ms, n.measured_again_ms) for n in found.networks]


def _tiles(found: Validation, validated: LatencyTable) -> Iterator[Html]:
    yield tile(
        "mean absolute error (MAPE)",
        percent(found.mape),
        "How far the prediction is from the measurement, relative to it, on average.",
    )
    yield tile(
        "measured again",
        percent(found.retest_mape),
        "The same for one measurement of a network, taken as a prediction of the other: the noise of measuring.",
    )
    yield tile(
        "multiply-adds instead",
        percent(found.madds_mape),
        f"The same for multiply-adds alone, fitted to these very networks; ρ {_correlation(found.madds_spearman)}.",
    )
    yield tile("within ±5 %", _share(found.within_5), "Networks predicted to ±5 % of what was measured.")
    yield tile("within ±10 %", _share(found.within_10), "Networks predicted to ±10 % of what was measured.")
    if found.coverage_90 is not None:
        yield tile(
            "inside the 90 % interval",
            _share(found.coverage_90),
            "Single measurements inside the interval that should hold nine of ten.",
        )
    yield tile(
        "Spearman's ρ",
        _correlation(found.spearman),
        "How well the order of the networks is told: 1 is the same order, 0 none.",
    )
    yield tile(
        "Kendall's τ",
        _correlation(found.kendall),
        "Counted by pairs: the faster of two is told right in (1 + τ) / 2 of all pairs.",
    )
    if _held_out(found, validated):
        yield tile("drift", "none", "These networks were measured together with the table's ops.")
    elif found.drift is not None:
        yield tile(
            "drift",
            f"× {found.drift:.3f}",
            "The table's own networks took so many times what they took when it was made; the errors include it.",
        )


def _share(fraction: float) -> str:
    return f"{fraction:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


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
    rows = [
        [
            code(",".join(map(str, network.choices))),
            milliseconds(predicted),
            milliseconds(first),
            milliseconds(again),
            f"{100 * (predicted / ((first + again) / 2) - 1):+.2f}\N{NO-BREAK SPACE}%",
            f"{100 * (first / again - 1):+.2f}\N{NO-BREAK SPACE}%",
        ]
        for network, predicted, first, again in zip(
            found.networks, ours.predicted_ms, ours.first_ms, ours.again_ms, strict=True
        )
    ]
    head = ["choices", "predicted", "measured", "measured again", "error of the prediction", "of measuring"]
    return join(
        [
            lead(_lead(found, validated, space)),
            lead(_HOW_TO_READ if ours.interval_ms is None else _HOW_TO_READ + _DOTTED),
            side_by_side(drawn),
            details(f"All {len(rows)} networks, as a table", table(head, rows, align="lrrrrr")),
        ]
    )


def _scatter(title: str, note: str, predictions: Predictions, ends_ms: Sequence[float], name: str) -> Html:
    figure = predictions_figure(predictions, ends_ms)
    return card(title, note, chart(figure, name, height_px=470, description=f"{title}, against measured"))


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
        steadiness = f"varied by ±{percent(protocol.unsteadiness_90)} from second to second"
        made["the machine's own speed"] = steadiness
    return join([facts(known), facts(made)])
