"""The section on what the network gets right: by class, what it takes for what, and a few images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Values
from hwnas.errors import counted
from hwnas.evaluation.interval import wilson
from hwnas.records.evaluation import Answer, EvaluationRecord
from hwnas.reporting import charts
from hwnas.reporting.markup import Html, card, details, escape, join, lead, side_by_side, table
from hwnas.reporting.units import percent

_MATRIX, _NUMBERED = 30, 15
"""Classes that a matrix can be read of, and with numbers in it."""
_WORST, _PAIRS = 20, 15
_ROW_PX, _AROUND_PX = 22, 90
_NAME = 22


def answers_section(answers: EvaluationRecord) -> Html:
    """Accuracy with its interval, by class; a matrix, or of many classes the pairs that are confused most; images."""
    matrix, pairs = _matrix(answers), _confused(answers)
    cards = [_classes_card(answers, matrix)]
    if len(answers.labels) <= _MATRIX:
        cards.insert(0, _matrix_card(answers, matrix))
    elif pairs:
        cards.insert(0, card("What it confuses most", "Shown on the left, answered on the right.", _pairs_table(pairs)))
    few = not _NUMBERED < len(answers.labels) <= _MATRIX  # else the matrix takes the whole width
    parts = [lead(_lead(answers, pairs)), side_by_side(cards) if few else join(*cards)]
    for title, note, right in (
        (
            "Wrong answers",
            "Those it was surest of: under each image the answer with its share, and the truth.",
            False,
        ),
        ("Right answers", "Some of many, over all classes.", True),
    ):
        if chosen := [each for each in answers.examples if (each.label == each.answer) == right]:
            parts.append(card(title, note, _images(answers, chosen)))
    if pairs and len(answers.labels) <= _MATRIX:
        head, rows = _pairs_rows(pairs)
        parts.append(details("What it confuses most, as a table", head, rows, align="llr"))
    parts.append(_classes_table(answers, matrix))
    return join(*parts)


def _lead(answers: EvaluationRecord, pairs: Sequence[tuple[str, str, int]]) -> str:
    right, images = answers.right, answers.images
    low, high = wilson(right / images, images)
    text = (
        f"Of {counted(images, 'test image')} it answers {right:,} right: {percent(right / images)}, "
        f"which tells {percent(low)} to {percent(high)} of all such images (95 % confidence)."
    )
    if pairs and pairs[0][2] > 1:
        label, answer, count = pairs[0]
        text += f" Most often {label} is taken for {answer}: {counted(count, 'time')}."
    return text


def _matrix(answers: EvaluationRecord) -> Values:
    """(classes, classes) images by what they show and what they are taken for."""
    matrix = np.zeros((len(answers.labels),) * 2)
    for label, answer, count in answers.answers:
        matrix[label, answer] = count
    return matrix


def _confused(answers: EvaluationRecord) -> list[tuple[str, str, int]]:
    """(what it is, what it was taken for, images) of wrong answers, the most frequent first."""
    wrong = sorted((each for each in answers.answers if each[0] != each[1]), key=lambda each: (-each[2], each))
    return [(answers.labels[label], answers.labels[answer], count) for label, answer, count in wrong[:_PAIRS]]


def _matrix_card(answers: EvaluationRecord, matrix: Values) -> Html:
    note = "A row for what an image shows, a column for what it is taken for, in the same order; red is wrong."
    height_px = _AROUND_PX + max(_ROW_PX * len(matrix), 240)
    text = f"Confusion matrix of {counted(len(matrix), 'class')}; the tables below say the same"
    figure = matrix_figure(answers.labels, matrix)
    return charts.card("What it takes for what", note, figure, "chart-confusion", height_px=height_px, description=text)


def matrix_figure(labels: Sequence[str], matrix: Values) -> go.Figure:
    """A heat map of counts; right answers are blue by their share of the row, wrong ones red."""
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shade = np.where(np.eye(len(matrix), dtype=bool), share, -np.sqrt(share))  # a few wrong ones are seen as well
    names = [charts.label(_short(name)) for name in labels]
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False, "ticks": "", "showline": False}
    figure = charts.blank(
        {"title": "taken for", "type": "linear", "showticklabels": len(names) <= _NUMBERED, **ticks},
        {"title": "shows", "type": "linear", "autorange": "reversed", **ticks},
    )

    def hover(label: str, answer: str, count: float, row: Values) -> str:
        return charts.hover_text(f"{label}, taken for {answer}: {count:.0f} of {row.sum():.0f}")

    figure.add_heatmap(
        z=np.where(matrix > 0, shade, np.nan), zmin=-1, zmax=1, xgap=1, ygap=1, showscale=False,
        colorscale=[
            [0, "rgba(229,72,77,0.85)"], [0.4999, "rgba(229,72,77,0.04)"],
            [0.5, "rgba(59,130,246,0.04)"], [1, "rgba(59,130,246,0.75)"],
        ],
        text=[[f"{value:.0f}" if value else "" for value in row] for row in matrix],
        texttemplate="%{text}" if len(matrix) <= _NUMBERED else None,
        customdata=[
            [hover(label, answer, count, row) if count else "" for answer, count in zip(labels, row, strict=True)]
            for label, row in zip(labels, matrix, strict=True)
        ],
        hoverongaps=False,
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    return figure


def _classes_card(answers: EvaluationRecord, matrix: Values) -> Html:
    seen = np.flatnonzero(matrix.sum(axis=1))
    accuracy = matrix.diagonal()[seen] / matrix.sum(axis=1)[seen]
    shown = seen if len(seen) <= _MATRIX else seen[np.argsort(accuracy, kind="stable")[:_WORST]]
    note = "The bar is the 95 % interval: how well so few images tell it."
    if len(shown) < len(seen):
        note = f"The {len(shown)} worst of {counted(len(seen), 'class')}. {note}"
    figure = classes_figure([answers.labels[index] for index in shown], matrix[shown], matrix[shown, shown])
    text = f"Accuracy of {counted(len(shown), 'class')}, from {percent(accuracy.min())} to {percent(accuracy.max())}"
    return charts.card(
        "Accuracy by class", note, figure, "chart-classes", height_px=_AROUND_PX + max(_ROW_PX * len(shown), 90),
        description=text,
    )  # fmt: skip


def classes_figure(labels: Sequence[str], rows: Values, right: Values) -> go.Figure:
    """A dot a class with its interval, in percent, the first class on top; all have images."""
    images = rows.sum(axis=1)
    accuracy = 100 * right / images
    intervals = map(wilson, (right / images).tolist(), images.astype(int).tolist())
    lows, highs = (100 * np.array(ends) for ends in zip(*intervals, strict=True))
    figure = charts.blank(
        {"title": "accuracy (%)", "range": charts.padded_range(lows, 100.0)},
        charts.rows_axis(list(map(_short, labels))),
    )
    texts = [
        charts.hover_text(label, f"{got:.0f} of {count:.0f} right: {value:.2f} %", f"{low:.2f} to {high:.2f} %")
        for label, got, count, value, low, high in zip(labels, right, images, accuracy, lows, highs, strict=True)
    ]
    bars = charts.whiskers(accuracy.tolist(), lows.tolist(), highs.tolist(), color=charts.GREY, thickness=1.5, width=0)
    charts.dots(figure, accuracy, list(range(len(labels))), texts, charts.DOT, error_x=bars)
    return figure


def _pairs_rows(pairs: Iterable[tuple[str, str, int]]) -> tuple[list[str], list[list[str]]]:
    return ["shows", "taken for", "images"], [[label, answer, f"{count:,}"] for label, answer, count in pairs]


def _pairs_table(pairs: Iterable[tuple[str, str, int]]) -> Html:
    head, rows = _pairs_rows(pairs)
    return Html(f'<div class="wrapped">{table(head, rows, align="llr")}</div>')


def _classes_table(answers: EvaluationRecord, matrix: Values) -> Html:
    rows = []
    for index, (name, row) in enumerate(zip(answers.labels, matrix, strict=True)):
        images, right = int(row.sum()), int(row[index])
        if images:
            low, high = wilson(right / images, images)
            figures = percent(right / images), f"{percent(low)} to {percent(high)}"
        else:
            figures = "–", "no images"
        rows.append([name, f"{images:,}", f"{right:,}", *figures])
    head = ["class", "images", "right", "accuracy", "95 % interval"]
    return details(f"All {counted(len(rows), 'class')}, as a table", head, rows)


def _images(answers: EvaluationRecord, examples: Iterable[Answer]) -> Html:
    """A list of images, each with what the network said of it."""
    items = []
    for each in examples:
        label, answer = (escape(answers.labels[index]) for index in (each.label, each.answer))
        right = each.label == each.answer
        said = f"<b>{answer}</b> {percent(each.share, 0)}"
        truth = "" if right else f'<span class="bad">is {label}</span>'
        alt = f"{label}, answered {answer}"
        items.append(f'<li><img src="{escape(each.image)}" alt="{alt}"><span>{said}</span>{truth}</li>')
    return Html(f'<ul class="images">{"".join(items)}</ul>')


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
