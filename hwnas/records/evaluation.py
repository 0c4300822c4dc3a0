"""`EvaluationRecord`: ``evaluation.json`` in a MODEL folder, what the network answers to the test images."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from hwnas.errors import ModelError
from hwnas.record import FileRecord, Fraction, Record, Sha256

EVALUATION = "evaluation.json"

_Class = Annotated[int, Field(ge=0, le=2**31)]


class Answer(Record):
    """What a network says of one image.

    Attributes:
        label, answer: indices of classes: what it shows, and what the network takes it for.
        share: the softmax of the answer.
        image: as the network sees it, small: a ``data:`` address.
    """

    label: _Class
    answer: _Class
    share: Fraction
    image: Annotated[str, Field(pattern=r"^data:image/(png|jpeg);base64,[A-Za-z0-9+/]+={0,2}$", max_length=2**16)]


class EvaluationRecord(FileRecord):
    """Of a classifier, on the test part of its data.

    Attributes:
        labels: class names in the order of the outputs.
        answers: (label, answer, images) of each pair of classes that has images.
        examples: of right and of wrong answers, a few of each.
        weights_sha256: of the network.
    """

    SCHEMA = "hwnas-evaluation/1"
    REMEDY = "train the network again"
    ERROR = ModelError

    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    answers: Annotated[tuple[tuple[_Class, _Class, PositiveInt], ...], Field(min_length=1)]
    examples: Annotated[tuple[Answer, ...], Field(max_length=100)]
    weights_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _are_classes(self) -> Self:
        pairs = [(label, answer) for label, answer, _ in self.answers]
        if len(set(pairs)) < len(pairs):
            raise ValueError("answers: a pair of classes stands twice")
        last = max(max(pair) for pair in [*pairs, *((each.label, each.answer) for each in self.examples)])
        if last >= len(self.labels):
            raise ValueError(f"there is no class {last}, there are {len(self.labels)}")
        return self

    @property
    def images(self) -> int:
        """How many were answered."""
        return sum(count for _, _, count in self.answers)

    @property
    def right(self) -> int:
        """How many of them right."""
        return sum(count for label, answer, count in self.answers if label == answer)
