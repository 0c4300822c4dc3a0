"""`TableMeter`: measures networks on this machine, which a table is of, and refits the table with them.

Networks are measured together with some of the table's own. How much longer those take than they did is the drift of
the machine, and what was measured is divided by it: then it is comparable with the table, its predictions and budgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.errors import ModelError, TableError
from hwnas.prediction.calibrate import calibrate, fit, measured_networks
from hwnas.prediction.latency import LatencyPredictor
from hwnas.profiling.local import another_device, check_threads, measure_models
from hwnas.profiling.plan import network_model, prepared, reader
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.registry import get_runtime
from hwnas.space.space import Space
from hwnas.tables.table import AddedNetwork, Latency, LatencyTable, Quantile


def check_measurable(table: LatencyTable) -> Runtime:
    """What measures networks as the table's own were: the same machine, runtime and its version, threads, precision.

    Raises:
        TableError: the table is of another device, or has no networks to tell the machine's drift by.
        RuntimeMissingError: its runtime isn't installed.
        ConfigError: it needs more threads than this process may use.
    """
    was = table.device
    runtime = get_runtime(was.runtime, dict(was.options))
    if other := another_device(table, runtime):
        raise TableError(f"{other}; measure on that device, or profile this one")
    if table.space is None or len(table.networks) < 3:
        raise TableError("the table has fewer than 3 networks of its own to tell the machine's drift by; profile again")
    check_threads(was.threads)
    return runtime


class TableMeter:
    """Measures networks as a table's own were measured, and learns from them.

    ``table`` is of this machine, as :func:`check_measurable` proves, ``space`` its own, or ``space.inheriting()`` for
    networks with inherited weights. ``objectives`` are what predictions of the table are used as: name -> quantile of a
    network's runs.

    Attributes:
        table: with all networks measured so far, calibrated anew.
        latency: choices -> what was measured, divided by the drift, in the order of measuring.
        failed: choices -> why a network can't be run.
    """

    def __init__(
        self,
        table: LatencyTable,
        space: Space,
        runtime: Runtime,
        objectives: Mapping[str, Quantile],
        *,
        effort: Effort | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.names = tuple(objectives)
        self.table = table
        self.latency: dict[tuple[int, ...], AddedNetwork] = {}
        self.failed: dict[tuple[int, ...], str] = {}
        self._quantiles = dict(objectives)
        self._space, self._runtime = space, runtime
        self._effort = effort or Effort()
        self._rng = np.random.default_rng(seed)
        self._progress = progress
        self._rounds = 0

    def measure(self, archs: Archs) -> Values:
        """Measure (N, L) archs in one interleaved run with some of the table's own networks, and refit the table.

        Returns:
            (N, J) ms, comparable with the table: NaN where the runtime can't run a network; ``failed`` says why.

        Raises:
            ModelError: the runtime can run none of the table's own networks any more.
            DeviceError: the networks don't fit into memory.
        """
        self._rounds += 1
        wanted = [tuple(arch) for arch in archs.tolist()]
        models = {(c, False): partial(self._model, self._space, c) for c in wanted}  # choices, the table's own?
        models |= {(c, True): partial(self._model, self._space.plain(), c) for c in self.table.references}
        started = datetime.now(UTC).isoformat(timespec="seconds")
        measured = measure_models(
            models, self._runtime, self.table.device.conditions, effort=self._effort, rng=self._rng,
            progress=self._of_round if self._progress else None,
        )  # fmt: skip
        ran, failed = measured.latency, measured.failed
        drift = self.table.drift({c: ran[c, True].p50_ms for c in self.table.references if (c, True) in ran})
        if drift is None:
            raise ModelError(f"{self._runtime.name} can't run the table's own networks any more; profile again")
        new = {c: self._comparable(c, ran[c, False], drift.ratio, started) for c in wanted if (c, False) in ran}
        self.latency |= new
        self.failed |= {c: failed[c, False] for c in wanted if (c, False) in failed}
        before = [network for network in self.table.added if network.choices not in new]
        self.table = calibrate(replace(self.table, added=(*before, *new.values())), self._space)
        return np.array([[new[c].at_ms(q) if c in new else np.nan for q in self._quantiles.values()] for c in wanted])

    def predict(self, archs: Archs) -> Values:
        """(N, J) ms of (N, L) archs by the refitted table."""
        return np.stack(
            [LatencyPredictor(self.table, self._space, quantile=q)(archs) for q in self._quantiles.values()], axis=1
        )

    def left_out_ms(self, objective: str) -> dict[tuple[int, ...], float]:
        """What the calibration predicts for each measured network when it is fitted on all others: choices -> ms."""
        networks = measured_networks(self.table, self._space, self._quantiles[objective])
        first = len(networks.measured_ms) - len(self.table.added)
        return {
            network.choices: float(networks.predicted_ms(fit(networks.without(row)))[row])
            for row, network in enumerate(self.table.added, start=first)
            if network.choices in self.latency
        }

    def _of_round(self, what: str, done: int, total: int, note: str) -> None:
        assert self._progress is not None
        self._progress(f"{what} (round {self._rounds})", done, total, note)

    def _model(self, space: Space, choices: tuple[int, ...]) -> Model:
        device = self.table.device
        return reader(prepared(network_model(space, choices, device.batch), self._runtime, device.precision))()

    def _comparable(self, choices: tuple[int, ...], raw: Latency, drift: float, started: str) -> AddedNetwork:
        times_ms = {name: round(getattr(raw, name) / drift, 6) for name in ("p50_ms", "p10_ms", "p90_ms")}
        return AddedNetwork(
            **times_ms,
            choices=choices,
            count=raw.count,
            confidence_95=round(raw.confidence_95 or 0.0, 6),
            stabilizers=self._space.inherits,
            drift=round(drift, 6),
            started=started,
        )
