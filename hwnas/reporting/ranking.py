"""The page of ``hwnas rank``: inherited against true accuracy, and rank correlations with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from hwnas.errors import counted
from hwnas.records.rank import Correlations, Estimate, Part, Ranking, RankRecord
from hwnas.reporting import charts
from hwnas.reporting.markup import Html, code, details, facts, join, lead, side_by_side, tile, tiles
from hwnas.reporting.page import page
from hwnas.reporting.units import by_commas, large, percent, words

if TYPE_CHECKING:  # the report is drawn from plain data; it needs no training to be there
    from hwnas.ranking.compare import Evidence

_SHALLOW_TO_DEEP = [[0.0, "#f5c542"], [0.5, "#14a38b"], [1.0, "#2b3f9e"]]
_MINUS = "\N{MINUS SIGN}"
_UNDEFINED = -2.0  # less than any correlation


def render_ranking(found: RankRecord, evidence: Evidence) -> str:
    """The text of one HTML file; the same ranking gives the same text.

    Args:
        found: what is known of the supernets.
        evidence: what was ranked, arch by arch.
    """
    ranking = found.by_accuracy
    truth = f"{found.truth}: {found.truth_archs:,} archs, trained {found.truth_trainings}×"
    return page(
        title=f"How supernets rank {ranking.whole.archs} archs",
        eyebrow="hwnas rank",
        created=f"against {truth}",
        top=tiles(_tiles(ranking)),
        sections={
            "order": ("The order", _order_section(ranking)),
            "archs": ("Arch by arch", _archs_section(evidence)),
            "how": ("How it was made", facts({"truth": truth, **_conditions(found)})),
        },
    )


def _conditions(found: RankRecord) -> dict[str, str]:
    space = found.space
    others = {"by loss": found.by_loss, "by loss, additive": found.by_loss_additive}
    return {
        "space": f"{space.name} at {space.resolution} px, {space.classes} classes",
        "images": f"{found.images:,} of the validation part, {found.recalibration_images:,} for BN statistics",
        **{
            f"{name}, {how}": f"τ {_value(tau)}. {_interval(tau)}"
            for name in found.by_accuracy.whole.leads
            for how, ranking in others.items()
            for tau in [ranking.whole.correlations[name].kendall_tau]
        },
        "seed": str(found.seed),
    }


def _best_run(found: Ranking) -> str:
    taus = {name: found.whole.correlations[name].kendall_tau.value for name in found.whole.leads}
    return max(taus, key=lambda name: _UNDEFINED if (tau := taus[name]) is None else tau)


def _tiles(found: Ranking) -> Iterator[Html]:
    name, whole = _best_run(found), found.whole
    correlations, picks = whole.correlations[name], found.picks[name]
    told = "Of two archs the more accurate is told in (1 + τ) / 2 of all pairs."
    told += "" if len(whole.leads) == 1 else f" Of {name}, the highest."
    yield _tau_tile("Kendall's τ", correlations.kendall_tau, told, f"Spearman's ρ: {_value(correlations.spearman)}.")
    beyond = "What the supernet knows beyond the best of the baselines."
    yield _tau_tile(f"τ less that of {words(whole.best_baseline)}", whole.leads[name], beyond)
    if found.top:
        top = found.top.correlations[name].kendall_tau
        yield _tau_tile(f"τ, best {found.top.archs} archs", top, "Where a search has to decide.")
    if whole.ceiling:
        yield _tau_tile("τ, another training", whole.ceiling.kendall_tau, "Of one training with another's order.")
    best = f"the best of these archs has {percent(found.best_accuracy)}, the best of ten picks {percent(picks.top_10)}"
    yield tile("first pick", percent(picks.top_1), f"Its true accuracy; {best}.")


def _tau_tile(title: str, found: Estimate, *notes: str) -> Html:
    return tile(title, _value(found), _interval(found), *notes)


def _value(estimate: Estimate) -> str:
    return "not defined" if estimate.value is None else f"{estimate.value:.3f}".replace("-", _MINUS)


def _span(estimate: Estimate) -> str:
    """The ends of its interval; nothing where there is none."""
    return "" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}".replace("-", _MINUS)


def _interval(estimate: Estimate) -> str:
    return f"95 %: {span}." if (span := _span(estimate)) else "All are equal."


def _order_section(found: Ranking) -> Html:
    parts = {f"All {found.whole.archs} archs": found.whole}
    if found.top:
        parts[f"The best {found.top.archs}"] = found.top
    drawn = []
    for index, (title, part) in enumerate(parts.items()):
        text, height_px = f"Kendall's τ of supernets and baselines, {title}", 90 + 44 * len(part.correlations)
        figure, name = tau_figure(part), f"chart-tau-{index}"
        drawn.append(charts.card(title, _note(part), figure, name, height_px=height_px, description=text))
    head = ["ordered by", "Kendall's τ", "95 %", "Spearman's ρ", "95 %", "first pick", "best of 10 picks"]
    rows = [
        [*_row(name, correlations), percent(found.picks[name].top_1), percent(found.picks[name].top_10)]
        for name, correlations in found.whole.correlations.items()
    ]
    if found.whole.ceiling:
        rows.append([*_row("another training", found.whole.ceiling), "", ""])
    few = "" if found.top else " There are too few archs to rank the best fifth by itself."
    explained = (
        "Kendall's τ with the order of the true accuracies: 1 is the same order, 0 is chance. A bar's line is its 95 % "
        f"interval, over archs drawn again; that of random holds 95 % of random orders.{few}"
    )
    return join(lead(explained), side_by_side(drawn), details("All of it, as a table", head, rows))


def _note(part: Part) -> str:
    ceiling = "; dashed, what one training tells of another" if _ceiling(part) is not None else ""
    return f"Supernets in blue, orders that need no training in grey{ceiling}."


def _ceiling(part: Part) -> float | None:
    return part.ceiling.kendall_tau.value if part.ceiling else None


def _row(name: str, found: Correlations) -> list[str]:
    return [words(name), *(say(each) for each in (found.kendall_tau, found.spearman) for say in (_value, _span))]


def tau_figure(part: Part) -> go.Figure:
    """A bar for the τ of each supernet and baseline, with its interval; the ceiling is a dashed line."""
    taus = {name: found.kendall_tau for name, found in part.correlations.items()}
    shown = {name: (tau.value, tau.low, tau.high) for name, tau in taus.items() if tau.value is not None}
    names = [words(name) for name in shown]
    values = [value for value, _, _ in shown.values()]
    lows, highs = [low for _, low, _ in shown.values()], [high for _, _, high in shown.values()]
    x = {"title": "Kendall's τ", "zeroline": True, "zerolinecolor": charts.GREY}
    figure = charts.blank(x, charts.rows_axis([*map(_short, names)]))
    figure.add_bar(
        orientation="h",
        x=values,
        y=list(range(len(names))),
        error_x=charts.whiskers(values, lows, highs, color=charts.SLATE, thickness=1.5, width=5),
        marker={"color": [charts.BLUE if name in part.leads else charts.GREY for name in shown]},
        text=list(map(charts.label, names)),
        textposition="none",
        hovertemplate="%{text}: τ %{x:.3f}<extra></extra>",
        width=0.62,
    )
    if (ceiling := _ceiling(part)) is not None:
        figure.add_vline(ceiling, line=charts.DASHED | {"color": charts.AMBER})
    return figure


def _archs_section(evidence: Evidence) -> Html:
    drawn = []
    for index, name in enumerate(evidence.supernets):
        text, note = f"Inherited against true accuracy of archs, {name}", "A dot is an arch; the deeper, the darker."
        figure = scatter_figure(evidence, name)
        drawn.append(charts.card(name, note, figure, f"chart-archs-{index}", height_px=430, description=text))
    sizes = evidence.baselines
    head = ["choices", "true", *evidence.supernets, "depth", "multiply-adds", "parameters"]
    rows = []
    for index, arch in enumerate(evidence.archs.tolist()):
        accuracies = (scores[index] for scores in (evidence.accuracy, *evidence.supernets.values()))
        size = f"{sizes['depth'][index]:.0f}", large(sizes["madds"][index]), large(sizes["params"][index])
        rows.append([code(by_commas(arch)), *map(percent, accuracies), *size])
    explained = (
        "What the supernet's weights reach on held-out images, against what it reaches when it is trained by itself. "
        "Only the order matters: inherited accuracies are lower."
    )
    return join(
        lead(explained), side_by_side(drawn), details(f"All {counted(len(rows), 'arch')}, as a table", head, rows)
    )


def scatter_figure(evidence: Evidence, name: str) -> go.Figure:
    """Each arch by the accuracy that it inherits from a supernet and its true one (%), coloured by depth."""
    x, y, depth = 100 * evidence.supernets[name], 100 * evidence.accuracy, evidence.baselines["depth"]
    figure = charts.blank(
        {"title": "inherited accuracy (%)", "range": charts.padded_range(x)},
        {"title": "true accuracy (%)", "range": charts.padded_range(y)},
    )
    texts = [
        f"{by_commas(arch)}<br>depth {int(layers)}<br>inherited {inherited:.2f} %<br>true {true:.2f} %"
        for arch, layers, inherited, true in zip(evidence.archs.tolist(), depth, x, y, strict=True)
    ]
    colors = {"color": depth, "colorscale": _SHALLOW_TO_DEEP, "colorbar": charts.color_bar("depth", nticks=6)}
    charts.dots(figure, x, y, texts, charts.DOT | colors)
    return figure


def _short(name: str) -> str:
    """A run folder's path by its end, so that it leaves room for the bars."""
    return name if len(name) <= 24 else f"…{name[-23:]}"
