"""Predicted against measured: random whole networks, each measured twice in the same interleaved rounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from hwnas.errors import TableError
from hwnas.predict.calibrate import fit_scale
from hwnas.predict.latency import LatencyPredictor
from hwnas.predict.lowered import Values, madds
from hwnas.profile.measure import Effort, Progress, measure_models
from hwnas.profile.sweep import network_models
from hwnas.runtimes.base import Runtime
from hwnas.space.space import Space
from hwnas.tables.table import LatencyTable


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How well a table predicts networks that it has never seen.

    Attributes:
        mape: mean absolute error of the prediction, relative to the measurement.
        within_5, within_10: share of networks predicted within ±5 % and ±10 %.
        spearman, kendall: rank correlation of predicted and measured.
        retest_mape: mean absolute difference of the two measurements of one network.
        madds_mape, madds_spearman: the same for multiply-adds, scaled to fit these very networks best.
        drift: how much longer the table's own networks take now (median ratio); 1 when the machine is as it was.
        networks: for each its choices, predicted and both measured latencies in ms.
    """

    mape: float
    within_5: float
    within_10: float
    spearman: float
    kendall: float
    retest_mape: float
    madds_mape: float
    madds_spearman: float
    drift: float | None
    networks: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"networks": list(self.networks)}


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
    """Measure ``networks`` random networks that aren't in the table, and compare.

    Raises:
        TableError: the space hasn't as many networks that the table doesn't know.
        MissingOpError: the table isn't of this space.
    """
    predictor = LatencyPredictor(table, space)
    rng = np.random.default_rng(seed)
    known = [n.choices for n in table.networks]
    if space.size < networks + len(known):
        raise TableError(f"{space.name} has {space.size} archs, too few to draw {networks} that the table doesn't know")
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < networks:
        drawn |= {a: None for a in map(tuple, space.sample(networks, rng).tolist()) if a not in known}
    archs = list(drawn)[:networks]
    models = network_models(space, [*archs, *known[:8]], progress)
    twice = {(arch, copy): model for arch, model in models.items() for copy in (0, 1)}
    latency = measure_models(
        twice, runtime, threads=table.device.threads, precision=table.device.precision, rng=rng, effort=effort,
        progress=progress,
    ).latency  # fmt: skip
    first, again = (np.array([latency[arch, copy].p50_ms for arch in archs]) for copy in (0, 1))
    latency_ms = (first + again) / 2
    predicted_ms = predictor.predict(archs)
    counted = madds(space)(archs)
    return Validation(
        mape=_mape(predicted_ms, latency_ms),
        within_5=float((np.abs(predicted_ms / latency_ms - 1) <= 0.05).mean()),
        within_10=float((np.abs(predicted_ms / latency_ms - 1) <= 0.10).mean()),
        spearman=float(spearmanr(predicted_ms, latency_ms).statistic),
        kendall=float(kendalltau(predicted_ms, latency_ms).statistic),
        retest_mape=_mape(first, again),
        madds_mape=_mape(counted * fit_scale(counted, latency_ms)[0], latency_ms),
        madds_spearman=float(spearmanr(counted, latency_ms).statistic),
        drift=table.drift({arch: latency[arch, 0].p50_ms for arch in known[:8]}),
        networks=tuple(
            {"choices": list(arch), "predicted_ms": float(p), "measured_ms": float(a), "measured_again_ms": float(b)}
            for arch, p, a, b in zip(archs, predicted_ms, first, again, strict=True)
        ),
    )


def _mape(predicted: Values, measured: Values) -> float:
    return float(np.abs(predicted / measured - 1).mean())
