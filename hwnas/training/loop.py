"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwnas.data.batches import Batches
from hwnas.data.load import Data
from hwnas.errors import ConfigError, TrainingError
from hwnas.evaluation.accuracy import channels_last
from hwnas.nn.memory import keep_freed_memory
from hwnas.nn.threads import threads
from hwnas.progress import Progress
from hwnas.training.average import WeightAverage
from hwnas.training.checkpoint import Position, load_checkpoint, save_checkpoint
from hwnas.training.config import TrainConfig
from hwnas.training.distributed import World, joined
from hwnas.training.exchange import average_gradients, broadcast, mean_over, same_everywhere, wait_for_all
from hwnas.training.loss import Loss, balanced_weights
from hwnas.training.optimizer import learning_rate_at, make_optimizer, set_rates
from hwnas.training.run import BestWeights, check_data, check_run, open_run, write_log
from hwnas.training.subject import Subject, finished, make_subject
from hwnas.training.synced_batchnorm import synchronise_batchnorm
from hwnas.training.tensorboard import Board
from hwnas.training.update import accumulate

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
    machine and number of threads. Resuming a finished run returns at once. Started by ``torchrun``, the processes
    train one run together; ``run`` and the data must be visible to all of them.

    Args:
        config: see :class:`TrainConfig`.
        run: made here; see :mod:`hwnas.training.run`.
        resume: go on from the last checkpoint, or from the start where there is none.
        progress: called after each update, in the first process.

    Raises:
        OutputError: ``run`` exists and isn't to be resumed, or can't be written.
        ConfigError: resumed with another configuration, or the device isn't there.
        DataError, SpaceError, ModelError, CheckpointError: a part can't be had or doesn't fit.
        TrainingError: the loss or the gradient stopped being a finite number, or another process stopped.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but PyTorch sees no such device; take cpu")
    keep_freed_memory()
    result = run / "model" if config.network is not None else run
    with joined(config.device) as world, threads(config.threads or torch.get_num_threads()):
        check_run(run, config, resume)
        wait_for_all(world)  # before one of them makes the folder
        if finished(run, config) is None:
            subject = make_subject(config)  # what is wrong with data or settings is told before a folder is made
            same_everywhere(world, "the configuration", config.to_yaml())
            same_everywhere(world, "the data set", subject.data.fingerprint)
            same_everywhere(world, "the space or network", subject.fingerprint)
            check_data(run, subject.data)
            training = _Training(config, run, subject, world)
            wait_for_all(world)  # until all have read the checkpoint
            if world.is_main:
                open_run(run, config, subject.data)
            try:
                training.go(progress if world.is_main else None)
            finally:
                training.close()
            wait_for_all(world)
        accuracy = finished(run, config)
        assert accuracy is not None
    return RunResult(run=run, result=result, accuracy=accuracy)


class _Training:
    """A subject, its optimizer and the position in the run."""

    def __init__(self, config: TrainConfig, run: Path, subject: Subject, world: World) -> None:
        self._config, self._run, self._subject, self._world = config, run, subject, world
        self._checkpoint = run / "checkpoint.safetensors"
        self._best = BestWeights(run)
        self._device = world.device
        self._module: nn.Module = channels_last(subject.module.to(self._device))
        if config.sync_batchnorm:
            synchronise_batchnorm(self._module)
        if config.compile:
            subject.compile()
        self._optimizer = make_optimizer(config, subject.places())
        self._average = None if config.ema_decay is None else WeightAverage(self._module, config.ema_decay)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=config.precision == "fp16")
        self._batches = Batches(
            subject.data, config.batch, augment=config.augment, seed=config.seed, workers=config.workers,
            rank=world.rank, world=world.size,
        )  # fmt: skip
        self._loss = self._make_loss()
        self._position = Position(
            subject=subject.fingerprint, threads=torch.get_num_threads(), paths=subject.state(),
            scaler=self._scaler.state_dict(),
        )  # fmt: skip
        if self._checkpoint.exists():
            self._resume()
        begin = self._position
        same_everywhere(world, "the checkpoint", f"{begin.epoch} {begin.step} {begin.paths}")
        broadcast(self._module.state_dict().values(), world)

    def _make_loss(self) -> Loss:
        config, data = self._config, self._subject.data
        weights = None
        if config.class_weights == "balanced":
            weights = balanced_weights(data.train.labels, len(data.classes)).to(self._device)
        share = config.distillation
        if share is None:
            share = 1.0 if self._subject.teacher is None else 0.5
        return Loss(config.label_smoothing, weights, share)

    def _resume(self) -> None:
        self._position = load_checkpoint(
            self._checkpoint, self._module, self._optimizer, self._average, self._subject.fingerprint
        )
        self._subject.restore(self._position.paths)
        self._scaler.load_state_dict(self._position.scaler or {})
        if self._config.threads is None:
            torch.set_num_threads(self._position.threads)

    def go(self, progress: Progress | None) -> None:
        """Train from the position to the end and write the result."""
        with Board(self._run, self._config.tensorboard and self._world.is_main) as board:
            for epoch in range(self._position.epoch, self._config.epochs):
                self._epoch(epoch, board, progress)
        if self._config.keep == "best":
            self._best.load(self._module)
        with self._averaged() if self._config.keep == "last" else nullcontext(), _eagerly():
            if self._world.is_main:
                self._subject.save(self._run)

    def close(self) -> None:
        """End the processes that decode images."""
        self._batches.close()

    def _epoch(self, epoch: int, board: Board, progress: Progress | None) -> None:
        self._module.train()
        steps, first, loss_sum = self._batches.per_epoch, self._position.step, self._position.loss_sum
        started = last_saved = time.monotonic()
        rate = paths = 0.0
        batches = self._batches.stream(epoch, first, self._device)
        for step, (x_NCHW, labels) in enumerate(batches, start=first):
            done = epoch * steps + step
            rate = self._learning_rate(epoch, step)
            losses = self._update(x_NCHW, labels, epoch, step, rate)
            if self._average is not None:
                self._average.update(done + 1)
            paths += len(losses)
            loss = sum(losses) / len(losses)
            loss_sum += loss
            board.update(done, loss, rate)
            if progress is not None:
                progress("training", done + 1, self._config.epochs * steps, f"loss {loss_sum / (step + 1):.3f}")
            if step + 1 < steps and time.monotonic() - last_saved >= CHECKPOINT_SECONDS:
                self._save(epoch, step + 1, loss_sum)
                last_saved = time.monotonic()
        seconds = time.monotonic() - started
        if self._world.is_main:  # the others wait in the next update
            entry = {
                "epoch": epoch,
                "loss": loss_sum / steps,
                "learning_rate": rate,
                "images_per_second": round(paths * self._config.batch / seconds, 1),
                **self._evaluate(epoch),
                **_oddities(self._subject.data),
            }
            write_log(self._run, entry)
            board.epoch((epoch + 1) * steps, entry)
        self._save(epoch + 1, 0, 0.0)

    def _evaluate(self, epoch: int) -> dict[str, Any]:
        """What is known at the end of an epoch; its weights are kept if none were better."""
        with self._averaged(), _eagerly():
            facts = self._subject.facts()
            score = sum(facts["accuracy"].values()) / len(facts["accuracy"])
            if self._position.best is None or score > self._position.best:
                self._position = replace(self._position, best=score)
                self._best.save(self._module, epoch, score)
        return facts

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        with nullcontext() if self._average is None else self._average.in_place():
            yield

    def _learning_rate(self, epoch: int, step: int) -> float:
        done = (epoch + (step + 1) / (self._batches.per_epoch + 1)) / self._config.epochs
        return learning_rate_at(done, self._config.warmup_share, self._config.learning_rate)

    def _update(self, x_NCHW: torch.Tensor, labels: torch.Tensor, epoch: int, step: int, rate: float) -> list[float]:
        config, done = self._config, (epoch + step / self._batches.per_epoch) / self._config.epochs
        paths = self._subject.next_paths(done)
        self._optimizer.zero_grad(set_to_none=True)
        losses = accumulate(
            paths, x_NCHW, labels, self._loss,
            parts=config.accumulation, teacher=self._subject.teacher, precision=config.precision,
            scale=self._scaler.scale,
        )  # fmt: skip
        losses = mean_over(self._world, losses)
        for path, loss in zip(paths, losses, strict=True):
            if not math.isfinite(loss):
                raise self._failure(f"the loss became {loss} at arch {path.name}", epoch, step)
        average_gradients(self._module.parameters(), self._world)
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._module.parameters(), config.gradient_clip_norm, foreach=True)
        if not (math.isfinite(norm) or self._scaler.is_enabled()):  # the scaler skips such updates and lowers its scale
            names = " ".join(path.name for path in paths)
            raise self._failure(f"the gradient became {float(norm)} at archs {names}", epoch, step)
        set_rates(self._optimizer, rate, self._subject.paths_per_place(done))
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return losses

    def _failure(self, what: str, epoch: int, step: int) -> TrainingError:
        last = f"the last good checkpoint is {self._checkpoint}" if self._checkpoint.exists() else "no checkpoint yet"
        return TrainingError(f"{what}, epoch {epoch}, step {step}; {last}; train anew with a lower learning_rate")

    def _save(self, epoch: int, step: int, loss_sum: float) -> None:
        self._position = replace(
            self._position, epoch=epoch, step=step, loss_sum=loss_sum, paths=self._subject.state(),
            scaler=self._scaler.state_dict(),
        )  # fmt: skip
        if self._world.is_main:
            save_checkpoint(self._checkpoint, self._module, self._optimizer, self._average, self._position)


def _oddities(data: Data) -> dict[str, Any]:
    """For the log: images that couldn't be decoded, and files that aren't images; nothing where there are none."""
    found: dict[str, Any] = {}
    if data.skipped.count:
        found["skipped_images"] = {"count": data.skipped.count, "first": list(data.skipped.names)}
    if data.ignored:
        found["ignored_files"] = data.ignored
    return found


def _eagerly() -> Any:
    """Inside, compiled blocks run as they are written: evaluation would have each of them compiled a second time."""
    return torch.compiler.set_stance("force_eager")
