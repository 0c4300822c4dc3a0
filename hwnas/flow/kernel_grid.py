"""``profile --kernels``: a device is measured once, so that models can be priced that nobody has seen yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from hwnas.arguments import checked
from hwnas.errors import ConfigError, ModelError
from hwnas.files import refuse_existing
from hwnas.flow.carry_out import SEVERAL, profile_at
from hwnas.flow.jobs import ModelsJob
from hwnas.flow.kernels import models_job
from hwnas.flow.open import KernelTableLike
from hwnas.graph.kernel import Kernel
from hwnas.graph.kernel_cost import madds_or_zero
from hwnas.onnx.model import OnnxModel
from hwnas.onnx.typical.networks import typical_network
from hwnas.prediction.design import i_optimal
from hwnas.prediction.kernel_calibration import LEAST_MODELS
from hwnas.prediction.kernel_grid import kernel_grid, rough_ms
from hwnas.profiling.kernels import prepare
from hwnas.profiling.transports import Remote
from hwnas.progress import Progress, Tell, silent
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.kernel_table import KernelTable

_A_NETWORK = 5
"""So many kernels are chosen for each network that is drawn; it has some 50."""
_NETWORKS = 8
"""That are measured as a whole: they calibrate the sum of kernels."""


@dataclass(frozen=True)
class KernelGrid:
    """What a device is to be profiled with.

    Attributes:
        networks: to be measured as a whole, and each of their kernels.
        kernels: to be measured beside these.
    """

    networks: tuple[OnnxModel, ...]
    kernels: tuple[Kernel, ...]


@checked
def profile_kernels(
    count: int = 600,
    *,
    runtime: str = "onnxruntime",
    options: Mapping[str, str] | None = None,
    threads: int = 1,
    precision: str = "fp32",
    known: KernelTableLike | Sequence[KernelTableLike] | None = None,
    confidence: float = 0.02,
    seconds: float = 60.0,
    seed: int = 0,
    on: Annotated[Remote | str | None, SEVERAL] = None,
    output: Path | str | None = None,
    progress: Progress | None = None,
    tell: Tell = silent,
) -> KernelTable:
    """Measure kernels such as networks of many families have, chosen so that any network is predicted well.

    Args:
        count: of kernels, those of the networks for the calibration included; a fifth as many networks are drawn for
            them to be chosen of.
        runtime: what runs them, and tells what it makes of typical networks.
        options: of the runtime.
        threads: of one inference.
        precision: of the arithmetic, as the runtime has it.
        known: tables of the device; what they have isn't measured again, and goes into the new one.
        confidence: know each median to ± this share (95 %).
        seconds: end after so many, known or not; choosing comes first and takes about as long.
        seed: of everything random; which networks are drawn, and so which kernels.
        on: another machine, ``ssh://[user@]host[:port]`` or ``adb://SERIAL``; this one if not given.
        output: a file to write the table to.
        progress: called while it works.
        tell: is told what another machine says.

    Raises:
        ModelError: the runtime can run none of the networks, or doesn't tell its kernels.
        TableError, ConfigError, RuntimeMissingError, OutputError, DeviceError: as
            :func:`hwnas.flow.kernels.profile_models`.
    """
    path = Path(output) if output is not None else None
    if path:
        refuse_existing(path)
    job = kernels_job(
        count, runtime=runtime, options=options, threads=threads, precision=precision, known=known,
        confidence=confidence, seconds=seconds, seed=seed, progress=progress,
    )  # fmt: skip
    return profile_at(job, on, path, progress=progress, tell=tell)


@checked
def kernels_job(
    count: int = 600,
    *,
    runtime: str = "onnxruntime",
    options: Mapping[str, str] | None = None,
    threads: int = 1,
    precision: str = "fp32",
    known: KernelTableLike | Sequence[KernelTableLike] | None = None,
    confidence: float = 0.02,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> ModelsJob:
    """What :func:`profile_kernels` measures, for :mod:`hwnas.flow.carry_out` and for kits; given in the same words.

    Raises:
        ModelError, TableError, ConfigError, RuntimeMissingError: as there.
    """
    grid = design_kernels(get_runtime(runtime, options), precision, count, seed, progress)
    job = models_job(
        list(grid.networks), runtime=runtime, options=options, threads=threads, precision=precision, known=known,
        confidence=confidence, seconds=seconds, seed=seed,
    )  # fmt: skip
    return replace(job, kernels=grid.kernels)


def design_kernels(
    runtime: Runtime,
    precision: str = "fp32",
    count: int = 600,
    seed: int = 0,
    progress: Progress | None = None,
) -> KernelGrid:
    """Choose ``count`` kernels of what ``runtime`` makes of typical networks; see `profile_kernels`.

    Raises:
        ModelError: it can run none of them, or doesn't tell its kernels.
        ConfigError: fewer than 1 are asked for.
    """
    if count < 1:
        raise ConfigError(f"count must be at least 1, got {count}")
    candidates = -(-count // _A_NETWORK)
    found: dict[int, list[Kernel]] = {}
    whole: list[int] = []
    why = None
    for number in range(candidates):
        model = typical_network(number, seed)
        try:
            (prepared,) = prepare([model], runtime, precision)
        except ModelError as error:  # a runtime needn't have each operator, as those of phones don't
            why = error
            continue
        found[number] = [launch.kernel for launch in prepared.launches if launch.kernel]
        if len(found[number]) == len(prepared.launches):
            whole.append(number)
        if progress:
            progress("reading typical networks", number + 1, candidates, model.name)
    if not whole:
        raise why or ModelError(f"{runtime.name} tells of no network all kernels")
    networks = [whole[place] for place in _to_calibrate_with([found[number] for number in whole])]
    taken = {kernel.key: kernel for number in networks for kernel in found[number]}
    kernels = kernel_grid(list(found.values()), count - len(taken), tuple(taken.values()))
    return KernelGrid(tuple(typical_network(number, seed) for number in networks), kernels)


def _to_calibrate_with(networks: Sequence[Sequence[Kernel]]) -> list[int]:
    """Places of those that pin down how the sum of kernels relates to a whole network, of the half with fewer kernels.

    All kernels of a network have to be measured for that, and what is left is for those that say more.
    """
    half = max(-(-len(networks) // 2), LEAST_MODELS)
    small = np.argsort([len(set(each)) for each in networks], kind="stable")[:half]
    parts = [networks[place] for place in small]
    computing = [sum(bool(madds_or_zero(kernel)) for kernel in each) for each in parts]
    rows = [(sum(map(rough_ms, each)), len(each), count, 1) for each, count in zip(parts, computing, strict=True)]
    terms = np.array(rows, float)
    return [int(small[place]) for place in i_optimal(terms / terms[:, :1], _NETWORKS)]
