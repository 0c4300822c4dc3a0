"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hwnas.errors import ConfigError, TrainingError
from hwnas.train.batches import Batches
from hwnas.train.batchnorm import Forward
from hwnas.train.checkpoint import Position, load_checkpoint, save_checkpoint
from hwnas.train.config import TrainConfig
from hwnas.train.evaluate import channels_last
from hwnas.train.run import check_run, open_run, write_log
from hwnas.train.subject import Subject, finished, make_subject

Progress = Callable[[str, int, int, str], None]
"""(what, done, total, note)"""

CHECKPOINT_SECONDS = 20.0
"""The most that a kill can cost, beside one update."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came out of a training.

    Attributes:
        run: the run folder.
        result: the supernet's run folder, or the MODEL folder of a network.
        accuracy: in [0, 1]. Of a supernet: inherited, on the validation part, by arch; of a network: ``validation``
            and ``test``.
    """

    run: Path
    result: Path
    accuracy: dict[str, float]


def train(config: TrainConfig, run: Path, resume: bool = False, progress: Progress | None = None) -> RunResult:
    """Train what ``config`` says into the folder ``run``.

    A run that was killed at any moment and resumed ends in the same bytes as one that wasn't, given the same
    machine and number of threads. Resuming a finished run returns at once.

    Args:
        config: see :class:`TrainConfig`.
        run: made here; see :mod:`hwnas.train.run`.
        resume: go on from the last checkpoint, or from the start where there is none.
        progress: called after each update.

    Raises:
        OutputError: ``run`` exists and isn't to be resumed, or can't be written.
        ConfigError: resumed with another configuration, or the device isn't there.
        DataError, SpaceError, ModelError, CheckpointError: a part can't be had or doesn't fit.
        TrainingError: the loss or the gradient stopped being a finite number.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but PyTorch sees no such device; take cpu")
    check_run(run, config, resume)
    result = run / "model" if config.network is not None else run
    if (accuracy := finished(run, config)) is None:
        with _threads(config.threads or torch.get_num_threads()):
            subject = make_subject(config)  # what is wrong with data or settings is told before a folder is made
            training = _Training(config, run, subject)
            open_run(run, config)
            training.go(progress)
            subject.save(run)
        accuracy = finished(run, config)
        assert accuracy is not None
    return RunResult(run=run, result=result, accuracy=accuracy)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learning_rate_at(done: float, warmup: float, peak: float) -> float:
    """Linear from 0 over ``warmup``, then a half cosine to 0 (SGDR, arXiv 1608.03983, eq. 5); shares of all updates."""
    if done < warmup:
        return peak * done / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def accumulate(
    forwards: Sequence[Forward], x_NCHW: torch.Tensor, labels: torch.Tensor, label_smoothing: float
) -> list[float]:
    """Add the gradient of each path's mean loss on one batch to ``.grad``; returns the losses.

    With strict-fair paths that is FairNAS's update (arXiv 1907.01845, algorithm 1): gradients of all paths are
    summed, and weights change once. A parameter that no path uses keeps ``grad`` None.
    """
    losses = []
    for forward in forwards:
        loss = cross_entropy(forward(x_NCHW), labels, label_smoothing=label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return [float(loss) for loss in torch.stack(losses).tolist()]


def parameter_groups(uses: Iterable[tuple[float, nn.Module]]) -> list[dict[str, Any]]:
    """Optimizer groups; each one's ``share`` of the learning rate is 1 over the paths that use it, at most 1.

    Gradients of an update are sums over its paths. Stem and head lie on all of them, a choice on about one; with
    the share, each weight moves by the mean gradient of the paths that use it. At one rate for all, stem and head
    would move several times as fast as the choices between them.
    """
    by_share: dict[float, list[nn.Parameter]] = {}
    for paths, module in uses:
        by_share.setdefault(1 / max(1.0, paths), []).extend(module.parameters())
    return [{"params": parameters, "share": share} for share, parameters in by_share.items() if parameters]


class _Training:
    """A subject, its optimizer and the position in the run."""

    def __init__(self, config: TrainConfig, run: Path, subject: Subject) -> None:
        self._config, self._run, self._subject = config, run, subject
        self._checkpoint = run / "checkpoint.safetensors"
        self._device = torch.device(config.device)
        self._module: nn.Module = channels_last(subject.module.to(self._device))
        # SGD passes over parameters whose grad is None, so momentum and weight decay leave unused choices alone
        self._optimizer = torch.optim.SGD(
            parameter_groups(subject.uses()),
            lr=0.0, momentum=config.momentum, weight_decay=config.weight_decay, foreach=True,
        )  # fmt: skip
        self._batches = Batches(subject.data, config.batch, augment=config.augment, seed=config.seed)
        self._position = Position(threads=torch.get_num_threads(), paths=subject.state())
        if self._checkpoint.exists():
            self._resume()

    def _resume(self) -> None:
        self._position = load_checkpoint(self._checkpoint, self._module, self._optimizer)
        self._subject.restore(self._position.paths)
        threads = self._position.threads
        if self._config.threads is None:
            torch.set_num_threads(threads)

    def go(self, progress: Progress | None) -> None:
        """Train from the position to the end."""
        for epoch in range(self._position.epoch, self._config.epochs):
            self._epoch(epoch, progress)

    def _epoch(self, epoch: int, progress: Progress | None) -> None:
        self._module.train()
        order = self._batches.order(epoch)
        steps, first, loss_sum = len(order), self._position.step, self._position.loss_sum
        started = last_saved = time.monotonic()
        rate = paths = 0.0
        for step in range(first, steps):
            rate = self._learning_rate(epoch, step)
            losses = self._update(order[step], epoch, step, rate)
            paths += len(losses)
            loss_sum += sum(losses) / len(losses)
            if progress is not None:
                done, total = epoch * steps + step + 1, self._config.epochs * steps
                progress("training", done, total, f"loss {loss_sum / (step + 1):.3f}")
            if step + 1 < steps and time.monotonic() - last_saved >= CHECKPOINT_SECONDS:
                self._save(epoch, step + 1, loss_sum)
                last_saved = time.monotonic()
        seconds = time.monotonic() - started
        entry = {
            "epoch": epoch,
            "loss": loss_sum / steps,
            "learning_rate": rate,
            "images_per_second": round(paths * self._config.batch / seconds, 1),
            **self._subject.facts(),
        }
        write_log(self._run, entry)
        self._save(epoch + 1, 0, 0.0)

    def _learning_rate(self, epoch: int, step: int) -> float:
        done = (epoch + (step + 1) / (self._batches.per_epoch + 1)) / self._config.epochs
        return learning_rate_at(done, self._config.warmup_epochs / self._config.epochs, self._config.learning_rate)

    def _update(self, indices: torch.Tensor, epoch: int, step: int, rate: float) -> list[float]:
        x_NCHW, labels = self._batches.load(indices, epoch, step, self._device)
        paths = self._subject.next_paths()
        self._optimizer.zero_grad(set_to_none=True)
        losses = accumulate([forward for _, forward in paths], x_NCHW, labels, self._config.label_smoothing)
        for (name, _), loss in zip(paths, losses, strict=True):
            if not math.isfinite(loss):
                raise self._failure(f"the loss became {loss} at arch {name}", epoch, step)
        norm = nn.utils.clip_grad_norm_(self._module.parameters(), self._config.gradient_clip_norm, foreach=True)
        if not math.isfinite(norm):
            names = " ".join(name for name, _ in paths)
            raise self._failure(f"the gradient became {float(norm)} at archs {names}", epoch, step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self._optimizer.step()
        return losses

    def _failure(self, what: str, epoch: int, step: int) -> TrainingError:
        last = f"the last good checkpoint is {self._checkpoint}" if self._checkpoint.exists() else "no checkpoint yet"
        return TrainingError(f"{what}, epoch {epoch}, step {step}; {last}; train anew with a lower learning_rate")

    def _save(self, epoch: int, step: int, loss_sum: float) -> None:
        self._position = Position(
            epoch=epoch, step=step, loss_sum=loss_sum, threads=torch.get_num_threads(), paths=self._subject.state()
        )
        save_checkpoint(self._checkpoint, self._module, self._optimizer, self._position)
