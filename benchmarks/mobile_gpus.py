"""How well whole-network latency on phone GPUs is predicted, from per-op times and without them.

python benchmarks/mobile_gpus.py [--data FOLDER]

The data: 102 CNNs, timed op by op and whole with TensorFlow Lite's GPU delegate on three phones, published in
qed-usc/mobile-ml-benchmark (MIT). FOLDER holds it as ``mobile_tflite_ops.csv`` and ``mobile_tflite_networks.csv``
(``tflite_csv.py`` beside this file says how they look); without ``--data`` it is ``$HWNAS_DATA``.

1. The plain sum of measured op times.
2. That sum, calibrated as hwnas calibrates its tables: a factor, and of a constant, a time per op, per op of each kind
   (its dispatch) and per padding (which the files have no row for), those that held-out networks ask for. 5-fold
   cross-validation, 10 seeds.
3. Op times from models of ``hwnas.prediction.regression``, one per compiled kernel, that saw no network of the family,
   calibrated by networks of other families. What an op of the family compiles to isn't looked up either: decision
   trees, learned from the other families, tell it from the op's shapes.

An error is relative to the measured latency.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, spearmanr
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeClassifier
from tflite_csv import TfliteOp, devices, read_networks, read_ops

from hwnas.arrays import Values
from hwnas.errors import TableError
from hwnas.prediction.calibrate import Networks, fit
from hwnas.prediction.regression import MINIMUM_ENTRIES, LatencyRegression
from hwnas.tables.table import Calibration

SEEDS = 10
OPERATIONS = (
    "CONV_2D", "CONV_2D_GROUP", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MEAN", "CONCATENATION", "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
)  # fmt: skip

# Networks that share ops of the same shapes are one family, whatever their names: a pre-activation or SE ResNet has
# ResNet's convolutions, FD-MobileNet has MobileNet's. Every other family is the leading letters of the name.
FAMILIES = {
    "resnet": r"(se|pre|sepre)?resne[xt]|diracnet",
    "mobilenet v1": r"(fd)?mobilenetb?_",
    "mobilenet v2": r"mobilenetv2",
    "mobilenet v3": r"mobilenetv3",
    "regnet": r"regnet",
    "squeezenet": r"squeeze(res)?net",
}

OpsOf = Mapping[str, Sequence[TfliteOp]]
"""Network -> its ops."""
Labels = npt.NDArray[np.str_]
Indices = npt.NDArray[np.intp]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("HWNAS_DATA"), help="folder of the two CSVs")
    folder = parser.parse_args().data
    if folder is None:
        parser.error("give --data or set HWNAS_DATA; the docstring of this file says where the data comes from")
    try:
        run(Path(folder))
    except TableError as error:
        parser.error(str(error))


def run(folder: Path) -> None:
    """Print all figures of all devices in the folder's files."""
    for device in devices(folder / "mobile_tflite_ops.csv"):
        ops_of, measured_ms = load(folder, device)
        print(f"\n{device}: {len(ops_of)} networks, {sum(map(len, ops_of.values()))} ops")
        networks = networks_of(ops_of.values(), [own_ms(ops) for ops in ops_of.values()], measured_ms)
        print(line("1. plain sum of measured ops", networks.sums_ms, measured_ms))
        print(cross_validated("2. calibrated as hwnas's tables", networks))
        families = np.array([family(name) for name in ops_of])
        print(line("   the same, whole families held out", without_families(families, networks), measured_ms))
        predicted_ms, ops_errors, covered = untimed(ops_of, families, networks)
        print(line("3. kernel model, whole families held out", predicted_ms, measured_ms))
        print(f"   its ops: median error {np.median(ops_errors):.1%}, {covered:.0%} inside their 90 % interval")
        for name in dict.fromkeys(families.tolist()):
            of = families == name
            print(f"   {name:<14} {of.sum():3d} networks  MAPE {mape(predicted_ms[of], measured_ms[of]):6.1%}")


def load(folder: Path, device: str) -> tuple[dict[str, list[TfliteOp]], Values]:
    """Ops of each network, and the networks' measured latency in ms, (N,)."""
    by_network = defaultdict(list)
    for op in read_ops(folder / "mobile_tflite_ops.csv", device).ops:
        by_network[op.network].append(op)
    whole = read_networks(folder / "mobile_tflite_networks.csv", device).networks
    return {n.name: by_network[n.name] for n in whole}, np.array([n.mean_ms for n in whole])


def line(what: str, predicted_ms: Values, measured_ms: Values) -> str:
    error = np.abs(predicted_ms / measured_ms - 1)
    rho, tau = spearmanr(predicted_ms, measured_ms).statistic, kendalltau(predicted_ms, measured_ms).statistic
    return (
        f"{what:<42} MAPE {error.mean():6.2%}  ±5 % {np.mean(error <= 0.05):6.1%}  ±10 % {np.mean(error <= 0.1):6.1%}"
        f"  ρ {rho:.4f}  τ {tau:.4f}"
    )


def mape(predicted_ms: Values, measured_ms: Values) -> float:
    return float(np.abs(predicted_ms / measured_ms - 1).mean())


# --- 2. Calibration ---------------------------------------------------------------------------------------------------


def calibration_counts(ops: Sequence[TfliteOp]) -> dict[str, float]:
    """Of one network, by class: how many ops, paddings and padded elements it has."""
    padded = [padding(op) for op in ops]
    counts = {operation: float(sum(op.operation == operation for op in ops)) for operation in OPERATIONS}
    return {"op": len(ops), **counts, "padding": float(np.count_nonzero(padded)), "padded element": float(sum(padded))}


def padding(op: TfliteOp) -> int:
    """Elements of an input that an op of its own has padded, else 0."""
    padded = op.kernel > 1 and op.size_in >= (op.size_out - 1) * op.stride + op.kernel
    return op.size_in**2 * op.c_in if padded else 0


def networks_of(ops_of: Iterable[Sequence[TfliteOp]], op_ms: Iterable[Values], measured_ms: Values) -> Networks:
    """Networks by their ops, and each op's time in ms."""
    counts = [calibration_counts(ops) for ops in ops_of]
    by_class = {name: np.array([of_one[name] for of_one in counts]) for name in counts[0]}
    return Networks(np.array([ms.sum() for ms in op_ms]), by_class, measured_ms)


def calibrated(found: Calibration, networks: Networks) -> Values:
    """Latency of networks in ms."""
    added_ms = sum(ms * networks.counts[name] for name, ms in found.per_op_ms.items())
    return found.scale * networks.sums_ms + added_ms + found.fixed_ms


def _some(networks: Networks, rows: Indices) -> Networks:
    counts = {name: count[rows] for name, count in networks.counts.items()}
    return Networks(networks.sums_ms[rows], counts, networks.measured_ms[rows])


def cross_validated(what: str, networks: Networks) -> str:
    """A line on the run with the median MAPE, and the range of all runs' MAPE."""
    runs = []
    measured_ms = networks.measured_ms
    for seed in range(SEEDS):
        predicted_ms = np.empty_like(measured_ms)
        for train, test in KFold(5, shuffle=True, random_state=seed).split(measured_ms):
            predicted_ms[test] = calibrated(fit(_some(networks, train)), _some(networks, test))
        runs.append(predicted_ms)
    runs.sort(key=lambda run: mape(run, measured_ms))
    lowest, highest = mape(runs[0], measured_ms), mape(runs[-1], measured_ms)
    return f"{line(what, runs[SEEDS // 2], measured_ms)}  MAPE by seed {lowest:.2%} to {highest:.2%}"


def without_families(families: Labels, networks: Networks) -> Values:
    """Each network from its measured ops, calibrated on the networks of other families."""
    predicted_ms = np.empty_like(networks.measured_ms)
    for held in dict.fromkeys(families.tolist()):
        of = families == held
        predicted_ms[of] = calibrated(fit(_some(networks, ~of)), _some(networks, of))
    return predicted_ms


# --- 3. Kernel model --------------------------------------------------------------------------------------------------


def family(network: str) -> str:
    """What a network is held out with."""
    known = (name for name, pattern in FAMILIES.items() if re.match(pattern, network))
    return next(known, re.split(r"[^a-z]", network)[0])


def costs(op: TfliteOp) -> tuple[float, ...]:
    """A call, products, elements in and out, weights, pixels in, products behind one output; channels by fours."""
    pixels_in, pixels_out, c_out = op.size_in**2, op.size_out**2, slices(op.c_out)
    window = pixels_in if op.operation == "MEAN" else op.kernel**2
    deep = op.operation in ("CONV_2D", "CONV_2D_GROUP", "FULLY_CONNECTED")
    terms = window * slices(op.c_in // op.groups) if deep else window
    return (
        1,
        pixels_out * c_out * terms,
        pixels_in * slices(op.c_in),
        pixels_out * c_out,
        c_out * terms,
        pixels_in,
        terms,
    )


def slices(channels: int) -> int:
    """What a GPU texture holds channels in: fours."""
    return -(-channels // 4)


def coordinates(op: TfliteOp) -> list[float]:
    """Sizes, a doubling apart by 1; whether the input was padded."""
    sizes = (op.size_in, op.size_out, op.c_in, op.c_out, op.kernel, op.stride, op.groups, op.inputs)
    return [*np.log2(sizes).tolist(), float(padding(op) > 0)]


def arrays(ops: Sequence[TfliteOp]) -> tuple[Values, Values]:
    return np.array([costs(op) for op in ops], float), np.array([coordinates(op) for op in ops])


def own_ms(ops: Sequence[TfliteOp]) -> Values:
    """Each op's own time: none where it runs inside an earlier one."""
    return np.array([op.latency_ms or 0.0 for op in ops])


def untimed(ops_of: OpsOf, families: Labels, networks: Networks) -> tuple[Values, Values, float]:
    """Each network as predicted by what other families taught, without any time of its own.

    Returns:
        Predicted ms, (N,); errors of all timed ops; the share of them inside the op's 90 % interval.
    """
    predicted_ms, errors, bars = np.empty_like(networks.measured_ms), [], []
    for held in dict.fromkeys(families.tolist()):
        others = families != held
        train = [op for ops, other in zip(ops_of.values(), others, strict=True) if other for op in ops if op.latency_ms]
        models = fit_kernels(train)
        rules = fit_rules([op for op in train if op.compiled in models])
        calibration = fit(_some(networks, others))
        for index, ops in enumerate(ops_of.values()):
            if not others[index]:
                op_ms, op_bars = predict_ops(models, rules, ops)
                alone = networks_of([ops], [op_ms], networks.measured_ms[index : index + 1])
                predicted_ms[index] = calibrated(calibration, alone)[0]
                timed = own_ms(ops) > 0
                errors.append(np.abs(op_ms[timed] / own_ms(ops)[timed] - 1))
                bars.append(op_bars[timed])
    all_errors = np.concatenate(errors)
    return predicted_ms, all_errors, float(np.mean(all_errors <= np.concatenate(bars)))


def fit_rules(train: Sequence[TfliteOp]) -> dict[str, DecisionTreeClassifier]:
    """For each operation, what shapes it compiles to what."""
    rules = {}
    for operation in {op.operation for op in train}:
        ops = [op for op in train if op.operation == operation]
        rules[operation] = DecisionTreeClassifier(random_state=0).fit(arrays(ops)[1], [op.compiled for op in ops])
    return rules


def fit_kernels(train: Sequence[TfliteOp]) -> dict[str, LatencyRegression]:
    """A model of each compiled kernel. Ops of one shape count once, with the geometric mean of their times."""
    by_kernel: dict[str, dict[tuple[float, ...], list[TfliteOp]]] = defaultdict(lambda: defaultdict(list))
    for op in train:
        by_kernel[op.compiled][*costs(op), *coordinates(op)].append(op)
    models = {}
    for compiled, shapes in by_kernel.items():
        if len(shapes) >= MINIMUM_ENTRIES:
            ops = [same[0] for same in shapes.values()]
            mean_ms = np.array([np.exp(np.log(own_ms(same)).mean()) for same in shapes.values()])
            groups = np.array([family(op.network) for op in ops])
            models[compiled] = LatencyRegression.fit(*arrays(ops), mean_ms, groups=groups)
    return models


def predict_ops(
    models: Mapping[str, LatencyRegression], rules: Mapping[str, DecisionTreeClassifier], ops: Sequence[TfliteOp]
) -> tuple[Values, Values]:
    """Latency in ms and relative half-width of its 90 % interval, (N,) each.

    Raises:
        TableError: an operation that no other family has.
    """
    if unknown := {op.operation for op in ops} - rules.keys():
        raise TableError(f"{ops[0].network} has {unknown.pop()}, which no other family has: nothing tells its time")
    op_ms, bars = np.empty(len(ops)), np.empty(len(ops))
    op_costs, op_coordinates = arrays(ops)
    kernels = np.array([rules[op.operation].predict([at])[0] for op, at in zip(ops, op_coordinates, strict=True)])
    for kernel in np.unique(kernels):
        of = kernels == kernel
        op_ms[of], bars[of] = models[kernel].predict(op_costs[of], op_coordinates[of])
    return op_ms, bars


if __name__ == "__main__":
    main()
