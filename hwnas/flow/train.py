"""`train`: a supernet, or one network."""

from __future__ import annotations

from pathlib import Path

from hwnas.arguments import checked
from hwnas.data.load import classes_of
from hwnas.errors import whole
from hwnas.flow.open import Tables, of_file, open_budgeted
from hwnas.prediction.latency import LatencyPredictor
from hwnas.progress import Progress, say
from hwnas.records.train import TrainRecord
from hwnas.space.registry import get_space
from hwnas.space.space import Space
from hwnas.training.config import TrainConfig, read_config
from hwnas.training.learners import Learner
from hwnas.training.learners.supernet import SupernetConfig
from hwnas.training.loop import run_training


@checked
def train(
    config: TrainConfig | Path | str,
    output: Path | str | None = None,
    *,
    tables: Tables = (),
    resume: bool = False,
    seed: int | None = None,
    progress: Progress | None = None,
) -> TrainRecord:
    """Train what ``config`` says. Started by ``torchrun``, the processes train one run together.

    What is odd about the data, as files that aren't read or images that are there twice, is said on standard error.

    Args:
        config: what to train, or a YAML file that says it.
        output: the run folder; ``runs/`` and the file's name, or the learner's kind, when None.
        tables: that the supernet is to be searched with: refused before anything is trained where they don't fit.
        resume: go on with a run that was stopped, or begin it where there is none.
        seed: in place of the configuration's.
        progress: called after each update, in the first process.

    Raises:
        InputError: the configuration, or what it names, can't be read or makes no sense, or the output exists.
        MissingOpError: a table isn't of the space, at its resolution and with the data's classes.
        TrainingError: the loss or the gradient stopped being a finite number, or another process stopped.
    """
    if isinstance(config, TrainConfig):
        name = config.learner.kind
    else:
        name, config = Path(config).stem, read_config(Path(config))
    if seed is not None:
        config = config.model_copy(update={"seed": whole("seed", seed)})
    devices = open_budgeted(tables)

    def fits(space: Space) -> None:
        for each in devices:
            with of_file(each):
                LatencyPredictor(each.table, space)

    def check(learner: Learner) -> None:
        if isinstance(space := getattr(learner.module, "space", None), Space):  # of plug-ins it may have none
            fits(space)

    own, classifies = config.learner, config.task.kind == "classification"
    if devices and not resume and classifies and isinstance(own, SupernetConfig):
        classes = classes_of(config.data)  # before all of its images are decoded
        fits(get_space(own.space, own.resolution, len(classes) if classes else None))
    run = Path(output or Path("runs") / name)
    return run_training(config, run, resume=resume, progress=progress, tell=say, check=check)
