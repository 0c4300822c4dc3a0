"""Plotly in the page: its code once, then one element per chart. Nothing is fetched."""

from __future__ import annotations

import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from hwnas.reporting.markup import Html, escape

_CONFIG = {"displaylogo": False, "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d", "toImage"]]}


def plotly_code() -> Html:
    """The script that all charts of a page need, to stand before the first."""
    return Html(f"<script>{get_plotlyjs()}</script>")


def chart(figure: go.Figure, name: str, *, height_px: int, description: str) -> Html:
    """A figure as an element with the id ``name``; ``description`` is for those who can't see it."""
    drawn = pio.to_html(
        figure, config=_CONFIG, include_plotlyjs=False, full_html=False, div_id=name, default_height=f"{height_px}px"
    )
    return Html(
        f'<div class="plot" role="img" aria-label="{escape(description)}">{drawn}</div>'
        '<noscript><p class="note">This chart needs JavaScript; the numbers and tables don\'t.</p></noscript>'
    )
