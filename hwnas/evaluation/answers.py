"""What a classifier answers to the test images, image by image."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import nn

from hwnas.arrays import Indices
from hwnas.data.load import Data
from hwnas.evaluation.accuracy import metrics_of
from hwnas.records.evaluation import Answer, EvaluationRecord

_EXAMPLES = 10
"""Of right answers, and as many of wrong ones."""
_LOSSLESS_PX, _SHOWN_PX = 64, 112


class _Answers:
    """Keeps the label, the answer and its softmax of every image."""

    def __init__(self) -> None:
        self.rows: list[torch.Tensor] = []

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        answer = outputs.argmax(dim=1)  # of equal ones the first, as Top1 has it
        share = outputs.double().softmax(dim=1).gather(1, answer[:, None])[:, 0].nan_to_num(0.0)
        self.rows.append(torch.stack([targets.double(), answer.double(), share]).cpu())

    def metrics(self) -> dict[str, float]:
        return {}


def answers_of(network: nn.Module, data: Data) -> EvaluationRecord:
    """What ``network`` answers to all of ``data.test``: x_NCHW -> logits, one for each of the data's classes.

    Examples are the wrong answers it is surest of, and right ones evenly over the classes.
    """
    meter = _Answers()
    metrics_of(network, data, data.test, lambda device: meter)
    label, answer, share = torch.cat(meter.rows, dim=1).numpy()
    pairs, counts = np.unique(np.stack([label, answer]).astype(np.int64), axis=1, return_counts=True)
    shown = [*_surest(np.flatnonzero(label != answer), share), *_evenly(np.flatnonzero(label == answer), label)]
    pixels_nchw = data.test.pixels(torch.tensor(shown, dtype=torch.int64)).numpy()
    examples = [
        Answer(label=int(label[i]), answer=int(answer[i]), share=float(share[i]), image=_address(pixels_chw))
        for i, pixels_chw in zip(shown, pixels_nchw, strict=True)
    ]
    answers = tuple((int(a), int(b), int(n)) for (a, b), n in zip(pairs.T, counts, strict=True))
    return EvaluationRecord(labels=data.classes, answers=answers, examples=tuple(examples))


def _surest(wrong: Indices, share: np.ndarray) -> list[int]:
    return wrong[np.argsort(-share[wrong], kind="stable")][:_EXAMPLES].tolist()  # type: ignore[no-any-return]


def _evenly(right: Indices, label: np.ndarray) -> list[int]:
    by_class = right[np.argsort(label[right], kind="stable")]
    places = np.linspace(0, max(len(by_class) - 1, 0), min(_EXAMPLES, len(by_class))).round().astype(int)
    return by_class[places].tolist()  # type: ignore[no-any-return]


def _address(pixels_chw: np.ndarray) -> str:
    """An image as a page holds it: as it is while it is small, else made small."""
    image, file = Image.fromarray(pixels_chw.transpose(1, 2, 0)), io.BytesIO()
    kind = "png" if image.width <= _LOSSLESS_PX else "jpeg"
    image.thumbnail((_SHOWN_PX, _SHOWN_PX))
    image.save(file, kind, quality=80)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
