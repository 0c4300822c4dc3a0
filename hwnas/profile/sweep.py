"""A space -> its `LatencyTable` on this machine: every distinct Op, and some whole networks, in the same rounds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np

from hwnas import __version__
from hwnas.profile.measure import Effort, Model, Progress, measure_models
from hwnas.runtimes.base import Runtime
from hwnas.space.op import Op
from hwnas.space.space import Space
from hwnas.tables.device import this_device
from hwnas.tables.table import LatencyTable, MeasuredNetwork, Protocol, SpaceOfTable


def profile_space(
    space: Space,
    runtime: Runtime,
    *,
    threads: int = 1,
    precision: str = "fp32",
    networks: int = 20,
    seed: int = 0,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> LatencyTable:
    """Measure at batch 1 every Op that a network of ``space`` may contain, and ``networks`` random whole networks.

    The networks say how a sum of ops relates to a whole network; see ``hwnas.predict.calibrate``.

    Raises:
        ConfigError: more threads than processors, or fewer than one.
        ModelError: the runtime can't run an Op.
    """
    effort = effort or Effort()
    rng = np.random.default_rng(seed)
    started, begin = datetime.now(UTC), time.monotonic()
    archs = [tuple(map(int, arch)) for arch in np.unique(space.sample(networks, rng), axis=0)]
    of_ops, of_archs = op_models(space.distinct_ops, progress), network_models(space, archs, progress)
    models: dict[Op | tuple[int, ...], Model] = dict([*of_ops.items(), *of_archs.items()])
    measured = measure_models(
        models, runtime, threads=threads, precision=precision, rng=rng, effort=effort, progress=progress
    )
    latency = measured.latency
    return LatencyTable(
        device=this_device(
            runtime=runtime.name, runtime_version=runtime.version(), precision=precision, threads=threads, batch=1
        ),
        space=SpaceOfTable.of(space),
        protocol=Protocol(
            rounds=next(iter(latency.values())).count // effort.runs_per_round,
            runs_per_round=effort.runs_per_round,
            warmup_runs=effort.warmup_runs,
            unsteadiness_90=round(measured.unsteadiness_90, 4),
            seconds=round(time.monotonic() - begin, 1),
            seed=seed,
            started=started.isoformat(timespec="seconds"),
            hwnas=__version__,
        ),
        ops={op: latency[op] for op in space.distinct_ops},
        networks=tuple(MeasuredNetwork(choices=arch, **latency[arch].model_dump()) for arch in archs),
    )


def op_models(ops: Iterable[Op], progress: Progress | None = None) -> dict[Op, Model]:
    """Each Op alone as an ONNX model with random weights: latency doesn't depend on the weights' values."""
    import torch

    from hwnas.nn.blocks import build, initialize
    from hwnas.nn.to_onnx import to_onnx

    ops = list(ops)
    models = {}
    for index, op in enumerate(ops):
        with torch.device("meta"):
            block = build(op)
        block = block.to_empty(device="cpu").eval()
        initialize(block, torch.Generator().manual_seed(0))
        shape = (op.c_in, op.h_in, op.w_in)
        models[op] = Model(to_onnx(block, shape), shape)
        if progress:
            progress("writing ops", index + 1, len(ops))
    return models


def network_models(
    space: Space, archs: Iterable[tuple[int, ...]], progress: Progress | None = None
) -> dict[tuple[int, ...], Model]:
    """Each arch's network as an ONNX model with random weights."""
    from hwnas.nn.derive import Network
    from hwnas.nn.to_onnx import to_onnx

    archs = list(archs)
    shape = (space.stem.c_in, space.resolution, space.resolution)
    models = {}
    for index, arch in enumerate(archs):
        models[arch] = Model(to_onnx(Network(space, arch).eval(), shape), shape)
        if progress:
            progress("writing networks", index + 1, len(archs))
    return models
