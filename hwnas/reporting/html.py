"""Pages: one HTML file each that needs nothing else, on a disk or a server, with or without a network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from hwnas.reporting.closing import closing_section
from hwnas.reporting.content import ReportContent
from hwnas.reporting.devices import devices_section
from hwnas.reporting.embed import plotly_code
from hwnas.reporting.found import latency_section, winner_section
from hwnas.reporting.headline import headline
from hwnas.reporting.made import how_section, training_section
from hwnas.reporting.markup import Html, escape, join
from hwnas.reporting.search import search_section
from hwnas.reporting.shipped import artifact_section

# Whatever a label may say, the browser fetches nothing; plotly sets inline styles and saves pictures as data or blob.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def render(content: ReportContent) -> str:
    """The report as the text of one HTML file; the same content gives the same text."""
    search = content.search
    sections = {
        "search": ("The front", search and search_section(search)),
        "devices": ("Other devices", search and devices_section(search, content.devices)),
        "closing": ("The measured front", content.closing and closing_section(content.closing)),
        "winner": ("The winner", content.winner and winner_section(content.winner)),
        "latency": ("Latency", content.latency and latency_section(content.latency)),
        "training": ("Training", content.training and training_section(content.training)),
        "artifact": ("The artifact", content.artifact and artifact_section(content.artifact)),
        "how": ("How it was made", content.how and how_section(content.how)),
    }
    present = {name: (title, html) for name, (title, html) in sections.items() if html}
    absent = [title.lower() for title, html in sections.values() if not html]
    missing = f"<p>Not in this report: {', '.join(absent)}.</p>" if absent else ""
    return page(
        title=content.title,
        eyebrow="hwnas report",
        created=content.created,
        top=headline(content),
        sections=present,
        footer=Html(f"{missing}<p>Made by hwnas {escape(content.version)}, {escape(content.created)}.</p>"),
    )


def page(
    *, title: str, eyebrow: str, created: str, top: Html, sections: Mapping[str, tuple[str, Html]], footer: Html
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
    body = join(
        Html(f'<section id="{name}"><h2>{heading}</h2>{html}</section>') for name, (heading, html) in sections.items()
    )
    style = files("hwnas.reporting").joinpath("page.css").read_text("utf-8")
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
{plotly_code()}
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
