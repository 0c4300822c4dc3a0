"""A space priced through kernels: a `KernelTable` and a space -> a `LatencyTable` of the space's ops.

Ops aren't priced alone: a runtime lays out and fuses by what stands around. Some networks that together have every op
are taken apart by the runtime into its kernels, each kernel counts for the op whose node it computes first, and an op's
latency is its mean over the networks that it was seen in. What an op's neighbours change of it is so in the mean, and
in a calibration of sums of ops to the kernels of whole networks that the means don't come from. What is left is in the
interval.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

import numpy as np
import onnx

from hwnas.arrays import Archs
from hwnas.errors import MissingOpError, ModelError, SpaceError, counted
from hwnas.graph.graph import Graph, Op
from hwnas.prediction.calibrate import Networks, count_classes, fit
from hwnas.prediction.costs import LayerSum
from hwnas.prediction.kernels import KernelPredictor, ModelPrediction
from hwnas.profiling.plan import network_model
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.space.space import Space
from hwnas.tables.kernel_table import KernelTable
from hwnas.tables.protocol import Provenance
from hwnas.tables.table import Calibration, Latency, LatencyTable

_POOL = 1000
_SIGHTINGS = 2  # of each op in other networks, where there are
_CALIBRATING = 16
_LEAST_NETWORKS = 3
_LEAST_MS = 1e-6
"""Of an op that all runs inside of kernels of its neighbours."""


def covering(space: Space, sightings: int = 1, seed: int = 0) -> Archs:
    """Few archs, (N, L), in which together every op of a network of the space is, so often where archs allow it.

    Raises:
        SpaceError: the space has no transitions.
    """
    transitions = space.transitions()
    if transitions is None:
        raise SpaceError(f"{space.name} has no transitions: its ops can't be told apart from its networks")
    numbers = {op: number for number, op in enumerate(transitions.ops)}
    uniform = np.arange(int(space.num_choices.max()))[:, None] % space.num_choices
    pool = np.unique(np.concatenate([uniform, space.sample(_POOL, seed)]), axis=0)
    has = np.zeros((len(pool), len(numbers)), dtype=np.int64)
    for row, arch in enumerate(pool):
        has[row, [numbers[op] for _, op in transitions.network(arch)]] = 1
    wanted, taken = np.minimum(has.sum(axis=0), sightings), list[int]()
    while wanted.any():
        best = int((has @ (wanted > 0)).argmax())
        wanted -= np.minimum(has[best], wanted)
        has[best] = 0
        taken.append(best)
    return pool[taken]


def priced(table: KernelTable, space: Space, runtime: Runtime, *, progress: Progress | None = None) -> LatencyTable:
    """The ops of a space's networks, those that inherited weights need among them, at what their kernels take.

    Args:
        table: of the device.
        space: whose networks.
        runtime: that of the table, which is asked what it makes of some networks.
        progress: called while it is.

    Returns:
        A table without networks of its own; calibrated if ``table`` is. Its calibration's ``held_out_mape`` is of
        networks priced as a sum of ops, held against their own kernels.

    Raises:
        MissingOpError: nothing is known of a kernel; what measures it is told.
        ModelError: the runtime doesn't tell its kernels, or can't load a network.
    """
    whole, predictor = space.inheriting(), KernelPredictor(table)
    seen = covering(whole, _SIGHTINGS)
    others = _others(whole, seen)
    found_ms: dict[Op, list[float]] = defaultdict(list)
    predictions = []
    for number, arch in enumerate([*seen, *others], 1):
        graph = whole.graph(arch)
        predictions.append(_taken_apart(predictor, whole, arch, runtime))
        if number <= len(seen):
            for op, ms in _by_op(graph, predictions[-1]):
                found_ms[op].append(ms)
        if progress:
            progress("reading kernels", number, len(seen) + len(others), "")
    ops = {op: _latency(times_ms) for op, times_ms in found_ms.items()}
    transitions = whole.transitions()
    assert transitions is not None  # or there were no networks that cover them
    return LatencyTable(
        device=table.device,
        ops=ops,
        failed={op: "in none of the networks that were taken apart" for op in transitions.ops if op not in ops},
        space=space.plain().ref,
        calibration=_calibration(table, whole, others, ops, predictions[len(seen) :]),
        provenance=Provenance(
            file=f"{len(table.kernels)} kernels", sha256=sha256(table.to_text().encode()).hexdigest(),
            format="hwnas-kernel-table", unit="ms", note=f"ops priced through kernels in {len(seen)} networks",
        ),
    )  # fmt: skip


def _others(space: Space, seen: Archs) -> Archs:
    """Networks to calibrate on: not those that the ops' means come from, unless the space hasn't enough others."""
    drawn = np.unique(space.sample(4 * _CALIBRATING, 1), axis=0)
    drawn = np.random.default_rng(1).permutation(drawn)
    known = {tuple(arch) for arch in seen.tolist()}
    new = np.array([tuple(arch) not in known for arch in drawn.tolist()], dtype=bool)
    return np.concatenate([drawn[new], drawn[~new]])[: max(int(new.sum()), _LEAST_NETWORKS)][:_CALIBRATING]


def _taken_apart(predictor: KernelPredictor, space: Space, arch: Archs, runtime: Runtime) -> ModelPrediction:
    precision = predictor.table.device.precision
    network = onnx.load_from_string(network_model(space, arch.tolist()).data)
    for value in (*network.graph.input, *network.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del network.graph.value_info[:]
    name = f"{space.source}:{','.join(map(str, arch))}"
    try:
        model = runtime.prepare(network.SerializeToString(), precision)
        found = predictor(name, runtime.kernels(model, precision))
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None
    if found.unknown:
        first = found.unknown[0]
        raise MissingOpError(
            f"the table knows nothing of {counted(len(found.unknown), 'kernel')} of {name}, as {first.name} "
            f"({first.why_unknown}); hwnas profile {space.source} --with TABLE -o ANOTHER measures those of the space"
        )
    return found


def _by_op(graph: Graph, found: ModelPrediction) -> Iterator[tuple[Op, float]]:
    """What each op of a network takes. A launch that names none of its nodes, as a change of layout, is of the one
    before."""
    places = sorted((node.place for node in graph), key=len, reverse=True)
    took_ms = dict.fromkeys((node.place for node in graph), 0.0)
    here = graph.nodes[0].place
    for launch in found.launches:
        starts = {at: place for place in places if (at := _where(place, launch.name)) >= 0}
        here = starts[min(starts)] if starts else here
        took_ms[here] += launch.latency_ms
    yield from ((node.op, took_ms[node.place]) for node in graph)


def _where(place: str, name: str) -> int:
    """Where in a launch's name a node of a place is told; -1 where none is."""
    found = re.search(rf"(?<![\w.]){re.escape(place)}(?![a-zA-Z0-9])", name)
    return found.start() if found else -1


def _latency(times_ms: Sequence[float]) -> Latency:
    """The mean, and its spread from network to network."""
    middle = max(float(np.mean(times_ms)), _LEAST_MS)
    low, high = min(max(min(times_ms), _LEAST_MS), middle), max(*times_ms, middle)
    return Latency(p50_ms=middle, p10_ms=low, p90_ms=high, count=len(times_ms))


def _calibration(
    table: KernelTable, space: Space, archs: Archs, ops: Mapping[Op, Latency], found: Sequence[ModelPrediction]
) -> Calibration | None:
    """Of a sum of ops to a network's kernels, whose own interval comes on top of what that leaves."""
    if table.calibration is None or len(found) < _LEAST_NETWORKS:
        return None
    latency_ms = np.array([each.latency_ms for each in found])
    sums_ms = LayerSum(space, lambda op: ops[op].p50_ms if op in ops else np.nan)(archs)
    fitted = fit(Networks(sums_ms, count_classes(space, archs), latency_ms))
    half_ms = [(high - low) / 2 for low, high in (each.interval_ms or (0.0, 0.0) for each in found)]
    error_90 = np.hypot(fitted.error_90, np.max(np.array(half_ms) / latency_ms))
    return fitted.model_copy(update={"error_90": float(error_90)})
