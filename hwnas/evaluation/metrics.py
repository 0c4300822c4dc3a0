"""Metrics, gathered from a network's outputs batch by batch; a classifier's are the first ones."""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn import functional

from hwnas.errors import ConfigError


class Meter(Protocol):
    """Gathers metrics over batches; what it gathers stays on the device until asked for."""

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Count a batch: what a network put out, and what its images show."""
        ...

    def metrics(self) -> dict[str, float]:
        """Of all batches so far, one at least; by name. More is better of the first one, the objective of searches."""
        ...


class Top1:
    """The share of images whose label has the largest logit, in [0, 1]; of equal logits the first is the larger one.

    Args:
        device: of the logits.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self._images = 0

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Logits (N, classes), labels (N,) int64."""
        self._right += (outputs.argmax(dim=1) == targets).sum()
        self._images += len(targets)

    def metrics(self) -> dict[str, float]:
        return {"top1": int(self._right) / self._images}


class Tally:
    """All metrics of a classifier.

    Args:
        classes: how many logits an image has.
        k: of ``top_k``; 1 for as many classes or more.
        device: of the logits.

    Raises:
        ConfigError: k isn't positive.
    """

    def __init__(self, classes: int, k: int, device: torch.device | str = "cpu") -> None:
        if k < 1:
            raise ConfigError(f"top_k counts labels among the k largest logits, so k must be 1 or more, got {k}")
        self._k = k
        self._seen, self._right = torch.zeros(2, classes, dtype=torch.int64, device=device)  # per class
        self._near = torch.zeros((), dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Count a batch: logits (N, classes), labels (N,) int64. Of equal logits the first is the larger one."""
        logits, labels, classes = outputs, targets, len(self._seen)
        self._seen += torch.bincount(labels, minlength=classes)
        self._right += torch.bincount(labels[logits.argmax(dim=1) == labels], minlength=classes)
        own = logits.gather(1, labels[:, None])
        first = torch.arange(classes, device=labels.device) < labels[:, None]
        ahead = ~(logits <= own) | ((logits == own) & first)  # written so that a NaN is ahead of its image's label
        self._near += (ahead.sum(dim=1) < self._k).sum()
        self._loss += functional.cross_entropy(logits.double(), labels, reduction="sum")

    def metrics(self) -> dict[str, float]:
        """By name.

        ``top1``: share of the images whose label has the largest logit, in [0, 1]. ``top_k``: whose label is among the
        ``k`` largest logits. ``balanced``: recall of a class, averaged over the classes that have images, in [0, 1].
        ``loss``: cross-entropy in nats, averaged over the images.
        """
        images, seen = int(self._seen.sum()), self._seen > 0
        recalls = self._right[seen].double() / self._seen[seen]
        return {
            "top1": int(self._right.sum()) / images,
            "top_k": int(self._near) / images,
            "k": self._k,
            "balanced": float(recalls.mean()),
            "loss": float(self._loss) / images,
        }
