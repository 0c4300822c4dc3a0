"""`rank`: how well supernets order archs, held against the accuracy of archs trained by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from hwnas.arguments import checked
from hwnas.arrays import Archs, Values
from hwnas.data.load import Data
from hwnas.errors import CheckpointError, ConfigError, DataError, whole
from hwnas.evaluation.accuracy import RECALIBRATION_IMAGES, Evaluator, statistics_images
from hwnas.evaluation.metrics import Tally
from hwnas.files import refuse_existing, write_atomic
from hwnas.progress import Progress, say
from hwnas.ranking.compare import LEAST_ARCHS, Evidence, additive_fit, baselines, compare
from hwnas.ranking.standalone import train_standalone
from hwnas.ranking.truth import Truth, read_truth, same_choices, to_csv
from hwnas.records.rank import RankRecord
from hwnas.records.train import Run, run_folders
from hwnas.reporting.ranking import render_ranking
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.training.config import TrainConfig, read_config
from hwnas.training.trained import TrainedSupernet, load_supernet

ARCHS = 200
"""Drawn from the truth where nobody says how many."""

IMAGES = 5000
"""Of the validation part, at most, where nobody says how many."""


@checked
def rank(
    runs: Run | Sequence[Run],
    *,
    truth: Path | str | None = None,
    standalone: int | None = None,
    archs: int | None = None,
    images: int = IMAGES,
    recalibration_images: int = RECALIBRATION_IMAGES,
    config: TrainConfig | Path | str | None = None,
    work: Path | str | None = None,
    output: Path | str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RankRecord:
    """Compare inherited accuracies with true ones. What a supernet said of each arch is left in ``RUN/rank.csv``.

    Another ranking's rows that stand there are kept as ``rank-1.csv`` and so on, which is said.

    Args:
        runs: trainings of supernets of one space.
        truth: a file of true accuracies; see :mod:`hwnas.ranking.truth`.
        standalone: train so many random archs from scratch instead, and compare with these.
        archs: to draw from the truth; 200, or all of fewer, when None.
        images: of the validation part, to evaluate on; at most.
        recalibration_images: of the train part, for an arch's BN.
        config: of the stand-alone trainings; as the first run was trained when None.
        work: where stand-alone trainings are kept and resumed; ``RUN/rank`` of the first run when None.
        output: an HTML page to write.
        seed: of archs drawn and of intervals.
        progress: called with each update of a training and each evaluated arch.

    Raises:
        InputError: options that don't go together, runs of several spaces, a truth that can't be read or has too few
            archs, a supernet that gives no finite loss, or an output that exists.
        TrainingError: a stand-alone training failed.
    """
    folders, seed = run_folders(runs), whole("seed", seed)
    images, recalibration_images = whole("images", images, 1), whole("recalibration_images", recalibration_images, 1)
    if standalone is not None:
        whole("standalone", standalone, 10)
    if (truth is None) == (standalone is None):
        raise ConfigError("give either --truth FILE, or --standalone N to train N archs from scratch")
    if truth is None and archs is not None:
        raise ConfigError("--archs draws from a --truth; --standalone N says already how many archs there are")
    if truth is not None and (config or work):
        raise ConfigError(f"{'--config' if config else '--work'} is of --standalone; a --truth needs no training")
    if len({run.resolve() for run in folders}) < len(folders):
        raise ConfigError("the same RUN is given twice; give each once")
    if output:
        refuse_existing(Path(output))
    supernets = {str(run): load_supernet(run) for run in folders}
    space = _common_space(supernets)
    data = _data_of(supernets)  # what is wrong with it is told before training
    taken = [_images_taken(name, each, images, recalibration_images) for name, each in data.items()]
    truth_images = None if truth or config else len(data[str(folders[0])].test.labels)
    if truth is None:
        assert standalone is not None
        work = Path(work or folders[0] / "rank")
        truth = train_standalone(
            _standalone_config(config, folders[0]), space, standalone, work, seed=seed, progress=progress
        )
    known = read_truth(Path(truth), space)
    chosen = _sample(known, Path(truth), standalone or archs, seed)
    said = {}
    for name, trained in supernets.items():
        evaluator = Evaluator(
            trained.supernet, data[name], recalibration_images=recalibration_images, evaluation_images=images
        )
        said[name] = _inherited(name, evaluator, chosen.archs, len(data[name].classes), progress)
    evidence = Evidence(
        archs=chosen.archs,
        truth=chosen.accuracies,
        supernets={name: accuracies for name, (accuracies, _) in said.items()},
        baselines=baselines(space, chosen.archs),
    )
    scores = {name: -losses for name, (_, losses) in said.items()}
    smoothed = {name: additive_fit(space, chosen.archs, values) for name, values in scores.items()}
    found = RankRecord(
        runs=tuple(folders),
        space=space.ref,
        by_accuracy=compare(evidence, seed),
        by_loss=compare(replace(evidence, supernets=scores), seed),
        by_loss_additive=compare(replace(evidence, supernets=smoothed), seed),
        truth=Path(truth),
        truth_archs=len(known.archs),
        truth_trainings=known.accuracies.shape[1],
        truth_images=truth_images,
        images=max(evaluated for evaluated, _ in taken),
        recalibration_images=max(recalibrated for _, recalibrated in taken),
        seed=seed,
    )
    for name, trained in supernets.items():
        _write_rows(Path(name) / "rank.csv", _rows(evidence, said[name][1], name, trained.supernet.space))
    if output:
        write_atomic(Path(output), render_ranking(found, evidence))
    return found


def _write_rows(path: Path, rows: str) -> None:
    """Write them, and keep what another ranking left there."""
    if path.exists() and path.read_bytes() != rows.encode():
        aside = next(each for n in count(1) if not (each := path.with_name(f"{path.stem}-{n}{path.suffix}")).exists())
        path.rename(aside)
        say(f"{path}: the rows of an earlier ranking are kept as {aside.name}")
    write_atomic(path, rows)


def _common_space(supernets: Mapping[str, TrainedSupernet]) -> ChainSpace:
    for name, trained in supernets.items():
        if trained.info.task != "classification":
            raise ConfigError(f"{name} learnt {trained.info.task}; rank compares classifiers")
    (first, one), *others = supernets.items()
    for name, other in others:
        if not same_choices(one.supernet.space, other.supernet.space):
            spaces = one.supernet.space.name, other.supernet.space.name
            raise ConfigError(f"{first} is of {spaces[0]} and {name} of {spaces[1]}; rank supernets of one space")
    return one.supernet.space


def _data_of(supernets: Mapping[str, TrainedSupernet]) -> dict[str, Data]:
    """The data set of each, loaded once where they have the same."""
    keys = {name: f"{trained.info.space.resolution} {trained.info.data}" for name, trained in supernets.items()}
    holders = {key: supernets[name] for name, key in keys.items()}
    return {name: holders[key].data for name, key in keys.items()}


def _images_taken(name: str, data: Data, images: int, recalibration_images: int) -> tuple[int, int]:
    """How many images a run's archs are evaluated on, and BN statistics come from; what is odd about it is said."""
    taken, doubts = statistics_images(data, recalibration_images)
    there = len(data.validation.labels)
    if IMAGES != images > there:
        doubts.append(f"archs are evaluated on {there:,} images, not {images:,}: the validation part has no more")
    for doubt in doubts:
        say(f"{name}: {doubt}")
    return min(images, there), taken


def _standalone_config(config: TrainConfig | Path | str | None, run: Path) -> TrainConfig:
    """How to train each arch by itself: ``config``, or as ``run`` was trained."""
    found = config if isinstance(config, TrainConfig) else read_config(Path(config or run / "config.yaml"))
    if found.learner.kind != "supernet":
        raise ConfigError(f"{config}: the learner is filled in for each arch; leave it out")
    return found


def _sample(known: Truth, path: Path, archs: int | None, seed: int) -> Truth:
    wanted, there = archs or min(ARCHS, len(known.archs)), len(known.archs)
    if there < LEAST_ARCHS:
        raise DataError(f"{path} has {there} archs; a ranking takes {LEAST_ARCHS} or more")
    if there < wanted:
        raise DataError(f"{path} has {there} archs, {wanted - there} fewer than the {wanted} asked; lower --archs")
    return known.sample(wanted, seed)


def _inherited(
    name: str, evaluator: Evaluator, archs: Archs, classes: int, progress: Progress | None
) -> tuple[Values, Values]:
    """Accuracies and cross-entropies (N,) that archs inherit from one supernet."""

    def tell(what: str, done: int, total: int, note: str) -> None:
        if progress is not None:
            progress(f"evaluating {name}", done, total, note)

    found = evaluator.metrics(archs, partial(Tally, classes, 1), tell)
    losses = np.array([metrics["loss"] for metrics in found])
    if not np.isfinite(losses).all():
        raise CheckpointError(f"{name} gives {int((~np.isfinite(losses)).sum())} archs no finite loss; train anew")
    return np.array([metrics["top1"] for metrics in found]), losses


def _rows(evidence: Evidence, losses: Values, name: str, space: ChainSpace) -> str:
    """CSV, arch by arch: what the supernet said, and what is true."""
    names = list(evidence.baselines)
    said = evidence.supernets[name], losses
    columns = zip(*said, evidence.accuracy, *(evidence.baselines[n] for n in names), strict=True)
    rows = [
        [str(Arch(space, tuple(arch))), float(inherited), float(loss), float(true), *map(int, sizes)]
        for arch, (inherited, loss, true, *sizes) in zip(evidence.archs.tolist(), columns, strict=True)
    ]
    return to_csv(["arch", "inherited_accuracy", "inherited_loss", "true_accuracy", *names], rows)
