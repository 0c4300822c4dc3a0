"""The section on the winner, with its network drawn layer by layer: small SVG cells in a row that wraps where it ends.

A block's height stands for its channels (left edge: in, right edge: out; logarithmic), its shade for the kernel;
the column under it is its predicted share of the latency. A skipped layer is a dashed line.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

from hwnas.errors import counted
from hwnas.evaluation.interval import wilson
from hwnas.graph.count import cost
from hwnas.graph.foldable import is_linear
from hwnas.graph.graph import Op, channels, expanded
from hwnas.graph.primitives import Conv, Multiply
from hwnas.reporting.markup import Html, card, code, details, escape, facts, join, lead, table
from hwnas.reporting.units import are, large, milliseconds, percent
from hwnas.reporting.views import Winner

_WIDTH, _NARROW, _HEIGHT, _WITHOUT_COLUMNS = 88, 54, 246, 164
_AXIS = 74  # y of the line that the data flows along
_LOW, _HIGH = 52, 104  # heights of the blocks with the fewest and the most channels
_BASELINE, _COLUMN = 226, 42  # y where the latency columns stand, and the height of the tallest


def winner_section(winner: Winner) -> Html:
    """The network drawn, its accuracies, its stabilizers and its layers one by one."""
    layers = winner.arch.space.num_layers
    skipped = layers - sum(place.startswith("layers.") for place, _ in winner.walk)
    gone = f" {skipped} of its {layers} layers {are(skipped)} skipped." if skipped else ""
    how_to_read = "A block's height stands for its channels, from its input on the left to its output on the right."
    accuracies = {
        f"accuracy, {name}": _told(value, winner.accuracy_images.get(name)) for name, value in winner.accuracies.items()
    }
    other = " It isn't the search's winner but another of its networks." if winner.is_winner is False else ""
    parts = [
        lead(
            f"The network from input to output.{gone} Layers are counted from 0, as in the architecture's name.{other}"
        ),
        card("Layer by layer", how_to_read, _network(winner)),
        facts({"architecture": code(str(winner.arch)), **accuracies}),
    ]
    if winner.stabilizers:
        notes = table(["layer", "what became of it"], sorted(winner.stabilizers.items()), align="ll")
        parts.append(card("Stabilizers", "During training a stabilizer stands in for each skipped layer.", notes))
    return join(*parts, _layer_table(winner))


def _told(accuracy: float, images: int | None) -> str:
    """An accuracy, and what so many images tell of it."""
    if images is None:
        return percent(accuracy)
    low, high = wilson(accuracy, images)
    return f"{percent(accuracy)}; by {counted(images, 'image')} {percent(low, 1)} to {percent(high, 1)} (95 %)"


def _layer_table(winner: Winner) -> Html:
    total_ms = sum(winner.predicted_ms.values())
    rows = []
    for place, op in winner.walk:
        op_madds, op_params, *_ = cost(op)
        ms = winner.predicted_ms.get(place)
        time = "–" if ms is None else milliseconds(ms)
        share = "–" if ms is None or not total_ms else percent(ms / total_ms)
        rows.append([place, op.label, " → ".join(_shape(op)), large(op_madds), large(op_params), time, share])
    head = ["place", "operation", "shape", "multiply-adds", "parameters", "predicted", "share"]
    return details("All layers, as a table", head, rows, align="lllrrrr")


def _network(winner: Winner) -> Html:
    """A list of blocks, with a legend."""
    ops = dict(winner.walk)
    total_ms = sum(winner.predicted_ms.values())
    most_ms = max(winner.predicted_ms.values(), default=0.0)
    height_of = _height_scale(winner)
    cells = []
    for place in ("stem", *(f"layers.{layer}" for layer in range(winner.arch.space.num_layers)), "head"):
        op, ms, number = ops.get(place), winner.predicted_ms.get(place), place.removeprefix("layers.")
        chosen = number != place
        if not op and not chosen:
            continue  # a plug-in's space may be no chain with a stem
        title = f"layer {number}: " if chosen else f"{place}: "
        title += f"{op.label}, {' to '.join(_shape(op))}" if op else "skipped"
        if chosen and (note := winner.stabilizers.get(int(number))):
            title += f"; stabilizer: {note}"
        drawn = _block(op, chosen, height_of) if op else _skip()
        height = _HEIGHT if total_ms > 0 else _WITHOUT_COLUMNS
        if ms is not None and total_ms > 0:
            title += f"; predicted {milliseconds(ms)}, {_share(ms / total_ms)} of the latency"
            drawn += _column(_width(op), ms, ms / most_ms, ms / total_ms)
        cells.append(_cell(_width(op), height, number, title, drawn))
    count = sum(place.startswith("layers.") for place in ops)
    label = f"The network: stem, {count} of {winner.arch.space.num_layers} layers, head"
    return Html(_legend(winner) + f'<ol class="network" aria-label="{escape(label)}">' + "\n".join(cells) + "</ol>")


def _kernel_shade(kernel: int) -> str:
    """CSS class of a block by its kernel: three shades."""
    return "k3" if kernel <= 3 else "k5" if kernel <= 5 else "k7"


def _shape(op: Op) -> tuple[str, str]:
    """Input and output shape, channels first."""
    source, target = ("×".join(map(str, values)) for values in (op.in_shapes[0], op.out_shape))
    return source, target


def _stride(op: Op) -> int:
    """By what its images are divided."""
    return round(op.in_shapes[0][1] / op.out_shape[1]) if len(op.out_shape) == 3 else 1


def _is_last(op: Op) -> bool:
    """Whether what comes out are no images any more."""
    return len(op.out_shape) == 1


def _kernel(op: Op) -> int:
    """The largest of its convolutions; 0 without any."""
    return max((node.op.kernel for node in expanded(op) if isinstance(node.op, Conv)), default=0)


def _gates(op: Op) -> bool:
    """Whether it has squeeze-and-excitation."""
    return any(isinstance(node.op, Multiply) for node in expanded(op))


def _height_scale(winner: Winner) -> Callable[[int], float]:
    widths = [channels(op.out_shape) for _, op in winner.walk if not _is_last(op)] or [1]
    low, high = log(min(widths)), log(max(widths))

    def height(count: int) -> float:
        part = (log(count) - low) / (high - low) if high > low else 0.5
        return _LOW + (_HIGH - _LOW) * min(1.0, max(0.0, part))

    return height


def _width(op: Op | None) -> int:
    return _NARROW if op is None or op.skips else _WIDTH


def _cell(width: int, height: int, name: str, title: str, content: str) -> str:
    flow = f'<line class="baseline" x1="0" x2="{width}" y1="{_BASELINE + 0.5}" y2="{_BASELINE + 0.5}"/>'
    return (
        f'<li><svg role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{flow}'
        f"{_text(width / 2, 12, name, 'place')}{content}</svg></li>"
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'


def _block(op: Op, chosen: bool, height_of: Callable[[int], float]) -> str:
    width = _width(op)
    left, right, middle = 8, width - 8, width / 2
    shapes = op.in_shapes[0], op.in_shapes[0] if _is_last(op) else op.out_shape
    into, out = (height_of(channels(shape)) for shape in shapes)
    kind, big, small = _labels(op, chosen)
    outline = (
        f"M{left} {_AXIS - into / 2:.1f}L{right} {_AXIS - out / 2:.1f}V{_AXIS + out / 2:.1f}"
        f"L{left} {_AXIS + into / 2:.1f}Z"
    )
    source, target = _shape(op)
    parts = [
        f'<line class="flow" x1="0" x2="{width}" y1="{_AXIS}" y2="{_AXIS}"/>',
        f'<path class="block {kind}" d="{outline}"/>',
        _text(middle, _AXIS - 1 if small else _AXIS + 5, big, f"big {kind}"),
        _text(middle, _AXIS + 13, small, f"small {kind}") if small else "",
        _text(middle, 144, source, "shape") if width == _WIDTH else "",
        _text(middle, 158, f"→ {target}", "shape") if width == _WIDTH else "",
    ]
    average = (into + out) / 2
    if _gates(op):
        parts.append(_badge(middle, _AXIS - average / 2, "SE", "se"))
    if _stride(op) > 1:
        parts.append(_badge(middle, _AXIS + average / 2, f"↓{_stride(op)}", "stride"))
    return "".join(parts)


def _labels(op: Op, chosen: bool) -> tuple[str, str, str]:
    """CSS class, big label and small label of a block."""
    size = f"{_kernel(op)}×{_kernel(op)}" if _kernel(op) else op.short
    if op.skips:
        return "fixed narrow", size, ""
    if _is_last(op):
        return "fixed", "head", op.caption
    return _kernel_shade(_kernel(op)) if chosen and not is_linear(op) else "fixed", size, op.caption


def _badge(x: float, y: float, text: str, kind: str) -> str:
    return (
        f'<rect class="badge {kind}" x="{x - 12:g}" y="{y - 8:.1f}" width="24" height="16" rx="8"/>'
        f'<text class="badge" x="{x:g}" y="{y + 3.5:.1f}">{text}</text>'
    )


def _skip() -> str:
    return (
        f'<line class="skip" x1="0" x2="{_NARROW}" y1="{_AXIS}" y2="{_AXIS}"/>'
        f"{_text(_NARROW / 2, _AXIS - 8, 'skip', 'shape')}"
    )


def _column(width: int, ms: float, of_most: float, of_total: float) -> str:
    height, most = max(1.5, _COLUMN * of_most), " most" if of_most == 1 else ""
    return (
        f'<rect class="column{most}" x="{width / 2 - 15:g}" y="{_BASELINE - height:.1f}" width="30" '
        f'height="{height:.1f}" rx="2"/>{_text(width / 2, _BASELINE - height - 5, _share(of_total), "share")}'
        f"{_text(width / 2, _BASELINE + 15, milliseconds(ms), 'shape')}"
    )


def _share(part: float) -> str:
    return "<1%" if part < 0.005 else f"{part:.0%}"


def _legend(winner: Winner) -> str:
    ops = [op for _, op in winner.walk]
    layers = [op for place, op in winner.walk if place.startswith("layers.")]
    kernels = sorted({_kernel(op) for op in layers if not is_linear(op)} - {0})
    items = [f'<span><i class="swatch {_kernel_shade(k)}"></i>{k}×{k} kernel</span>' for k in kernels]
    if any(map(_gates, ops)):
        items.append('<span><i class="pill se">SE</i>squeeze-and-excitation</span>')
    for stride in sorted({_stride(op) for op in ops} - {1}):
        items.append(f'<span><i class="pill stride">↓{stride}</i>height and width divided by {stride}</span>')
    if len(winner.walk) < winner.arch.space.num_layers + 2:
        items.append('<span><i class="dashes"></i>skipped layer</span>')
    if winner.predicted_ms:
        items.append('<span><i class="swatch column"></i>predicted share of the latency</span>')
        items.append('<span><i class="swatch column most"></i>the largest share</span>')
    return f'<p class="legend">{"".join(items)}</p>'
