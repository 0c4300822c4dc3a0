"""`derive`: an arch and where its weights come from -> a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from hwnas.data.augment import resize_px
from hwnas.data.load import preprocessing_of
from hwnas.errors import ArchError, ConfigError, CountError, ParityError
from hwnas.evaluation.accuracy import Evaluator, accuracy
from hwnas.files import refuse_existing
from hwnas.flow.origin import origin_of, search_folder
from hwnas.graph.count import count
from hwnas.nn.inherit import inherit
from hwnas.nn.model_folder import save_model
from hwnas.nn.network import Network, traced_madds
from hwnas.nn.released import load_scarlet
from hwnas.nn.supernet import Supernet
from hwnas.records.model import ModelInfo
from hwnas.records.train import Run, run_folder
from hwnas.space.arch import Arch, parse_arch
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import SpaceRef
from hwnas.space.scarlet import released_archs
from hwnas.training.trained import load_supernet, read_supernet_info

PARITY_TOLERANCE = 1e-3
"""Largest relative difference between a derived network and its path: float32 through tens of layers."""

_PARITY_IMAGES = 64
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def derive(
    arch: Arch | Path | str,
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
            tells the search that found it.
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
    if run is not None and checkpoint is not None:
        raise ConfigError("give a supernet or a checkpoint, not both")
    if output is not None:
        refuse_existing(Path(output))
    if isinstance(run, Supernet):
        found = _parsed(arch, resolution or run.space.resolution, classes or run.space.classes, run.space.ref)
        _check_space(found, run.space)
        network = inherit(run, found)
    elif run is not None:
        space = read_supernet_info(run_folder(run)).space
        found = _parsed(arch, resolution or space.resolution, classes or space.classes, space)
        network = _from_run(found, run_folder(run), None if isinstance(arch, Arch) else search_folder(str(arch)))
    elif checkpoint is not None:
        network = _released(_parsed(arch, resolution, classes), Path(checkpoint))
    else:
        found = _parsed(arch, resolution, classes)
        network = Network(found.space, found, seed=seed)
        network.info = ModelInfo.of_random(seed)
    network.eval()
    counted, traced = count(network.graph).madds, traced_madds(network)
    if traced != counted:
        raise CountError(f"fvcore counts {traced:,} multiply-adds in the derived network, the formula {counted:,}")
    if output is not None:
        save_model(network, Path(output))
    return network


def _parsed(
    arch: Arch | Path | str, resolution: int | None, classes: int | None, known: SpaceRef | None = None
) -> Arch:
    return arch if isinstance(arch, Arch) else parse_arch(str(arch), resolution, classes, known=known)


def _check_space(arch: Arch, theirs: ChainSpace) -> None:
    ours = arch.space
    if ours.fingerprint != theirs.fingerprint:
        raise ArchError(
            f"the arch is of {ours.name} at {ours.resolution} px with {ours.classes} classes, the supernet of "
            f"{theirs.name} at {theirs.resolution} px with {theirs.classes} classes"
        )


def _from_run(arch: Arch, run: Path, search: Path | None) -> Network:
    trained = load_supernet(run)
    _check_space(arch, trained.supernet.space)
    origin = origin_of(search, arch, trained) if search else None
    data = trained.data
    evaluator = Evaluator(trained.supernet, data)
    network = evaluator.derive(arch)
    images = torch.from_numpy(data.test_images(_PARITY_IMAGES))
    expected = evaluator.logits(arch, images)
    with torch.inference_mode():
        logits = network.eval()(images)
    parity = float((logits - expected).abs().max() / expected.abs().max())
    if not parity <= PARITY_TOLERANCE:
        raise ParityError(f"the derived network differs from the supernet's path by {parity:.1e}, relative")
    network.info = ModelInfo(
        data=data.spec,
        labels=data.classes,
        preprocessing=data.preprocessing,
        accuracy={"inherited, test": accuracy(network, data, data.test)},
        parity=parity,
        made_from={
            "supernet": run.resolve().name,
            "supernet_sha256": trained.sha256,
            "data_sha256": trained.info.data.sha256,
            **(origin.made_from if origin else {}),
        },
        searched=origin.searched if origin else None,
    )
    return network


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
