"""An arch and where its weights come from -> a MODEL folder: what ``derive`` and ``demo`` both do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from hwnas.data.augment import resize_px
from hwnas.data.load import preprocessing_of
from hwnas.errors import ArchError, CountError, ParityError
from hwnas.evaluation.accuracy import Evaluator, accuracy
from hwnas.files import refuse_existing
from hwnas.flow.origin import origin_of
from hwnas.graph.count import Count, count
from hwnas.nn.checkpoints import load_scarlet
from hwnas.nn.fvcore_count import fvcore_madds
from hwnas.nn.model_folder import ModelInfo, random_info, save_model
from hwnas.nn.network import Network
from hwnas.space.arch import Arch
from hwnas.space.scarlet import released_archs
from hwnas.training.trained import load_supernet

PARITY_TOLERANCE = 1e-3
"""Largest relative difference between a derived network and its path: float32 through tens of layers."""

_PARITY_IMAGES = 64
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What a derivation gave.

    Attributes:
        parity: largest difference of a logit to the supernet's path, relative; None without a supernet.
    """

    network: Network
    counted: Count
    info: ModelInfo
    parity: float | None


def derive_from_supernet(arch: Arch, run: Path, output: Path, search: Path | None = None) -> Derived:
    """The arch with the weights it inherits from a trained supernet, BN statistics its own; written to ``output``.

    Args:
        arch: of the supernet's space.
        run: folder of the supernet's training.
        output: the MODEL folder to make.
        search: folder of the search that found the arch, if it was one.

    Raises:
        ArchError: the arch isn't of the supernet's space.
        ParityError: the network doesn't compute what the supernet's path does.
        CountError: formula and fvcore disagree on its multiply-adds.
        OutputError: the output exists already or can't be written.
    """
    refuse_existing(output)
    trained = load_supernet(run)
    if arch.space.fingerprint != trained.supernet.space.fingerprint:
        ours, theirs = arch.space, trained.supernet.space
        raise ArchError(
            f"the arch is of {ours.name} at {ours.resolution} px with {ours.classes} classes, the supernet of "
            f"{theirs.name} at {theirs.resolution} px with {theirs.classes} classes"
        )
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
    info = ModelInfo(
        data=data.spec,
        labels=data.classes,
        preprocessing=data.preprocessing,
        accuracy={"inherited, test": accuracy(network, data, data.test)},
        made_from={
            "supernet": run.resolve().name,
            "supernet_sha256": trained.sha256,
            "data_sha256": trained.info.data.sha256,
            **(origin.made_from if origin else {}),
        },
        searched=origin.searched if origin else None,
    )
    return _saved(network, info, output, parity)


def derive_released(arch: Arch, checkpoint: Path | None, output: Path, seed: int) -> Derived:
    """A network with an official checkpoint's weights, or with random ones of ``seed``, written to ``output``.

    A checkpoint holds neither its classes' names, which are indices here, nor its preprocessing, which is taken to be
    the usual one of ImageNet: shorter side to 8/7 of the resolution, centre crop, per-channel mean and deviation.

    Raises:
        ArchError: a checkpoint is given, and the arch isn't a released one, or has other classes.
        CheckpointError: the checkpoint doesn't fit.
        CountError, OutputError: see :func:`derive_from_supernet`.
    """
    refuse_existing(output)
    if checkpoint is None:
        return _saved(Network(arch.space, arch, seed=seed).eval(), random_info(seed), output, None)
    names = {choices: name for name, choices in released_archs().items()}
    if arch.space.name != "scarlet-s2" or arch.choices not in names:
        raise ArchError(f"official checkpoints are of {', '.join(released_archs())}, not of {arch}")
    resolution, classes = arch.space.resolution, arch.space.classes
    network = load_scarlet(names[arch.choices], checkpoint, resolution=resolution)
    if classes != network.space.classes:
        raise ArchError(
            f"official checkpoints tell {network.space.classes} classes apart, not {classes}; train for those"
        )
    info = ModelInfo(
        labels=tuple(map(str, range(classes))),
        preprocessing=preprocessing_of(resolution, resize_px("crop", resolution), _IMAGENET_MEAN, _IMAGENET_STD),
        made_from={
            "checkpoint": checkpoint.name,
            "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        },
    )
    return _saved(network, info, output, None)


def _saved(network: Network, info: ModelInfo, output: Path, parity: float | None) -> Derived:
    counted = count(network.graph)
    traced = fvcore_madds(network)
    if traced != counted.madds:
        raise CountError(
            f"fvcore counts {traced:,} multiply-adds in the derived network, the formula {counted.madds:,}"
        )
    save_model(network, output, info, madds=counted.madds, params=counted.params)
    return Derived(network=network, counted=counted, info=info, parity=parity)
