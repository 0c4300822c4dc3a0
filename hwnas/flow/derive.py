"""`derive`: an arch and where its weights come from -> a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from hwnas.arguments import checked
from hwnas.data.augment import resize_px
from hwnas.data.load import preprocessing_of
from hwnas.errors import ArchError, ConfigError, CountError, HwnasError, ParityError
from hwnas.evaluation.accuracy import Evaluator, statistics_images
from hwnas.evaluation.answers import answers_of
from hwnas.files import refuse_existing
from hwnas.flow.open import open_budgeted
from hwnas.flow.predict import predicted_interval_ms
from hwnas.graph.count import count
from hwnas.graph.opaque import is_opaque
from hwnas.nn.inherit import inherit
from hwnas.nn.model_folder import save_model
from hwnas.nn.network import Network, traced_madds
from hwnas.nn.released import load_scarlet
from hwnas.nn.supernet import Supernet
from hwnas.progress import say
from hwnas.records.evaluation import EvaluationRecord
from hwnas.records.model import ModelInfo, OnDevice, Searched
from hwnas.records.search import SearchedTable, SearchRecord
from hwnas.records.train import Run, run_folder
from hwnas.space.arch import Arch, parse_arch
from hwnas.space.scarlet import released_archs
from hwnas.tables.table import LatencyTable
from hwnas.training.trained import TrainedSupernet, load_supernet, read_supernet_info

PARITY_TOLERANCE = 1e-3
"""Largest relative difference between a derived network and its path: float32 through tens of layers."""

_PARITY_IMAGES = 64
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@checked
def derive(
    arch: Arch | Path | str | None,
    run: Run | Supernet | None = None,
    *,
    checkpoint: Path | str | None = None,
    output: Path | str | None = None,
    resolution: int | None = None,
    classes: int | None = None,
    seed: int = 0,
) -> Network:
    """The standalone network of an arch, in eval mode; ``network.info`` is what is known of it.

    Args:
        arch: it, or what a person types for one (see :func:`hwnas.space.arch.parse_arch`). A file of a search's folder
            tells the search that found it. None, as the winner of a search that found none, is refused.
        run: training of a supernet, from which weights are inherited, with BN statistics of the arch's own; or a
            supernet, whose weights are taken as they are.
        checkpoint: official weights of a released arch instead. It holds neither its classes' names, which are indices
            here, nor its preprocessing, which is taken to be the usual one of ImageNet: shorter side to 8/7 of the
            resolution, centre crop, per-channel mean and deviation.
        output: the MODEL folder to make, if any.
        resolution: of the input in pixels, where ``arch`` doesn't say it; the run's or the space's own when None.
        classes: outputs of the classifier, likewise.
        seed: of random weights, where nothing else is given.

    Raises:
        ArchError: not an arch, or not one of the supernet's space or of the checkpoint's.
        CheckpointError: the run or the checkpoint can't be read, or doesn't fit.
        ConfigError: a run and a checkpoint.
        ParityError: the network doesn't compute what the supernet's path does.
        CountError: formula and fvcore disagree on its multiply-adds.
        OutputError: the output exists already or can't be written.
    """
    if arch is None:
        raise ArchError(
            "arch is None, as the winner is where a search found no arch within its budgets: raise a budget"
        )
    if run is not None and checkpoint is not None:
        raise ConfigError("give a supernet or a checkpoint, not both")
    if output is not None:
        refuse_existing(Path(output))
    known = None
    if run is not None:
        known = run.space.ref if isinstance(run, Supernet) else read_supernet_info(run_folder(run)).space
        resolution, classes = resolution or known.resolution, classes or known.classes
    found = arch if isinstance(arch, Arch) else parse_arch(str(arch), resolution, classes, known=known)
    if known and found.space.fingerprint != known.fingerprint:
        raise ArchError(
            f"the arch is of {found.space.name} at {found.space.resolution} px with {found.space.classes} classes, the "
            f"supernet of {known.name} at {known.resolution} px with {known.classes} classes"
        )
    answers = None
    if isinstance(run, Supernet):
        network = inherit(run, found)
    elif run is not None:
        network, answers = _from_run(
            found, run_folder(run), None if isinstance(arch, Arch) else _search_folder(str(arch))
        )
    elif checkpoint is not None:
        network = _released(found, Path(checkpoint))
    else:
        network = Network(found.space, found, seed=seed)
        network.info = ModelInfo.of_random(seed)
    network.eval()
    counted = count(network.graph).madds
    if not is_opaque(network.graph) and (traced := traced_madds(network)) != counted:  # fvcore knows no attention
        raise CountError(f"fvcore counts {traced:,} multiply-adds in the derived network, the formula {counted:,}")
    if output is not None:
        save_model(network, Path(output), answers)
    return network


def _from_run(arch: Arch, run: Path, search: Path | None) -> tuple[Network, EvaluationRecord]:
    trained = load_supernet(run)
    made_from, searched = _origin_of(search, arch, trained) if search else ({}, None)
    data = trained.data
    evaluator = Evaluator(trained.supernet, data)
    for doubt in statistics_images(data)[1]:
        say(doubt)
    network = evaluator.derive(arch)
    images = torch.from_numpy(data.test_images(_PARITY_IMAGES))
    expected = evaluator.logits(arch, images)
    with torch.inference_mode():
        logits = network.eval()(images)
    parity = float((logits - expected).abs().max() / expected.abs().max())
    if not parity <= PARITY_TOLERANCE:
        raise ParityError(f"the derived network differs from the supernet's path by {parity:.1e}, relative")
    answers = answers_of(network, data)
    network.info = ModelInfo(
        data=data.spec,
        labels=data.classes,
        preprocessing=data.preprocessing,
        accuracy={"inherited, test": answers.right / answers.images},
        accuracy_images={"inherited, test": answers.images},
        parity=parity,
        made_from={
            "supernet": run.resolve().name,
            "supernet_sha256": trained.sha256,
            "data_sha256": trained.info.data.sha256,
            **made_from,
        },
        searched=searched,
        corrupt_images=data.corrupt,
    )
    return network, answers


def _released(arch: Arch, checkpoint: Path) -> Network:
    names = {choices: name for name, choices in released_archs().items()}
    if arch.space.name != "scarlet-s2" or arch.choices not in names:
        raise ArchError(f"official checkpoints are of {', '.join(released_archs())}, not of {arch}")
    resolution, classes = arch.space.resolution, arch.space.classes
    network = load_scarlet(names[arch.choices], checkpoint, resolution=resolution)
    if classes != network.space.classes:
        raise ArchError(
            f"official checkpoints tell {network.space.classes} classes apart, not {classes}; train for those"
        )
    network.info = ModelInfo(
        labels=tuple(map(str, range(classes))),
        preprocessing=preprocessing_of(resolution, resize_px("crop", resolution), _IMAGENET_MEAN, _IMAGENET_STD),
        made_from={
            "checkpoint": checkpoint.name,
            "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        },
    )
    return network


def _search_folder(text: str) -> Path | None:
    """The folder, or that of the file, that a person named as an arch (``front.json:3``); None for other words."""
    if Path(text).is_dir():
        return Path(text)
    file = text if text.endswith(".json") else text.rpartition(":")[0]
    return Path(file).parent if file.endswith(".json") else None


def _origin_of(search: Path, arch: Arch, supernet: TrainedSupernet) -> tuple[dict[str, str], Searched | None]:
    """Of the search in a folder: names and SHA-256 of it and its tables, and what it asked for and predicted.

    Nothing where the folder holds no search, or one of another supernet, or one that didn't evaluate the arch.

    Raises:
        ModelError: ``search.json`` is malformed.
    """
    path = search / "search.json"
    if not path.is_file():
        return {}, None
    found = SearchRecord.read(path)
    index = found.index_of(arch)
    of_another = found.supernet is None or found.supernet.sha256 != supernet.sha256
    if found.supernet and of_another:
        say(f"{search} searched another supernet, {found.supernet.run}: what it says of the arch isn't of this one")
    if of_another or index is None:
        return {}, None
    made_from = {"search": path.parent.resolve().name, "search_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    devices = []
    for number, searched in enumerate(found.tables):
        key = f"table_{number + 1}" if number else "table"
        made_from |= {key: _file(searched), f"{key}_sha256": searched.sha256}
        devices.append(_on_device(found, number, index, arch))
    return made_from, Searched(
        strategy=found.strategy, evaluations=found.evaluations, seed=found.seed, devices=tuple(devices)
    )


def _table_of(searched: SearchedTable) -> LatencyTable | None:
    """The table that was searched with; None where it was moved, or isn't the same any more."""
    if searched.path is None:
        return None
    try:
        (there,) = open_budgeted([searched.path])
    except HwnasError:
        return None
    return there.table if there.sha256 == searched.sha256 else None


def _on_device(found: SearchRecord, number: int, index: int, arch: Arch) -> OnDevice:
    searched, column = found.tables[number], found.latency_column(number)
    assert column is not None  # each table predicts a median
    point = found.measured_point(number, index)
    low_ms = high_ms = None
    if table := _table_of(searched):
        _, low_ms, high_ms = predicted_interval_ms(table, found.get_space(), arch.choices)
    return OnDevice(
        table=_file(searched), device=searched.device, budget_ms=searched.budget_ms,
        predicted_ms=float(found.values[index, column]), low_ms=low_ms, high_ms=high_ms,
        measured_ms=point.measured_ms if point else None,
    )  # fmt: skip


def _file(searched: SearchedTable) -> str:
    return searched.path.name if searched.path else searched.name
