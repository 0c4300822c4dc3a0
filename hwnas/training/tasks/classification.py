"""Classification: which of some classes an image shows."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import cross_entropy

from hwnas.data.augment import resize_px
from hwnas.data.load import load_data
from hwnas.evaluation.metrics import Tally, Top1
from hwnas.training.config import Count, Fraction, TrainConfig
from hwnas.training.tasks import TaskConfig


class ClassificationConfig(TaskConfig):
    """How to learn classes.

    Attributes:
        label_smoothing: share of the label spread over all classes.
        class_weights: ``none``, or ``balanced``: every class weighs the same in the loss, however rare.
        top_k: k of the top-k accuracy in the log.
    """

    kind: Literal["classification"] = "classification"
    label_smoothing: Fraction = 0.1
    class_weights: Literal["none", "balanced"] = "none"
    top_k: Count = 5


class Classification:
    """The task of telling classes apart. Its first metric is the top-1 accuracy."""

    Config = ClassificationConfig

    def __init__(self, config: TrainConfig, resolution: int) -> None:
        own = config.task
        assert isinstance(own, ClassificationConfig)
        self.data = load_data(
            config.data, resolution, held_out=config.held_out, corrupt=config.corrupt_images,
            resize_px=resize_px(config.augment, resolution),
        )  # fmt: skip
        self.outputs = len(self.data.classes)
        self._k = min(own.top_k, self.outputs)
        weights = None
        if own.class_weights == "balanced":
            weights = balanced_weights(self.data.train.labels, self.outputs).to(config.device)
        self.criterion = CrossEntropy(own.label_smoothing, weights)

    @staticmethod
    def objective(device: torch.device) -> Top1:
        return Top1(device)

    def metrics(self, device: torch.device) -> Tally:
        return Tally(self.outputs, self._k, device)


class CrossEntropy:
    """The loss of logits (N, classes), against labels (N,) int64 and against a teacher's logits.

    Args:
        label_smoothing: share of a label spread over all classes (Szegedy et al., arXiv 1512.00567, §7).
        class_weights: (classes,) of labels; all equal when None.
    """

    def __init__(self, label_smoothing: float = 0.0, class_weights: torch.Tensor | None = None) -> None:
        self._smoothing, self._weights = label_smoothing, class_weights

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = outputs.float()  # bf16 has too few digits for a sum of exponentials
        if self._weights is None:
            return cross_entropy(logits, targets, label_smoothing=self._smoothing)
        # divided by the images, not by their weights as PyTorch's mean is: so the mean over pieces is that of the whole
        total = cross_entropy(logits, targets, self._weights, label_smoothing=self._smoothing, reduction="sum")
        return total / len(targets)

    def compare(self, outputs: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        """Cross-entropy against the teacher's probabilities (Hinton et al., arXiv 1503.02531, §2, temperature 1)."""
        return cross_entropy(outputs.float(), taught.float().softmax(dim=1))


def balanced_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(classes,) weights under which every class weighs the same in a sum over ``labels`` (N,); 1 in the mean."""
    return len(labels) / (classes * torch.bincount(labels, minlength=classes).clamp(min=1))
