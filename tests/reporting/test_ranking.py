"""The page of ``hwnas rank`` shows what was found, and draws each arch and each interval where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.ranking.compare import Evidence, baselines, compare
from hwnas.records.rank import Ranking, RankRecord
from hwnas.reporting.ranking import render_ranking, scatter_figure, tau_figure
from hwnas.space.registry import get_space
from tests.reporting.browser import needs_browser, opened, overhang_px
from tests.reporting.parsed import Page

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'


def record(evidence: Evidence, resamples: int) -> RankRecord:
    """As ``rank`` makes it, of a supernet whose losses order archs as its accuracies do."""
    found = compare(evidence, seed=0, resamples=resamples)
    return RankRecord(
        runs=tuple(map(Path, evidence.supernets)), space=get_space("macro").ref, by_accuracy=found, by_loss=found,
        by_loss_additive=found, truth=Path(f"a table {EVIL}"), truth_archs=len(evidence.archs),
        truth_trainings=evidence.truth.shape[1], images=5000, recalibration_images=512, seed=0,
    )  # fmt: skip


def made_up(names: tuple[str, ...] = ("runs/first", "runs/second"), archs: int = 60, trainings: int = 2) -> Evidence:
    space, rng = get_space("macro"), np.random.default_rng(0)
    drawn = np.array(sorted({tuple(arch) for arch in space.sample(3 * archs, 0).tolist()})[:archs])
    sizes = baselines(space, drawn)
    quality = 0.5 + 0.04 * sizes["depth"] + 0.03 * rng.standard_normal(archs)
    return Evidence(
        archs=drawn, baselines=sizes,
        truth=np.clip(quality[:, None] + 0.01 * rng.standard_normal((archs, trainings)), 0, 1),
        supernets={name: np.clip(quality - 0.3 + 0.02 * rng.standard_normal(archs), 0, 1) for name in names},
    )  # fmt: skip


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return made_up()


@pytest.fixture(scope="module")
def known(evidence: Evidence) -> RankRecord:
    return record(evidence, 200)


@pytest.fixture(scope="module")
def found(known: RankRecord) -> Ranking:
    return known.by_accuracy


@pytest.fixture(scope="module")
def html(known: RankRecord, evidence: Evidence) -> str:
    return render_ranking(known, evidence)


def test_numbers_are_there_with_their_intervals(found: Ranking, html: str) -> None:
    text = Page(html).text.replace("−", "-")
    assert found.top is not None
    assert found.whole.ceiling is not None
    best = max(found.whole.leads, key=lambda name: found.whole.correlations[name].kendall_tau.value or 0)
    for estimate in (
        found.whole.correlations[best].kendall_tau,
        found.whole.leads[best],
        found.top.correlations[best].kendall_tau,
        found.whole.ceiling.kendall_tau,
    ):
        assert f"{estimate.value:.3f} 95 %: {estimate.low:.3f} to {estimate.high:.3f}." in text
    assert f"Of {best}, the highest." in text
    assert f"τ, best {found.top.archs} archs" in text
    for name, correlations in found.whole.correlations.items():
        tau, label = correlations.kendall_tau, {"madds": "multiply-adds", "params": "parameters"}.get(name, name)
        assert f"{label} {tau.value:.3f} {tau.low:.3f} to {tau.high:.3f}" in text
        assert f"{100 * found.picks[name].top_1:.2f} % {100 * found.picks[name].top_10:.2f} %" in text


def test_every_arch_is_in_the_table_of_archs(evidence: Evidence, html: str) -> None:
    text = Page(html).text
    for index, arch in enumerate(evidence.archs.tolist()):
        accuracies = [evidence.accuracy[index], *(scores[index] for scores in evidence.supernets.values())]
        shown = " ".join(f"{100 * accuracy:.2f} %" for accuracy in accuracies)
        assert f"{','.join(map(str, arch))} {shown} {evidence.baselines['depth'][index]:.0f}" in text


def test_dots_are_the_archs_coloured_by_depth(evidence: Evidence) -> None:
    (dots,) = scatter_figure(evidence, "runs/second").data
    np.testing.assert_allclose(dots.x, 100 * evidence.supernets["runs/second"])
    np.testing.assert_allclose(dots.y, 100 * evidence.truth.mean(axis=1))
    assert list(dots.marker.color) == [sum(choice > 0 for choice in arch) for arch in evidence.archs.tolist()]
    for text, arch in zip(dots.text, evidence.archs.tolist(), strict=True):
        assert text.startswith(",".join(map(str, arch)) + "<br>depth")


def test_bars_end_at_tau_and_their_lines_at_the_intervals(found: Ranking) -> None:
    for part in (found.whole, found.top):
        assert part is not None
        figure = tau_figure(part)
        (bars,) = figure.data
        taus = [found.kendall_tau for found in part.correlations.values()]
        np.testing.assert_allclose(bars.x, [tau.value for tau in taus])
        np.testing.assert_allclose(np.add(bars.x, bars.error_x.array), [tau.high for tau in taus])
        np.testing.assert_allclose(np.subtract(bars.x, bars.error_x.arrayminus), [tau.low for tau in taus])
        labels = ("runs/first", "runs/second", "depth", "multiply-adds", "parameters", "random")
        assert figure.layout.yaxis.ticktext == bars.text == labels
        colors = bars.marker.color
        assert colors[0] == colors[1] != colors[2] == colors[5]
        assert part.ceiling is not None
        (line,) = figure.layout.shapes
        assert line.x0 == line.x1 == part.ceiling.kendall_tau.value


def test_what_is_not_there_is_not_drawn() -> None:
    """Few archs, one training each, scores that are all equal."""
    evidence = made_up(("equal",), archs=20, trainings=1)
    evidence = Evidence(archs=evidence.archs, truth=evidence.truth, baselines=evidence.baselines,
                        supernets={"equal": np.full(20, 0.1)})  # fmt: skip
    known = record(evidence, 50)
    found, html = known.by_accuracy, render_ranking(known, evidence)
    text = Page(html).text
    assert "too few archs to rank the best fifth" in text
    assert "another training" not in text
    assert "dashed" not in text
    assert "not defined" in text
    assert "nan" not in text
    assert tau_figure(found.whole).layout.yaxis.ticktext == ("depth", "multiply-adds", "parameters", "random")
    assert not tau_figure(found.whole).layout.shapes
    assert "the highest" not in text  # of one supernet


def test_markup_stays_text_and_nothing_is_fetched(evidence: Evidence) -> None:
    evil = made_up((EVIL,))
    known = record(evil, 20)
    html = render_ranking(known, evil)
    assert "<script>alert" not in html
    assert "<img" not in html
    page = Page(html)
    assert EVIL in page.text
    assert all("src" not in a and a.get("href", "#").startswith("#") for _, a in page.tags)
    assert len(page.ids()) == len(set(page.ids()))
    assert render_ranking(known, evil) == html


@needs_browser
@pytest.mark.parametrize("width", [420, 1280])
def test_a_browser_draws_all_charts_without_complaint(html: str, width: int, tmp_path: Path) -> None:
    page, console = opened(html, tmp_path, width)
    assert console == []
    classes = [(attributes.get("class") or "").split() for _, attributes in page.tags]
    assert sum("js-plotly-plot" in names for names in classes) == 4
    bars_and_dots = sum("point" in names for names in classes)
    assert bars_and_dots == 2 * 6 + 2 * 60
    assert overhang_px(page) == 0
