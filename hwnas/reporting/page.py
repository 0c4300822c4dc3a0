"""The shell of every page: one HTML file that needs nothing else, on a disk or a server, with or without a network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from hwnas.reporting.markup import Html, escape
from hwnas.version import __version__

# Whatever a label may say, the browser fetches nothing; plotly sets inline styles and saves pictures as data or blob.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_PLOTLY = "plotly-cartesian.min.js"
"""plotly.js without maps and 3D, as npm's plotly.js-cartesian-dist-min 4.1.1 has it: a third of what Python's has."""
_FOOTER = Html(f"<p>Made by hwnas {escape(__version__)}.</p>")


def page(
    *,
    title: str,
    eyebrow: str,
    created: str,
    top: Html,
    sections: Mapping[str, tuple[str, Html]],
    footer: Html = _FOOTER,
) -> str:
    """The shell that all pages share, as the text of one HTML file.

    Args:
        title: the heading.
        eyebrow: what kind of page it is, above the heading.
        created: when, or of when, below the heading.
        top: what stands in front of the sections.
        sections: id -> heading and content.
        footer: the last lines.
    """
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, (heading, _) in sections.items())
    body = "\n".join(
        f'<section id="{name}"><h2>{heading}</h2>{html}</section>' for name, (heading, html) in sections.items()
    )
    style, plotly = (files("hwnas.reporting").joinpath(name).read_text("utf-8") for name in ("page.css", _PLOTLY))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{style}</style>
<script>{plotly}</script>
</head>
<body>
<header>
<p class="eyebrow">{escape(eyebrow)}</p>
<h1>{escape(title)}</h1>
<p class="created">{escape(created)}</p>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{top}
{body}
</main>
<footer>{footer}</footer>
</body>
</html>
"""
