"""The few HTML builders that the sections share. A plain ``str`` is always escaped; only ``Html`` passes as it is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

Rows = Iterable[Sequence[object]]
"""Cells; a ``str`` is escaped, ``Html`` isn't."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: object) -> Html:
    """``text`` so that it reads as itself in HTML, attributes included."""
    return text if isinstance(text, Html) else Html(html.escape(str(text), quote=True))


def join(*parts: Html) -> Html:
    """Several pieces of HTML, one after the other."""
    return Html("\n".join(parts))


def code(text: str) -> Html:
    """Something that a person may type or copy."""
    return Html(f"<code>{escape(text)}</code>")


def table(head: Sequence[str], rows: Rows, *, align: str = "", marked: int | None = None) -> Html:
    """A table that scrolls sideways on its own where the page is narrow.

    Args:
        head: the columns' names.
        rows: cells.
        align: one letter a column, ``l`` for text, ``r`` for numbers; without it only the first is text.
        marked: index of a row to stand out.
    """
    classes = ["" if letter == "l" else ' class="r"' for letter in align or "l".ljust(len(head), "r")]
    header = "".join(f'<th scope="col"{c}>{escape(name)}</th>' for name, c in zip(head, classes, strict=True))
    lines = [f'<div class="scroll"><table><thead><tr>{header}</tr></thead>', "<tbody>"]
    for index, row in enumerate(rows):
        cells = "".join(f"<td{c}>{escape(cell)}</td>" for cell, c in zip(row, classes, strict=True))
        lines.append(f'<tr class="marked">{cells}</tr>' if index == marked else f"<tr>{cells}</tr>")
    return Html("\n".join([*lines, "</tbody></table></div>"]))


def facts(pairs: Mapping[str, object]) -> Html:
    """Names and values, as a definition list."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs.items())
    return Html(f'<dl class="facts">{items}</dl>')


def side_by_side(cards: Sequence[Html]) -> Html:
    """Cards in pairs where the page is wide; one alone keeps the whole width."""
    return Html(f'<div class="pair">{join(*cards)}</div>') if len(cards) > 1 else join(*cards)


def details(summary: str, head: Sequence[str], rows: Rows, *, align: str = "", marked: int | None = None) -> Html:
    """A :func:`table` to unfold; works without JavaScript."""
    content = table(head, rows, align=align, marked=marked)
    return Html(f"<details><summary>{escape(summary)}</summary>{content}</details>")


def lead(text: str | Html) -> Html:
    """The sentence under a heading that says what there is to see."""
    return Html(f'<p class="lead">{escape(text)}</p>')


def card(title: str, note: str | Html, *contents: Html) -> Html:
    """A framed figure with a title and a line that says how to read it."""
    caption = f"<figcaption><h3>{escape(title)}</h3><p>{escape(note)}</p></figcaption>"
    return Html(f'<figure class="card">{caption}{join(*contents)}</figure>')


def tiles(several: Iterable[Html], *, name: str = "Numbers", below: str = "") -> Html:
    """The numbers that a reader wants first."""
    return Html(f'<section aria-label="{name}"><div class="tiles">{join(*several)}</div>{below}</section>')


def tile(label: str, value: str, *notes: str) -> Html:
    """One number, large, with what it is above and remarks below it."""
    lines = "".join(f"<span>{escape(note)}</span>" for note in notes)
    amount, _, unit = value.partition("\N{NO-BREAK SPACE}")
    return Html(
        f'<div class="tile"><h2>{escape(label)}</h2><p class="value">{escape(amount)}'
        f'{f"&nbsp;<small>{escape(unit)}</small>" if unit else ""}</p><p class="note">{lines}</p></div>'
    )
