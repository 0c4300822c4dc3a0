"""The page of ``table validate --plot`` shows what was found, and draws each network where it is."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from hwnas.ops.mbconv import MBConv
from hwnas.prediction.costs import madds
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.validate import Validation, validate_held_out
from hwnas.reporting.predictions import by_madds, by_table, common_range, predictions_figure
from hwnas.reporting.validation import render_validation
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.protocol import Provenance
from hwnas.tables.table import LatencyTable, MeasuredNetwork
from tests.reporting.browser import needs_browser, opened, overhang_px
from tests.reporting.parsed import Page
from tests.tables.make import calibration, made_up_table

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def space() -> ChainSpace:
    return get_space("scarlet-tiny")


@pytest.fixture(scope="module")
def table(space: ChainSpace) -> LatencyTable:
    """40 held-out networks, off by about 6 %, against an interval of ±8 %: some lie outside of everything."""
    made = dataclasses.replace(made_up_table(space), calibration=calibration(1.1, 0.002, -0.03, error_90=0.08))
    rng = np.random.default_rng(3)
    archs = space.sample(40, rng)
    measured_ms = LatencyPredictor(made, space)(archs) * (1 + 0.06 * rng.standard_normal(40))
    pairs_ms = measured_ms[:, None] * (1 + 0.01 * rng.standard_normal((40, 2)))
    held_out = tuple(
        (network(arch, first_ms), network(arch, again_ms))
        for arch, (first_ms, again_ms) in zip(archs.tolist(), pairs_ms.tolist(), strict=True)
    )
    return dataclasses.replace(made, held_out=held_out)


def network(arch: list[int], p50_ms: float) -> MeasuredNetwork:
    return MeasuredNetwork(choices=tuple(arch), p50_ms=p50_ms, p10_ms=0.9 * p50_ms, p90_ms=1.1 * p50_ms, count=30)


@pytest.fixture(scope="module")
def found(table: LatencyTable, space: ChainSpace) -> Validation:
    return validate_held_out(table, space)


@pytest.fixture(scope="module")
def html(found: Validation, table: LatencyTable) -> str:
    return render_validation(found, table)


def measured_ms(found: Validation) -> np.ndarray:
    return np.array([(n.measured_ms + n.measured_again_ms) / 2 for n in found.networks])


def trace(figure: go.Figure, name: str) -> go.Scatter:
    """A line of a figure by its name; a no-break space counts as a space."""
    (one,) = (data for data in figure.data if data.name.replace("\N{NO-BREAK SPACE}", " ") == name)
    return one


def share_between(x: np.ndarray, y: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Of dots, how many lie between two lines; both lines are (K, 2)."""
    above = y >= np.interp(x, *lower.T)
    below = y <= np.interp(x, *upper.T)
    return float(np.mean(above & below))


def test_all_numbers_are_there_with_their_meaning(found: Validation, html: str) -> None:
    page = Page(html)
    for fraction in (found.mape, found.retest_mape, found.madds_mape):
        assert f"{100 * fraction:.2f} %" in page.text
    for fraction in (found.within_5, found.within_10, found.coverage_90):
        assert 0 < fraction < 1
        assert f"{100 * fraction:.0f} %" in page.text
    for correlation in (found.spearman, found.kendall, found.madds_spearman):
        assert f"{correlation:.3f}" in page.text
    tiles = [attributes for tag, attributes in page.tags if (tag, attributes.get("class")) == ("div", "tile")]
    meanings = re.findall(r'<p class="note"><span>([^<]+)\.</span></p></div>', html)
    assert len(tiles) == len(meanings) == 9


def test_dots_and_bars_are_the_measurements(found: Validation, table: LatencyTable, space: ChainSpace) -> None:
    predictions = by_table(found, LatencyPredictor(table, space))
    dots = trace(predictions_figure(predictions, common_range(predictions)), "networks")
    ends = np.stack([dots.y - dots.error_y.array, dots.y + dots.error_y.array], axis=1)
    pairs = [sorted((first.p50_ms, again.p50_ms)) for first, again in table.held_out]
    np.testing.assert_allclose(ends, pairs)
    np.testing.assert_allclose(dots.x, LatencyPredictor(table, space)([n.choices for n, _ in table.held_out]))
    for text, (first, again) in zip(dots.text, table.held_out, strict=True):
        assert text.startswith(",".join(map(str, first.choices)) + "<br>")
        assert f"measured {first.p50_ms:.2f}\xa0ms and {again.p50_ms:.2f}\xa0ms" in text


def test_bands_hold_the_share_that_is_said(found: Validation, table: LatencyTable, space: ChainSpace) -> None:
    predictions = by_table(found, LatencyPredictor(table, space))
    figure = predictions_figure(predictions, common_range(predictions))
    x, y = predictions.predicted_ms, measured_ms(found)
    for name, tolerance, share in (("±5 %", 0.05, found.within_5), ("±10 %", 0.10, found.within_10)):
        band = trace(figure, name)
        corners = np.stack([band.x, band.y], axis=1)
        errors = corners[:, 0] / corners[:, 1] - 1  # of the prediction x, relative to the measurement y
        np.testing.assert_allclose(errors, [tolerance, tolerance, -tolerance, -tolerance])
        assert share_between(x, y, corners[:2], corners[:1:-1]) == share
    interval = trace(figure, "90 % interval")
    gap = list(interval.x).index(None)
    lines = [np.stack([interval.x[s], interval.y[s]], axis=1).astype(float) for s in (slice(gap), slice(gap + 1, None))]
    single = [
        np.array([getattr(network, which) for network in found.networks])
        for which in ("measured_ms", "measured_again_ms")
    ]
    assert np.mean([share_between(x, each, *lines) for each in single]) == pytest.approx(found.coverage_90)
    diagonal = trace(figure, "predicted = measured")
    assert list(diagonal.x) == list(diagonal.y) == list(figure.layout.xaxis.range) == list(figure.layout.yaxis.range)


def test_interval_widens_where_ops_were_not_measured(table: LatencyTable, space: ChainSpace) -> None:
    """With some ops left to the kernel model, intervals differ by network: the lines follow them."""
    absent = [op for op in table.ops if isinstance(op, MBConv)][::10]
    sparse = dataclasses.replace(table, ops={op: t for op, t in table.ops.items() if op not in absent})
    predictor = LatencyPredictor(sparse, space)
    assert set(predictor.interpolated) == set(absent)
    found = validate_held_out(sparse, space)
    predictions = by_table(found, predictor)
    line = trace(predictions_figure(predictions, common_range(predictions)), "90 % interval")
    gap = list(line.x).index(None)
    low, high = predictor.interval([n.choices for n, _ in table.held_out])
    np.testing.assert_allclose(np.interp(predictions.predicted_ms, line.x[:gap], line.y[:gap]), low)
    np.testing.assert_allclose(np.interp(predictions.predicted_ms, line.x[gap + 1 :], line.y[gap + 1 :]), high)


def test_baseline_is_the_one_whose_error_is_said(found: Validation, space: ChainSpace) -> None:
    predictions = by_madds(found, space)
    error = np.abs(predictions.predicted_ms / measured_ms(found) - 1)
    assert error.mean() == pytest.approx(found.madds_mape, rel=1e-12)
    counted = madds(space)([n.choices for n in found.networks])
    assert np.corrcoef(counted, predictions.predicted_ms)[0, 1] == pytest.approx(1)
    assert predictions.interval_ms is None


def test_both_charts_have_the_same_axes(found: Validation, table: LatencyTable) -> None:
    """Also where the table's predictions reach further than the baseline's."""
    far = tuple(dataclasses.replace(n, predicted_ms=1.5 * n.predicted_ms) for n in found.networks)
    page = Page(render_validation(dataclasses.replace(found, networks=far), table))
    charts = [script for script in page.scripts if "Plotly.newPlot" in script and len(script) < 1_000_000]
    assert [re.search(r'"(chart-\w+)"', script).group(1) for script in charts] == ["chart-table", "chart-madds"]
    ranges = {json.dumps(found) for script in charts for found in re.findall(r'"range":\s*\[[^]]+\]', script)}
    assert len(ranges) == 1


def test_every_network_is_in_the_table_of_networks(found: Validation, html: str) -> None:
    text = Page(html).text
    for one, mean_ms in zip(found.networks, measured_ms(found), strict=True):
        error = 100 * (one.predicted_ms / mean_ms - 1)
        again = 100 * (one.measured_ms / one.measured_again_ms - 1)
        times = " ".join(
            f"{getattr(one, name):.2f} ms" for name in ("predicted_ms", "measured_ms", "measured_again_ms")
        )
        assert f"{','.join(map(str, one.choices))} {times} {error:+.2f} % {again:+.2f} %" in text


def test_held_out_networks_are_said_to_be_of_the_table(html: str) -> None:
    text = Page(html).text
    assert "in the same rounds as the table's ops" in text
    assert "measured twice for this page" not in text
    assert "measured together with the table's ops" in text


def test_networks_measured_later_are_said_to_be_and_their_drift_is_shown(
    found: Validation, table: LatencyTable
) -> None:
    later = dataclasses.replace(found, networks=found.networks[::-1], drift=1.125)
    text = Page(render_validation(later, table)).text
    assert "each measured twice for this page, after the table was made" in text
    assert "× 1.125" in text
    assert "in the same rounds as the table's ops" not in text
    without = dataclasses.replace(later, drift=None)  # of a table without networks of its own
    assert "drift" not in Page(render_validation(without, table)).text


def test_the_same_networks_measured_again_are_not_the_held_out_ones(found: Validation, table: LatencyTable) -> None:
    again = tuple(dataclasses.replace(n, measured_ms=1.01 * n.measured_ms) for n in found.networks)
    assert (
        "measured twice for this page"
        in Page(render_validation(dataclasses.replace(found, networks=again), table)).text
    )


def test_device_measuring_and_calibration_are_in_words(html: str, table: LatencyTable) -> None:
    text = Page(html).text
    assert str(table.device) in text
    assert "Between the dotted lines the table expects nine of ten networks." in text
    assert "1 interleaved round of 10 runs" in text
    assert "medians known to ±1.0% (95 %)" in text
    assert "1.100 × the sum of its ops +0.0020 ms per op -0.030 ms, ±8.0% (90 %), by 12 networks" in text


def test_without_calibration_there_is_no_interval(table: LatencyTable, space: ChainSpace) -> None:
    plain = dataclasses.replace(table, calibration=None)
    found = validate_held_out(plain, space)
    text = Page(html := render_validation(found, plain)).text
    assert "not calibrated, so there is no interval" in text
    assert "inside the 90 % interval" not in text
    assert "dotted" not in text
    assert "nan" not in text
    assert 'name":"90' not in html.replace(" ", "")


def test_an_import_says_where_it_is_from(found: Validation, table: LatencyTable) -> None:
    source = Provenance(file="theirs.yaml", sha256="0" * 64, format="ofa", unit="us", note="Batch 1 is a guess.")
    text = Page(render_validation(found, dataclasses.replace(table, protocol=None, provenance=source))).text
    assert "theirs.yaml (ofa, times in us)" in text
    assert "Batch 1 is a guess." in text
    assert "rounds 1" not in text


def test_equal_predictions_have_no_order(found: Validation, table: LatencyTable) -> None:
    text = Page(render_validation(dataclasses.replace(found, spearman=None), table)).text
    assert "not defined" in text
    assert "nan" not in text


def test_markup_in_a_device_stays_text(found: Validation, table: LatencyTable) -> None:
    device = table.device.model_copy(update={"hardware": EVIL, "clocks": EVIL, "options": {EVIL: EVIL}})
    html = render_validation(found, dataclasses.replace(table, device=device))
    assert "<script>alert" not in html
    assert "<img" not in html
    assert EVIL in Page(html).text


def test_nothing_is_fetched_and_the_same_gives_the_same(html: str, found: Validation, table: LatencyTable) -> None:
    page = Page(html)
    policies = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")
    assert all("src" not in a and a.get("href", "#").startswith("#") for _, a in page.tags)
    assert len(page.ids()) == len(set(page.ids()))
    assert render_validation(found, table).split("Plotly.newPlot")[0] == html.split("Plotly.newPlot")[0]
    assert render_validation(found, table) == html


@needs_browser
@pytest.mark.parametrize("width", [420, 1280])
def test_a_browser_draws_both_charts_without_complaint(html: str, width: int, tmp_path: Path) -> None:
    page, console = opened(html, tmp_path, width)
    assert console == []
    assert sum("js-plotly-plot" in (a.get("class") or "").split() for _, a in page.tags) == 2
    points = sum("point" in (a.get("class") or "").split() for tag, a in page.tags if tag == "path")
    assert points == 2 * 40
    assert overhang_px(page) == 0
