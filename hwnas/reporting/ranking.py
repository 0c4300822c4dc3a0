"""The page of ``hwnas rank``: inherited against true accuracy, and rank correlations with their intervals."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from hwnas.records.rank import Correlations, Estimate, Part, Ranking, RankRecord
from hwnas.reporting.markup import Html, card, code, details, facts, join, lead, side_by_side, table, tile
from hwnas.reporting.page import chart, page
from hwnas.reporting.theme import AMBER, BLUE, GREY, HAIRLINE, TEMPLATE, padded_range
from hwnas.reporting.units import large, percent, words
from hwnas.version import __version__

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
        top=Html(f'<section aria-label="Numbers"><div class="tiles">{join(_tiles(ranking))}</div></section>'),
        sections={
            "order": ("The order", _order_section(ranking)),
            "archs": ("Arch by arch", _archs_section(evidence)),
            "how": ("How it was made", facts({"truth": truth, **_conditions(found)})),
        },
        footer=Html(f"<p>Made by hwnas {__version__}.</p>"),
    )


def _conditions(found: RankRecord) -> dict[str, str]:
    space = found.space
    others = {"by loss": found.by_loss, "by loss, additive": found.by_loss_additive}
    return {
        "space": f"{space.name} at {space.resolution} px, {space.classes} classes",
        "images": f"{found.images:,} of the validation part at most, {found.recalibration_images:,} for BN statistics",
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
    whose = "" if len(whole.leads) == 1 else f" Of {name}, the highest."
    yield tile(
        "Kendall's τ", _value(correlations.kendall_tau), _interval(correlations.kendall_tau),
        f"Of two archs the more accurate is told in (1 + τ) / 2 of all pairs.{whose}",
        f"Spearman's ρ: {_value(correlations.spearman)}.",
    )  # fmt: skip
    over = whole.leads[name]
    yield tile(
        f"τ less that of {words(whole.best_baseline)}", _value(over), _interval(over),
        "What the supernet knows beyond the best of the baselines.",
    )  # fmt: skip
    if found.top:
        top = found.top.correlations[name].kendall_tau
        yield tile(f"τ, best {found.top.archs} archs", _value(top), _interval(top), "Where a search has to decide.")
    if whole.ceiling:
        ceiling = whole.ceiling.kendall_tau
        yield tile("τ, another training", _value(ceiling), _interval(ceiling), "Of one training with another's order.")
    yield tile(
        "first pick", percent(picks.top_1), f"Its true accuracy; the best of these archs has "
        f"{percent(found.best_accuracy)}, the best of ten picks {percent(picks.top_10)}.",
    )  # fmt: skip


def _value(estimate: Estimate) -> str:
    return "not defined" if estimate.value is None else f"{estimate.value:.3f}".replace("-", _MINUS)


def _interval(estimate: Estimate) -> str:
    if estimate.low is None:
        return "All are equal."
    return f"95 %: {estimate.low:.3f} to {estimate.high:.3f}.".replace("-", _MINUS)


def _order_section(found: Ranking) -> Html:
    parts = {f"All {found.whole.archs} archs": found.whole}
    if found.top:
        parts[f"The best {found.top.archs}"] = found.top
    drawn = [
        card(title, _note(part), chart(tau_figure(part), f"chart-tau-{index}", height_px=_height_px(part),
                                       description=f"Kendall's τ of supernets and baselines, {title}"))
        for index, (title, part) in enumerate(parts.items())
    ]  # fmt: skip
    head = ["ordered by", "Kendall's τ", "95 %", "Spearman's ρ", "95 %", "first pick", "best of 10 picks"]
    rows = [[*_row(name, correlations), percent(found.picks[name].top_1), percent(found.picks[name].top_10)]
            for name, correlations in found.whole.correlations.items()]  # fmt: skip
    if found.whole.ceiling:
        rows.append([*_row("another training", found.whole.ceiling), "", ""])
    few = "" if found.top else " There are too few archs to rank the best fifth by itself."
    return join([
        lead("Kendall's τ with the order of the true accuracies: 1 is the same order, 0 is chance. A bar's line is its "
             f"95 % interval, over archs drawn again; that of random holds 95 % of random orders.{few}"),
        side_by_side(drawn),
        details("All of it, as a table", table(head, rows, align="lrrrrrr")),
    ])  # fmt: skip


def _note(part: Part) -> str:
    if part.ceiling is None or part.ceiling.kendall_tau.value is None:
        return "Supernets in blue, orders that need no training in grey."
    return "Supernets in blue, orders that need no training in grey; dashed, what one training tells of another."


def _row(name: str, found: Correlations) -> list[str]:
    cells = [words(name)]
    for estimate in (found.kendall_tau, found.spearman):
        span = "" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}".replace("-", _MINUS)
        cells += [_value(estimate), span]
    return cells


def _height_px(part: Part) -> int:
    return 90 + 44 * len(part.correlations)


def tau_figure(part: Part) -> go.Figure:
    """A bar for the τ of each supernet and baseline, with its interval; the ceiling is a dashed line."""
    taus = {name: found.kendall_tau for name, found in part.correlations.items()}
    shown = {name: (tau.value, tau.low, tau.high) for name, tau in taus.items() if tau.value is not None}
    figure = go.Figure(layout={"template": TEMPLATE})
    figure.add_bar(
        orientation="h",
        x=[value for value, _, _ in shown.values()],
        y=list(range(len(shown))),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [0 if high is None else high - value for value, _, high in shown.values()],
            "arrayminus": [0 if low is None else value - low for value, low, _ in shown.values()],
            "color": "#64748b",
            "thickness": 1.5,
            "width": 5,
        },
        marker={"color": [BLUE if name in part.leads else GREY for name in shown]},
        text=[_label(words(name)) for name in shown],
        textposition="none",
        hovertemplate="%{text}: τ %{x:.3f}<extra></extra>",
        width=0.62,
    )
    if part.ceiling and part.ceiling.kendall_tau.value is not None:
        figure.add_vline(x=part.ceiling.kendall_tau.value, line={"color": AMBER, "width": 1.5, "dash": "dash"})
    figure.update_xaxes(title="Kendall's τ", zeroline=True, zerolinecolor=GREY)
    labels = [_label(_short(words(name))) for name in shown]
    figure.update_yaxes(tickvals=list(range(len(shown))), ticktext=labels, autorange="reversed", showgrid=False)
    return figure


def _archs_section(evidence: Evidence) -> Html:
    drawn = [
        card(name, "A dot is an arch; the deeper, the darker.",
             chart(scatter_figure(evidence, name), f"chart-archs-{index}", height_px=430,
                   description=f"Inherited against true accuracy of archs, {name}"))
        for index, name in enumerate(evidence.supernets)
    ]  # fmt: skip
    sizes = evidence.baselines
    head = ["choices", "true", *evidence.supernets, "depth", "multiply-adds", "parameters"]
    rows = [
        [code(_text(arch)), percent(evidence.accuracy[index]),
         *(percent(scores[index]) for scores in evidence.supernets.values()),
         f"{sizes['depth'][index]:.0f}", large(sizes["madds"][index]), large(sizes["params"][index])]
        for index, arch in enumerate(evidence.archs.tolist())
    ]  # fmt: skip
    return join([
        lead("What the supernet's weights reach on held-out images, against what it reaches when it is trained by "
             "itself. Only the order matters: inherited accuracies are lower."),
        side_by_side(drawn),
        details(f"All {len(rows)} archs, as a table", table(head, rows, align="l" + "r" * (len(head) - 1))),
    ])  # fmt: skip


def scatter_figure(evidence: Evidence, name: str) -> go.Figure:
    """Each arch by the accuracy that it inherits from a supernet and its true one (%), coloured by depth."""
    x, y, depth = 100 * evidence.supernets[name], 100 * evidence.accuracy, evidence.baselines["depth"]
    figure = go.Figure(layout={"template": TEMPLATE})
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        text=[
            f"{_text(arch)}<br>depth {int(layers)}<br>inherited {inherited:.2f} %<br>true {true:.2f} %"
            for arch, layers, inherited, true in zip(evidence.archs.tolist(), depth, x, y, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        marker={
            "size": 8,
            "color": depth,
            "colorscale": _SHALLOW_TO_DEEP,
            "opacity": 0.85,
            "line": HAIRLINE,
            "colorbar": {"title": {"text": "depth", "side": "right"}, "thickness": 10, "outlinewidth": 0, "nticks": 6},
        },
    )
    figure.update_xaxes(title="inherited accuracy (%)", range=padded_range(x))
    figure.update_yaxes(title="true accuracy (%)", range=padded_range(y))
    return figure


def _text(arch: list[int]) -> str:
    return ",".join(map(str, arch))


def _short(name: str) -> str:
    """A run folder's path by its end, so that it leaves room for the bars."""
    return name if len(name) <= 24 else f"…{name[-23:]}"


def _label(text: str) -> str:
    return html.escape(text, quote=False)  # plotly reads a small HTML of its own in texts
