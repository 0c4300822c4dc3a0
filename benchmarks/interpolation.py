"""What isn't in a table, by the kernel model: a resolution that was never profiled, and ops of another width.

    python benchmarks/interpolation.py [--seconds 150] [--networks 40]

Resolution: the ops of scarlet-s2 at 160, 192 and 224, seven whole networks of each to calibrate with, and random
networks at 176, twice each, are measured in the same rounds; the networks at 176 are predicted from the rest.

Width: of every shipped table, all ops that read or write a number of channels are taken out and predicted from what is
left, one number of channels at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Hashable

import numpy as np
from common import machine

from hwnas.errors import MissingOpError
from hwnas.graph.graph import Op
from hwnas.ops.mbconv import MBConv
from hwnas.prediction.design import calibration_networks
from hwnas.prediction.interpolate import KernelModel
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.merge import merge
from hwnas.prediction.validate import compare
from hwnas.profiling.local import conditions_of, device_of, measure_models
from hwnas.profiling.plan import network_model, op_model, reader
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.runtimes.registry import get_runtime
from hwnas.shipped import shipped
from hwnas.space.registry import get_space
from hwnas.tables.protocol import Provenance
from hwnas.tables.table import LatencyTable, MeasuredNetwork

KNOWN, ASKED = (160, 192, 224), 176
CALIBRATING = 7


def resolution(seconds: float, networks: int) -> None:
    spaces = {pixels: get_space("scarlet-s2", pixels) for pixels in (*KNOWN, ASKED)}
    runtime = get_runtime("onnxruntime")
    ops = [op for pixels in KNOWN for op in spaces[pixels].distinct_ops]
    chosen = {pixels: calibration_networks(spaces[pixels], CALIBRATING, seed=0) for pixels in KNOWN}
    archs = spaces[ASKED].sample(networks, seed=1)
    models: dict[Hashable, Callable[[], Model]] = {op: reader(op_model(op)) for op in ops}
    for pixels in KNOWN:
        models |= {(pixels, tuple(a)): reader(network_model(spaces[pixels], a)) for a in chosen[pixels].tolist()}
    asked = [reader(network_model(spaces[ASKED], arch)) for arch in archs.tolist()]
    models |= {(ASKED, i, copy): model for i, model in enumerate(asked) for copy in (0, 1)}
    conditions, effort = conditions_of(runtime), Effort(at_least_s=seconds, at_most_s=seconds)
    found = measure_models(models, runtime, conditions, rng=np.random.default_rng(0), effort=effort)
    p50_ms = {key: latency.p50_ms for key, latency in found.latency.items()}
    device = device_of(runtime, conditions)
    source = Provenance(file="-", sha256="0" * 64, format="measured", unit="ms", note="this benchmark")
    tables = [
        LatencyTable(
            device=device,
            provenance=source,
            space=spaces[pixels].ref,
            ops={op: found.latency[op] for op in spaces[pixels].distinct_ops},
            networks=tuple(
                MeasuredNetwork(choices=arch, **found.latency[pixels, arch].model_dump())
                for arch in map(tuple, chosen[pixels].tolist())
            ),
        )
        for pixels in KNOWN
    ]
    first_ms, again_ms = (np.array([p50_ms[ASKED, i, copy] for i in range(networks)]) for copy in (0, 1))
    predictor = LatencyPredictor(merge(tables), spaces[ASKED])
    result = compare(predictor, archs, first_ms, again_ms, drift=None)
    print(f"{machine()}, onnxruntime {runtime.version()}, 1 thread, medians known to ±{found.confidence_95:.1%}")
    print(
        f"{networks} networks of scarlet-s2 at {ASKED} px from {KNOWN}, {len(predictor.interpolated)} ops interpolated:"
    )
    print(f"  MAPE {result.mape:.2%}, within 5 % {result.within_5:.0%}, 10 % {result.within_10:.0%},", end=" ")
    print(
        f"Spearman {result.spearman:.4f}, inside the interval {result.coverage_90:.0%}; retest {result.retest_mape:.2%}"
    )


def widths() -> None:
    print("ops of a width that is taken out of its table, predicted from the rest:")
    for path in sorted(shipped("latency_tables").glob("*/*.yaml")):
        ops = {op: latency.p50_ms for op, latency in LatencyTable.load(path).ops.items()}
        errors = []
        for channels in sorted({op.c_out for op in ops if isinstance(op, MBConv)}):
            out = {op for op in ops if isinstance(op, MBConv) and channels in (op.c_in, op.c_out)}
            model = KernelModel({op: ms for op, ms in ops.items() if op not in out})
            errors += [error for op in out if (error := _error(model, op, ops[op])) is not None]
        print(f"  {path.stem:<48} median {np.median(errors):.1%}, 90 % of {len(errors)} {np.quantile(errors, 0.9):.1%}")


def _error(model: KernelModel, op: Op, measured_ms: float) -> float | None:
    try:
        return abs(model.predict_ms(op).latency_ms / measured_ms - 1)
    except MissingOpError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--widths-only", action="store_true")
    given = parser.parse_args()
    widths()
    if not given.widths_only:
        resolution(given.seconds, given.networks)


if __name__ == "__main__":
    main()
