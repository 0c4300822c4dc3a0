"""The page and the picture of ``hwnas similarity``: a heat map for each layer, those of all RUNs side by side.

One SVG serves both. A colour stands for the same value in every picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from string import ascii_uppercase

import numpy as np

from hwnas.errors import counted
from hwnas.records.similarity import LayerSimilarity, RunSimilarity, SimilarityRecord
from hwnas.reporting.markup import Html, card, details, escape, join, lead, tile, tiles
from hwnas.reporting.page import page
from hwnas.reporting.picture import photograph

_COLORS = {-1.0: (185, 28, 38), 0.0: (246, 247, 249), 0.4: (190, 216, 252), 0.7: (80, 143, 240), 0.9: (28, 78, 190),
           1.0: (10, 24, 66)}  # fmt: skip
"""Cosine -> colour (RGB); linear between."""

_FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_INK, _SOFT = "fill:var(--ink,#0f172a)", "fill:var(--soft,#475569)"  # as the page has them; else dark on white
_PAGE_PX, _PICTURE_PX = 1060, 1400  # what is widest: the page's column, which may be long; a picture
_LINE_PX, _HEAD_PX, _BELOW_PX, _BESIDE_PX, _PANELS_PX = 22, 42, 22, 34, 14
_SKIP_GAP_PX = 3

_HOW_TO_READ = (
    "Each square compares what two choices of a layer put out for the same input: the cosine of the angle between "
    "their feature maps, 1 where they point the same way, 0 where they have nothing in common. Columns are in the "
    "order of the rows; a gap sets the skip apart."
)


def render_similarity(found: SimilarityRecord) -> str:
    """The text of one HTML file; the same figures give the same text."""
    drawn, (width_px, _) = draw_similarity(found)
    scrolling = Html(f'<div class="scroll"><div style="min-width:{min(width_px, 720)}px">{drawn}</div></div>')
    maps = card("Cosine similarity of the choices' features", "Point at a cell for its value.", scrolling)
    return page(
        title=f"{found.space}: how alike the choices' features are",
        eyebrow="hwnas similarity",
        created=_conditions(found),
        top=tiles(_tiles(found)),
        sections={"layers": ("Layer by layer", join(lead(_HOW_TO_READ), maps, _means_table(found)))},
    )


def save_picture(found: SimilarityRecord, path: Path) -> None:
    """The heat maps as a PNG, two dots for each px of :func:`draw_similarity`; takes chromium.

    Raises:
        RuntimeMissingError: there is no browser.
        OutputError: the browser fails, or the file can't be written.
    """
    margin_px = 24
    drawn, (width_px, height_px) = draw_similarity(found, _PICTURE_PX)
    body = f'<body style="margin:{margin_px}px;background:#fff">{drawn}</body>'
    photograph(body, width_px + 2 * margin_px, height_px + 2 * margin_px, path, dots_per_px=2)


def draw_similarity(found: SimilarityRecord, widest_px: int = _PAGE_PX) -> tuple[Html, tuple[int, int]]:
    """All heat maps as one SVG, and its width and height in px.

    Layers go from left to right and wrap at ``widest_px``; in each, the RUNs stand side by side as A, B, ….
    """
    runs = found.runs
    layers = runs[0].layers
    most = max(len(layer.choices) for layer in layers)
    cell_px = 40 if most <= 4 else 28 if most <= 8 else 13
    panel_px = max(most * cell_px + _SKIP_GAP_PX, 118)  # a line of two means needs that
    label_px = max(round(7.2 * max(len(name) for layer in layers for name in layer.choices)) + 8, 76)
    group_px = label_px + len(runs) * (panel_px + _PANELS_PX) - _PANELS_PX
    across = max(1, (widest_px + _BESIDE_PX) // (group_px + _BESIDE_PX))
    down = -(-len(layers) // across)
    across = -(-len(layers) // down)
    row_px = _HEAD_PX + most * cell_px + _SKIP_GAP_PX + _BELOW_PX
    legend_px = _LINE_PX * (len(runs) + 3) + 14
    legend = _legend(found)
    width_px = max(across * (group_px + _BESIDE_PX) - _BESIDE_PX, round(7.6 * max(map(len, legend))))
    height_px = legend_px + down * row_px - _BELOW_PX
    parts = [_text(0, 16 + i * _LINE_PX, line, 14 if i < len(runs) else 12, _INK) for i, line in enumerate(legend)]
    parts.append(_scale(found))
    for index in range(len(layers)):
        left = index % across * (group_px + _BESIDE_PX)
        top = legend_px + index // across * row_px
        parts += _layer([run.layers[index] for run in runs], left, top, label_px, panel_px + _PANELS_PX, cell_px)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width_px} {height_px}" role="img" '
        f'aria-label="{escape(_conditions(found))}" style="display:block;width:100%;max-width:{width_px}px;{_FONT}">'
        f"{join(*parts)}</svg>"
    )
    return Html(svg), (width_px, height_px)


def _layer(
    panels: Sequence[LayerSimilarity], left: float, top: float, label_px: int, step_px: int, cell_px: int
) -> Iterator[Html]:
    """One layer of all RUNs: its number, the choices' names, and a heat map for each RUN."""
    names, y0 = panels[0].choices, top + _HEAD_PX
    offsets = _offsets(names, cell_px)
    yield _text(left, top + 14, f"layer {panels[0].layer}", 13, _INK, weight=650)
    for name, offset in zip(names, offsets, strict=True):
        yield _text(left + label_px - 7, y0 + offset + cell_px / 2 + 4, name, 11, _SOFT, anchor="end")
    for index, panel in enumerate(panels):
        x0 = left + label_px + index * step_px
        if len(panels) > 1:
            yield _text(x0, top + 14, _letter(index), 13, _INK, weight=650)
        yield _text(x0, y0 - 8, _means(panel.skip, panel.blocks), 10.5, _SOFT)
        for i, row in enumerate(panel.similarity):
            for j, value in enumerate(row):
                what = f"layer {panel.layer}, {names[i]} and {names[j]}: {value:.3f}"
                yield _cell(x0 + offsets[j], y0 + offsets[i], cell_px, value, what)


def _cell(x: float, y: float, size_px: int, value: float, what: str) -> Html:
    color, light = _color(value)
    size = f'width="{size_px - 1}" height="{size_px - 1}"'
    square = Html(f'<rect x="{x:g}" y="{y:g}" {size} fill="{color}"><title>{escape(what)}</title></rect>')
    if size_px < 20:  # too small for a number
        return square
    number = _short(value).replace("0.", ".", 1).replace("1.00", "1")
    style = f"fill:{'#0f172a' if light else '#ffffff'};pointer-events:none"
    middle = (size_px - 1) / 2
    return Html(square + _text(x + middle, y + middle + 4, number, 10 if size_px < 34 else 12, style, anchor="middle"))


def _legend(found: SimilarityRecord) -> list[str]:
    """A line for each RUN, with its means, and one that says what was compared."""
    lines = []
    for letter, name, run in _lettered(found):
        label = f"{letter}: {name}" if len(found.runs) > 1 else name
        lines.append(f"{label}, {_how(run)}; mean over {_over(run)}: {_means(run.skip_mean, run.blocks_mean)}")
    what = "skip: the skip against each block; blocks: each block against the others"
    return [*lines, f"{_conditions(found)}. {what}"]


def _scale(found: SimilarityRecord) -> Html:
    """The colours and what they stand for, under the legend; below 0 only where something clearly is."""
    values = [v for run in found.runs for layer in run.layers for row in layer.similarity for v in row]
    low = -1.0 if min(values) < -0.05 else 0.0
    top, left, bar_px = 18 + (len(found.runs) + 1) * _LINE_PX, 124, 240
    steps = np.linspace(low, 1, 81)
    step_px = bar_px / len(steps)
    parts = [_text(0, top, "cosine similarity", 12, _SOFT)]
    for i, value in enumerate(steps):
        place = f'x="{left + i * step_px:.2f}" y="{top - 10}" width="{step_px + 0.3:.2f}" height="12"'
        parts.append(Html(f'<rect {place} fill="{_color(value)[0]}"/>'))
    for value in (-1, -0.5, 0, 0.5, 1) if low else (0, 0.25, 0.5, 0.75, 1):
        x = left + bar_px * (value - low) / (1 - low)
        parts.append(_text(x, top + 16, f"{value:g}", 11, _SOFT, anchor="middle"))
    return join(*parts)


def _tiles(found: SimilarityRecord) -> Iterator[Html]:
    for letter, name, run in _lettered(found):
        means = {"The skip against each block": run.skip_mean, "Each block against the others": run.blocks_mean}
        for what, mean in means.items():
            if mean is not None:
                yield tile(f"{letter}: {name}, {_how(run)}", _number(mean), f"{what}, mean over {_over(run)}.")


def _means_table(found: SimilarityRecord) -> Html:
    columns = [f"{letter}: {what}" for letter, _, _ in _lettered(found) for what in ("skip to blocks", "blocks")]
    rows = []
    for layers in zip(*(run.layers for run in found.runs), strict=True):
        means = [value for layer in layers for value in (layer.skip, layer.blocks)]
        rows.append([str(layers[0].layer), *map(_number, means)])
    means = [value for run in found.runs for value in (run.skip_mean, run.blocks_mean)]
    rows.append([f"mean over {_over(found.runs[0])}", *map(_number, means)])
    return details("The means of each layer, as a table", ["layer", *columns], rows, marked=len(rows) - 1)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _means(skip: float | None, blocks: float | None) -> str:
    pairs = (("skip", skip), ("blocks", blocks))
    return " · ".join(f"{name} {_short(value)}" for name, value in pairs if value is not None)


def _short(value: float) -> str:
    return f"{value:z.2f}".replace("-", "\N{MINUS SIGN}")


def _how(run: RunSimilarity) -> str:
    return f"{'with' if run.stabilizers else 'without'} stabilizers"


def _over(run: RunSimilarity) -> str:
    return "all layers" if run.skip_mean is None else "layers with a skip"


def _conditions(found: SimilarityRecord) -> str:
    return f"{found.space}; {counted(found.images, 'validation image')}, {counted(found.prefixes, 'random prefix')}"


def _offsets(names: Sequence[str], cell_px: int) -> list[int]:
    """Where rows and columns begin, in px: at each border between the skip and the blocks is a gap."""
    borders = ((a == "skip") != (b == "skip") for a, b in pairwise(names))
    return [index * cell_px + gaps * _SKIP_GAP_PX for index, gaps in enumerate(accumulate(borders, initial=0))]


def _lettered(found: SimilarityRecord) -> list[tuple[str, str, RunSimilarity]]:
    """Each RUN with the letter that the heat maps call it by, and its folder's name (the path where names repeat)."""
    repeated = len({run.run.name for run in found.runs}) < len(found.runs)
    return [(_letter(index), str(run.run) if repeated else run.run.name, run) for index, run in enumerate(found.runs)]


def _letter(index: int) -> str:
    return ascii_uppercase[index % 26] * (index // 26 + 1)


def _color(value: float) -> tuple[str, bool]:
    """The colour of a similarity, and whether it is a light one."""
    red, green, blue = (np.interp(value, list(_COLORS), channel) for channel in zip(*_COLORS.values(), strict=True))
    return f"#{round(red):02x}{round(green):02x}{round(blue):02x}", 0.3 * red + 0.59 * green + 0.11 * blue > 140


def _text(
    x: float, y: float, text: str, size_px: float, style: str, *, anchor: str = "start", weight: int = 400
) -> Html:
    return Html(
        f'<text x="{x:g}" y="{y:g}" font-size="{size_px}" font-weight="{weight}" text-anchor="{anchor}" '
        f'style="{style}">{escape(text)}</text>'
    )
