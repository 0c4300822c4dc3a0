"""The one training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwnas.data.batches import Batches
from hwnas.errors import ConfigError, TrainingError
from hwnas.evaluation.accuracy import channels_last
from hwnas.nn.network import load_weights, save_weights
from hwnas.nn.process import keep_freed_memory, threads
from hwnas.progress import Progress, Tell, silent
from hwnas.records.train import Facts, LogLine, SkippedImages, TrainRecord
from hwnas.training.checkpoint import Position, load_checkpoint, save_checkpoint
from hwnas.training.config import TrainConfig
from hwnas.training.distributed import World, joined
from hwnas.training.gradients import Passes
from hwnas.training.learners import LEARNERS, Learner
from hwnas.training.log import Board, write_log
from hwnas.training.optimizer import WeightAverage, learning_rate_at, make_optimizer, set_rates
from hwnas.training.run_folder import check_data, check_run, open_run
from hwnas.training.synced_batchnorm import synchronise_batchnorm

CHECKPOINT_SECONDS = 20.0
"""The most that a kill can cost, beside one update."""


def run_training(
    config: TrainConfig,
    run: Path,
    resume: bool = False,
    progress: Progress | None = None,
    tell: Tell = silent,
    check: Callable[[Learner], None] | None = None,
) -> TrainRecord:
    """Train what ``config`` says into the folder ``run``.

    A run that was killed at any moment and resumed ends in the same bytes as one that wasn't, given the same
    machine and number of threads. Resuming a finished run returns at once; without a checkpoint it begins. Started
    by ``torchrun``, the processes train one run together; ``run`` and the data must be visible to all of them. In the
    first one ``tell`` is called with what is odd about the data, and ``progress`` after each update; ``check``
    may refuse what is about to be trained.

    Raises:
        OutputError: ``run`` exists and isn't to be resumed, or can't be written.
        ConfigError: resumed with another configuration, or the device isn't there.
        DataError, SpaceError, ModelError, CheckpointError: a part can't be had or doesn't fit.
        TrainingError: the loss or the gradient stopped being a finite number, or another process stopped.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but PyTorch sees no such device; take cpu")
    keep_freed_memory()
    kind = LEARNERS.get(config.learner.kind)
    with joined(config.device) as world, threads(config.threads or torch.get_num_threads()):
        check_run(run, config, resume)
        world.wait()  # before one of them makes the folder
        if kind.finished(run) is None:
            learner = kind(config)  # what is wrong with data or settings is told before a folder is made
            if check is not None:
                check(learner)
            data = learner.task.data
            world.check_same("the configuration", config.to_yaml())
            world.check_same("the data set", data.fingerprint)
            world.check_same("the space or network", learner.fingerprint)
            check_data(run, data)
            for remark in data.remarks() if world.is_main else ():
                tell(remark)
            if resume and world.is_main and not (run / "config.yaml").exists():
                tell(f"nothing to resume in {run}, begins anew")
            with closing(_Training(config, run, learner, world)) as training:
                world.wait()  # until all have read the checkpoint
                if world.is_main:
                    open_run(run, config, data)
                training.go(progress if world.is_main else None)
            world.wait()
        found = kind.finished(run)
        assert found is not None
    return found


class _Training:
    """A learner, its optimizer and the position in the run."""

    def __init__(self, config: TrainConfig, run: Path, learner: Learner, world: World) -> None:
        self._config, self._run, self._learner, self._world = config, run, learner, world
        self._checkpoint = run / "checkpoint.safetensors"
        self._best = run / "best.safetensors"
        self._device = world.device
        self._module: nn.Module = channels_last(learner.module.to(self._device))
        if config.sync_batchnorm:
            synchronise_batchnorm(self._module)
        if config.compile:
            learner.compile()
        self._optimizer = make_optimizer(config, learner.places())
        self._average = None if config.ema_decay is None else WeightAverage(self._module, config.ema_decay)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=config.precision == "fp16")
        self._batches = Batches(
            learner.task.data, config.batch, augment=config.augment, seed=config.seed, workers=config.workers,
            rank=world.rank, world=world.size,
        )  # fmt: skip
        self._passes = Passes(pieces=config.accumulation, precision=config.precision, scale=self._scaler.scale)
        self._position = Position(
            fingerprint=learner.fingerprint, threads=torch.get_num_threads(), learner=learner.state(),
            scaler=self._scaler.state_dict(),
        )  # fmt: skip
        if self._checkpoint.exists():
            self._resume()
        begin = self._position
        world.check_same("the checkpoint", f"{begin.epoch} {begin.step} {begin.learner}")
        world.broadcast(self._module.state_dict().values())

    def _resume(self) -> None:
        self._position = load_checkpoint(
            self._checkpoint, self._module, self._optimizer, self._average, self._learner.fingerprint
        )
        self._learner.restore(self._position.learner)
        self._scaler.load_state_dict(self._position.scaler or {})
        if self._config.threads is None:
            torch.set_num_threads(self._position.threads)

    def go(self, progress: Progress | None) -> None:
        """Train from the position to the end and write the result."""
        with closing(Board(self._run, self._config.tensorboard and self._world.is_main)) as board:
            for epoch in range(self._position.epoch, self._config.epochs):
                self._epoch(epoch, board, progress)
        if self._config.keep == "best":
            load_weights(self._module, self._best)
        with self._averaged() if self._config.keep == "last" else nullcontext(), _eagerly():
            if self._world.is_main:
                self._learner.save(self._run)

    def close(self) -> None:
        """End the processes that decode images."""
        self._batches.close()

    def _epoch(self, epoch: int, board: Board, progress: Progress | None) -> None:
        self._module.train()
        steps, first, loss_sum = self._batches.per_epoch, self._position.step, self._position.loss_sum
        started = last_saved = time.monotonic()
        rate = terms = 0.0
        batches = self._batches.stream(epoch, first, self._device)
        for step, (x_NCHW, targets) in enumerate(batches, start=first):
            done = epoch * steps + step
            share = (epoch + (step + 1) / (steps + 1)) / self._config.epochs
            rate = learning_rate_at(share, self._config.warmup_share, self._config.learning_rate)
            losses = self._update(x_NCHW, targets, epoch, step, rate)
            if self._average is not None:
                self._average.update(done + 1)
            terms += len(losses)
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
            skipped = self._learner.task.data.skipped
            entry = LogLine(
                **dict(self._evaluate(epoch)),
                epoch=epoch,
                loss=loss_sum / steps,
                learning_rate=rate,
                images_per_second=round(terms * self._config.batch / seconds, 1),
                skipped_images=SkippedImages(count=skipped.count, first=skipped.names) if skipped.count else None,
                ignored_files=self._learner.task.data.ignored or None,
            )
            write_log(self._run, entry)
            board.epoch((epoch + 1) * steps, entry)
        self._save(epoch + 1, 0, 0.0)

    def _evaluate(self, epoch: int) -> Facts:
        """What is known at the end of an epoch; its weights are kept if none were better."""
        with self._averaged(), _eagerly():
            facts = self._learner.facts()
            score = sum(facts.accuracy.values()) / len(facts.accuracy)
            if self._position.best is None or score > self._position.best:
                self._position = self._position.model_copy(update={"best": score})
                header = {"hwnas-best/1": json.dumps({"epoch": epoch, "validation_accuracy": score})}
                save_weights(self._module, self._best, header)
        return facts

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self._average is None else self._average.in_place()

    def _update(self, x_NCHW: torch.Tensor, targets: torch.Tensor, epoch: int, step: int, rate: float) -> list[float]:
        done = (epoch + step / self._batches.per_epoch) / self._config.epochs
        self._optimizer.zero_grad(set_to_none=True)
        found = self._learner.gradients(x_NCHW, targets, done, self._passes)
        losses = self._world.mean([term.value for term in found])
        for term, loss in zip(found, losses, strict=True):
            if not math.isfinite(loss):
                raise self._failure(f"the loss became {loss} at {term.name}", epoch, step)
        self._world.average_gradients(self._module.parameters())
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._module.parameters(), self._config.gradient_clip_norm, foreach=True)
        if not (math.isfinite(norm) or self._scaler.is_enabled()):  # the scaler skips such updates and lowers its scale
            names = ", ".join(term.name for term in found)
            raise self._failure(f"the gradient became {float(norm)} at {names}", epoch, step)
        set_rates(self._optimizer, rate, self._learner.terms_per_place(done))
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return losses

    def _failure(self, what: str, epoch: int, step: int) -> TrainingError:
        last = f"the last good checkpoint is {self._checkpoint}" if self._checkpoint.exists() else "no checkpoint yet"
        return TrainingError(f"{what}, epoch {epoch}, step {step}; {last}; train anew with a lower learning_rate")

    def _save(self, epoch: int, step: int, loss_sum: float) -> None:
        self._position = self._position.model_copy(update={
            "epoch": epoch, "step": step, "loss_sum": loss_sum, "learner": self._learner.state(),
            "scaler": self._scaler.state_dict(),
        })  # fmt: skip
        if self._world.is_main:
            save_checkpoint(self._checkpoint, self._module, self._optimizer, self._average, self._position)


def _eagerly() -> Any:
    """Inside, compiled blocks run as they are written: evaluation would have each of them compiled a second time."""
    return torch.compiler.set_stance("force_eager")
