"""What an update minimises: cross-entropy against labels, against a teacher, or both."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy


class Loss:
    """Mean loss of a batch.

    Args:
        label_smoothing: share of a label spread over all classes (Szegedy et al., arXiv 1512.00567, §7).
        class_weights: (classes,) of the labels' part; all equal when None.
        distillation: share of the teacher's part, where there is a teacher (Hinton et al., arXiv 1503.02531, §2, at
            temperature 1).
    """

    def __init__(
        self, label_smoothing: float = 0.0, class_weights: torch.Tensor | None = None, distillation: float = 0.0
    ) -> None:
        self._smoothing, self._weights, self._distillation = label_smoothing, class_weights, distillation

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor, taught: torch.Tensor | None = None) -> torch.Tensor:
        """The mean loss of logits (N, classes), labels (N,) int64 and, where there is one, the teacher's logits."""
        logits = logits.float()  # bf16 has too few digits for a sum of exponentials
        if taught is None or self._distillation == 0:
            return self._of_labels(logits, labels)
        soft = cross_entropy(logits, taught.float().softmax(dim=1))
        if self._distillation == 1:
            return soft
        return torch.lerp(self._of_labels(logits, labels), soft, self._distillation)

    def _of_labels(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self._weights is None:
            return cross_entropy(logits, labels, label_smoothing=self._smoothing)
        # divided by the images, not by their weights as PyTorch's mean is: so the mean over parts is that of the whole
        total = cross_entropy(logits, labels, self._weights, label_smoothing=self._smoothing, reduction="sum")
        return total / len(labels)


def balanced_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(classes,) weights under which every class weighs the same in a sum over ``labels`` (N,); 1 in the mean."""
    return len(labels) / (classes * torch.bincount(labels, minlength=classes).clamp(min=1))
