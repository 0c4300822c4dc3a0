"""How well every shipped table predicts the networks it holds for this, as a Markdown table and as a picture.

python benchmarks/shipped_tables.py [--tables FOLDER] [--picture FILE.png]

Measures nothing: each table's held-out networks were measured twice, in the rounds of its ops, and kept out of its
calibration. MAPE is relative to the mean of both measurements, "retest" that of one measurement against the other;
the last row pools all networks. ``--picture`` takes chromium.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.io as pio
from plotly.subplots import make_subplots

from hwnas.errors import InputError
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.validate import Validation, validate_held_out
from hwnas.reporting.charts import TEMPLATE
from hwnas.reporting.picture import find_browser, photograph
from hwnas.reporting.predictions import by_table, common_range, draw_predictions
from hwnas.shipped import shipped
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import LatencyTable

HEAD = (
    "device", "space", "px", "runtime", "precision", "threads", "ops", "seconds", "networks", "MAPE", "±5 %", "±10 %",
    "in 90 % interval", "ρ", "τ", "retest MAPE", "MAPE / retest", "multiply-adds' MAPE", "multiply-adds' ρ",
)  # fmt: skip
TEXT_COLUMNS = ("device", "space", "runtime", "precision")
COLUMNS = 5
PANEL_PX = 230
BESIDE_PX, BELOW_PX = 42, 78  # between panels: the axis' numbers, below them the next title
CAPTION_PX = 36
CAPTION = (
    "Across: predicted latency (ms). Up: measured latency (ms), the bar from one measurement to the other. "
    "Grey: ±5 % and ±10 %. Dotted: 90 % interval. Dashed: predicted = measured."
)


@dataclass(frozen=True)
class Checked:
    """A table of one device's folder, and how well it predicts."""

    device: str
    table: LatencyTable
    space: ChainSpace
    found: Validation

    @property
    def key(self) -> tuple[str, str, int, str, str, int]:
        """What the row is of, and its place among the others."""
        device = self.table.device
        return (
            self.device, self.space.name, self.space.resolution, device.runtime, device.precision, device.threads,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", type=Path, help="folder of tables, in place of the shipped ones")
    parser.add_argument("--picture", type=Path, help="a .png file to draw predicted against measured on")
    given = parser.parse_args()
    if given.picture:
        find_browser()  # before the work
    checked, passed_over = check_all(given.tables or shipped("latency_tables"))
    if not checked:
        parser.error(f"nothing to show: {'; '.join(passed_over) or 'no tables in the folder'}")
    for line in markdown([cells(c.key, [c]) for c in checked] + [cells(total_key(checked), checked)]):
        print(line)
    print(f"\n{pooled_coverage(checked)}")
    for reason in passed_over:
        print(f"without a row: {reason}")
    if given.picture:
        draw(checked, given.picture)
        print(f"picture: {given.picture}")


def check_all(folder: Path) -> tuple[list[Checked], list[str]]:
    """Every table below ``folder`` that has held-out networks, in order, and why others were passed over."""
    checked, passed_over = [], []
    for path in sorted(folder.rglob("*.yaml")):
        try:
            table = LatencyTable.load(path)
            space = table.get_space()
            checked.append(Checked(path.parent.name, table, space, validate_held_out(table, space)))
        except InputError as error:
            passed_over.append(f"{path.parent.name}/{path.name}: {error}")
    return sorted(checked, key=lambda c: c.key), passed_over


# --- The Markdown table -----------------------------------------------------------------------------------------------


def cells(key: Sequence[object], of: Sequence[Checked]) -> list[str]:
    """Cells of one table, or of several pooled: every share and mean is over networks, correlations aren't pooled."""
    networks = [len(c.found.networks) for c in of]

    def pooled(*names: str) -> list[float]:
        return [float(np.average([getattr(c.found, name) for c in of], weights=networks)) for name in names]

    mape, within_5, within_10, retest, madds_mape = pooled("mape", "within_5", "within_10", "retest_mape", "madds_mape")
    inside, judged = coverage(of)
    one = of[0].found if len(of) == 1 else None
    protocols = [c.table.protocol for c in of]
    return [
        *map(str, key),
        str(sum(len(c.table.ops) for c in of)),
        f"{sum(p.seconds for p in protocols if p):.0f}" if any(protocols) else "–",
        str(sum(networks)),
        f"{mape:.2%}",
        f"{within_5:.0%}",
        f"{within_10:.0%}",
        f"{inside / judged:.0%}" if judged else "–",
        f"{one.spearman:.3f}" if one and one.spearman is not None else "–",
        f"{one.kendall:.3f}" if one and one.kendall is not None else "–",
        f"{retest:.2%}",
        f"{mape / retest:.2f}" if retest else "–",
        f"{madds_mape:.2%}",
        f"{one.madds_spearman:.3f}" if one and one.madds_spearman is not None else "–",
    ]


def total_key(checked: Sequence[Checked]) -> list[str]:
    return [f"**all ({len(checked)})**", *[""] * (len(checked[0].key) - 1)]


def coverage(of: Sequence[Checked]) -> tuple[int, int]:
    """Single measurements inside their 90 % interval, and those that have one: two a network."""
    with_interval = [c.found for c in of if c.found.coverage_90 is not None]
    counts = [2 * len(found.networks) for found in with_interval]
    inside = sum(round((f.coverage_90 or 0.0) * count) for f, count in zip(with_interval, counts, strict=True))
    return inside, sum(counts)


def pooled_coverage(checked: Sequence[Checked]) -> str:
    inside, judged = coverage(checked)
    if not judged:
        return "No table is calibrated, so none gives an interval."
    better = sum(c.found.mape < c.found.retest_mape for c in checked)
    return (
        f"Inside the 90 % interval: {inside} of {judged} measurements, {inside / judged:.1%}. "
        f"Predicted better than measured again: {better} of {len(checked)} tables."
    )


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, numbers to the right."""
    rule = ["---" if name in TEXT_COLUMNS else "---:" for name in HEAD]
    return [f"| {' | '.join(row)} |" for row in (HEAD, rule, *rows)]


# --- The picture ------------------------------------------------------------------------------------------------------


def draw(checked: Sequence[Checked], path: Path) -> None:
    """One small scatter for each table, as a picture."""
    rows = -(-len(checked) // COLUMNS)
    plots_px = COLUMNS * PANEL_PX + (COLUMNS - 1) * BESIDE_PX, rows * PANEL_PX + (rows - 1) * BELOW_PX
    width_px, height_px = plots_px[0] + 58, plots_px[1] + CAPTION_PX + 74
    places = [(row, col) for row in range(1, rows + 1) for col in range(1, COLUMNS + 1)]
    drawn_at = dict(zip(places, checked, strict=False))  # the last row may have fewer
    figure = make_subplots(
        rows=rows,
        cols=COLUMNS,
        specs=[[{} if (row, col) in drawn_at else None for col in range(1, COLUMNS + 1)] for row in range(1, rows + 1)],
        subplot_titles=[title(c) for c in checked],
        horizontal_spacing=BESIDE_PX / plots_px[0],
        vertical_spacing=BELOW_PX / plots_px[1],
    )
    for (row, col), c in drawn_at.items():
        predictions = by_table(c.found, LatencyPredictor(c.table, c.space))
        draw_predictions(figure, predictions, common_range(predictions), row=row, col=col)
        figure.add_annotation(
            text=f"MAPE {c.found.mape:.2%}<br>ρ {c.found.spearman:.3f}",
            x=0.04,
            y=0.96,
            xref="x domain",
            yref="y domain",
            xanchor="left",
            yanchor="top",
            align="left",
            showarrow=False,
            font={"size": 12, "color": "#0f172a"},
            row=row,
            col=col,
        )
    figure.update_annotations(font_size=12)
    figure.update_xaxes(nticks=5)
    figure.update_yaxes(nticks=5)
    figure.update_traces(marker_size=6, selector={"mode": "markers"})
    figure.update_layout(
        template=TEMPLATE,
        showlegend=False,
        width=width_px,
        height=height_px,
        paper_bgcolor="#ffffff",
        margin={"l": 44, "r": 14, "t": 44 + CAPTION_PX, "b": 30},
        title={"text": CAPTION, "x": 14 / width_px, "y": 1 - 14 / height_px, "yanchor": "top", "font": {"size": 13}},
    )
    drawn = pio.to_html(figure, config={"displayModeBar": False}, full_html=False)
    photograph(f'<body style="margin: 0">{drawn}</body>', width_px, height_px, path)


def title(c: Checked) -> str:
    _, space, resolution, runtime, precision, threads = c.key
    where = html.escape(f"{c.device}, {runtime}", quote=False)
    return f"<b>{html.escape(space)} {resolution}</b> {precision} {threads}t<br>{where}"


if __name__ == "__main__":
    main()
