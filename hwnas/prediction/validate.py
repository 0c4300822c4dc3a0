"""Predicted against measured: networks that no fit has seen, each measured twice in the same interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.brief import Brief
from hwnas.errors import ModelError, TableError
from hwnas.prediction.calibrate import Networks, fit
from hwnas.prediction.costs import madds
from hwnas.prediction.diff import compare_latencies
from hwnas.prediction.latency import LatencyPredictor
from hwnas.profiling.local import measure_models
from hwnas.profiling.plan import network_model, prepared, reader
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.space.space import Space
from hwnas.tables.table import LatencyTable


@dataclass(frozen=True)
class ValidatedNetwork:
    """A network's choices, and in ms what was predicted for it and what both its measurements gave."""

    choices: tuple[int, ...]
    predicted_ms: float
    measured_ms: float
    measured_again_ms: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Validation(Brief):
    """How well a table predicts networks that its calibration has never seen.

    Attributes:
        mape: mean absolute error of the prediction, relative to the measurement (the mean of both).
        within_5, within_10: share of networks predicted within ±5 % and ±10 %.
        coverage_90: share of single measurements (two a network) in the interval that should hold 90 % of such.
        spearman, kendall: rank correlation of predicted and measured; None where all are alike.
        retest_mape: mean absolute difference of the two measurements of one network.
        madds_mape, madds_spearman: the same for multiply-adds, calibrated to fit these very networks best.
        drift: how much longer the table's own networks take now (median ratio); None for networks that were measured
            in the table's own rounds.
    """

    mape: float
    within_5: float
    within_10: float
    coverage_90: float | None
    spearman: float | None
    kendall: float | None
    retest_mape: float
    madds_mape: float
    madds_spearman: float | None
    drift: float | None
    networks: tuple[ValidatedNetwork, ...]


def validate_held_out(table: LatencyTable, space: Space) -> Validation:
    """Compare with the networks that were measured beside the table's ops and kept out of its calibration.

    Raises:
        TableError: the table holds fewer than 5 of them.
        MissingOpError: the table isn't of this space.
    """
    if len(table.held_out) < 5:
        raise TableError(
            f"it holds {len(table.held_out)} networks to validate with, 5 are needed; make a table with more by "
            "hwnas profile --held-out 20, or leave --held-out out to measure some now"
        )
    archs = np.array([first.choices for first, _ in table.held_out])
    first_ms, again_ms = (np.array([pair[copy].p50_ms for pair in table.held_out]) for copy in (0, 1))
    return compare(LatencyPredictor(table, space), archs, first_ms, again_ms, drift=None)


def validate(
    table: LatencyTable,
    space: Space,
    runtime: Runtime,
    *,
    networks: int,
    seed: int,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Measure ``networks`` random networks that aren't in the table on this machine, and compare.

    Raises:
        TableError: the space hasn't as many networks that the table doesn't know.
        MissingOpError: the table isn't of this space.
        ModelError: the runtime can't run a network.
    """
    predictor = LatencyPredictor(table, space)
    rng = np.random.default_rng(seed)
    known = [n.choices for n in (*table.networks, *table.added)]
    archs = [tuple(arch) for arch in draw_unknown(space, networks, rng, known).tolist()]
    conditions, own = table.device.conditions, table.references
    models: dict[tuple[tuple[int, ...], int], Callable[[], Model]] = {}
    for index, arch in enumerate(wanted := [*archs, *own]):
        read = reader(prepared(network_model(space, arch, conditions.batch), runtime, conditions.precision))
        models |= {(arch, copy): read for copy in ((0, 1) if arch in archs else (0,))}
        if progress:
            progress("writing models", index + 1, len(wanted), "")
    measured = measure_models(models, runtime, conditions, rng=rng, effort=effort, progress=progress)
    if measured.failed:
        raise ModelError(next(iter(measured.failed.values())))
    latency = measured.latency
    first_ms, again_ms = (np.array([latency[arch, copy].p50_ms for arch in archs]) for copy in (0, 1))
    drift = table.drift({arch: latency[arch, 0].p50_ms for arch in own})
    return compare(predictor, np.array(archs), first_ms, again_ms, drift.ratio if drift else None)


def draw_unknown(space: Space, count: int, rng: np.random.Generator, known: Collection[tuple[int, ...]]) -> Archs:
    """``count`` different random archs (count, L) that aren't among ``known``.

    Raises:
        TableError: the space hasn't as many.
    """
    if space.size < count + len(known):
        raise TableError(f"{space.name} has {space.size} archs, too few to draw {count} that the table doesn't know")
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < count:
        drawn |= {arch: None for arch in map(tuple, space.sample(count, rng).tolist()) if arch not in known}
    return np.array(list(drawn)[:count], dtype=np.int64).reshape(count, space.num_layers)


def compare(
    predictor: LatencyPredictor, archs: Archs, first_ms: Values, again_ms: Values, drift: float | None
) -> Validation:
    """Predictions for archs (N, L) against two measurements of each, both (N,)."""
    measured_ms = (first_ms + again_ms) / 2
    predicted_ms = predictor(archs)
    coverage_90 = None
    if interval := predictor.interval(archs):
        coverage_90 = float(np.mean([(interval[0] <= ms) & (ms <= interval[1]) for ms in (first_ms, again_ms)]))
    counted = madds(predictor.space)(archs)
    by_madds = fit(Networks(counted, {}, measured_ms))
    error = np.abs(predicted_ms / measured_ms - 1)
    ranked = compare_latencies(predicted_ms, measured_ms)
    return Validation(
        mape=float(error.mean()),
        within_5=float((error <= 0.05).mean()),
        within_10=float((error <= 0.10).mean()),
        coverage_90=coverage_90,
        spearman=ranked.spearman,
        kendall=ranked.kendall,
        retest_mape=_mape(first_ms, again_ms),
        madds_mape=_mape(counted * by_madds.scale + by_madds.fixed_ms, measured_ms),
        madds_spearman=compare_latencies(counted, measured_ms).spearman,
        drift=drift,
        networks=tuple(
            ValidatedNetwork(tuple(arch), float(predicted), float(first), float(again))
            for arch, predicted, first, again in zip(archs.tolist(), predicted_ms, first_ms, again_ms, strict=True)
        ),
    )


def _mape(predicted: Values, measured: Values) -> float:
    return float(np.abs(predicted / measured - 1).mean())
