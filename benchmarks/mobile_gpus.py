"""How well whole-network latency on phone GPUs is predicted by hwnas's tables of kernels, measured and not.

python benchmarks/mobile_gpus.py [--data FOLDER]

The data: 102 CNNs, timed op by op and whole with TensorFlow Lite's GPU delegate on three phones, published in
qed-usc/mobile-ml-benchmark (MIT). FOLDER holds it as ``mobile_tflite_ops.csv`` and ``mobile_tflite_networks.csv``
(``tflite_csv.py`` beside this file says how they look); without ``--data`` it is ``$HWNAS_DATA``.

Each phone becomes a table of kernels (``tflite_kernels.py``), and `hwnas.prediction.kernels` says what it says of
anyone's models:

1. The plain sum of measured kernels.
2. The same, calibrated on other networks: 5-fold cross-validation, 10 seeds; and on networks of other families.
3. A table that was made of networks of other families alone: kernels that they don't have are guessed. What a kernel of
   the family is compiled to on the phone isn't looked up.

An error is relative to the measured latency.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, spearmanr
from sklearn.model_selection import KFold
from tflite_csv import devices
from tflite_kernels import Phone, read_phone

from hwnas.arrays import Values
from hwnas.errors import TableError
from hwnas.prediction.kernel_calibration import calibrated
from hwnas.prediction.kernels import KernelPredictor, ModelPrediction
from hwnas.tables.kernel_table import KernelTable

SEEDS = 10

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
        phone = read_phone(folder, device)
        names = [*phone.networks]
        whole = phone.table(names)
        print(f"\n{device}: {len(names)} networks, {sum(map(len, phone.launches.values()))} launches of "
              f"{len(whole.kernels)} kernels")  # fmt: skip
        measured_ms = np.array([each.mean_ms for each in phone.networks.values()])
        print(line("1. plain sum of measured kernels", latencies(ask(whole, phone, names)), measured_ms))
        print(cross_validated("2. calibrated", whole, phone))
        families = np.array([family(name) for name in names])
        found = without_families(phone, families, dict.fromkeys(families.tolist(), whole))
        print(line("   the same, whole families held out", latencies(found), measured_ms))
        others = {held: phone.table([n for n in names if family(n) != held]) for held in set(families.tolist())}
        found = without_families(phone, families, others)
        print(line("3. kernels too, whole families held out", latencies(found), measured_ms))
        print(f"   {told(found, measured_ms)}")
        for name in dict.fromkeys(families.tolist()):
            of = families == name
            print(f"   {name:<14} {of.sum():3d} networks  MAPE {mape(latencies(found)[of], measured_ms[of]):6.1%}")


def ask(table: KernelTable, phone: Phone, names: Collection[str]) -> list[ModelPrediction]:
    """What a table says of some networks."""
    predictor = KernelPredictor(table)
    return [predictor(name, phone.launches[name]) for name in names]


def latencies(found: Collection[ModelPrediction]) -> Values:
    return np.array([each.latency_ms for each in found])


def told(found: Collection[ModelPrediction], measured_ms: Values) -> str:
    """How many launches were guessed, and how many networks are inside their interval, in words."""
    launches = [launch for each in found for launch in each.launches]
    ends_ms = np.array([each.interval_ms or (np.nan, np.nan) for each in found])
    inside = (ends_ms[:, 0] <= measured_ms) & (measured_ms <= ends_ms[:, 1])
    by_source = {source: np.mean([each.source == source for each in launches]) for source in ("guessed", "unknown")}
    return (
        f"{by_source['guessed']:.0%} of launches guessed, {by_source['unknown']:.1%} unknown; {inside.mean():.0%} of "
        f"networks inside their 90 % interval"
    )


def line(what: str, predicted_ms: Values, measured_ms: Values) -> str:
    error = np.abs(predicted_ms / measured_ms - 1)
    rho, tau = spearmanr(predicted_ms, measured_ms).statistic, kendalltau(predicted_ms, measured_ms).statistic
    return (
        f"{what:<42} MAPE {error.mean():6.2%}  ±5 % {np.mean(error <= 0.05):6.1%}  ±10 % {np.mean(error <= 0.1):6.1%}"
        f"  ρ {rho:.4f}  τ {tau:.4f}"
    )


def mape(predicted_ms: Values, measured_ms: Values) -> float:
    return float(np.abs(predicted_ms / measured_ms - 1).mean())


def calibrated_on(table: KernelTable, names: Collection[str]) -> KernelTable:
    """The table, calibrated on those of its models."""
    models = tuple(each for each in table.models if each.name in names)
    return calibrated(table.model_copy(update={"models": models}))


def cross_validated(what: str, table: KernelTable, phone: Phone) -> str:
    """A line on the run with the median MAPE, and the range of all runs' MAPE."""
    names = np.array([*phone.networks])
    measured_ms = np.array([each.mean_ms for each in phone.networks.values()])
    runs = []
    for seed in range(SEEDS):
        predicted_ms = np.empty_like(measured_ms)
        for train, test in KFold(5, shuffle=True, random_state=seed).split(measured_ms):
            predicted_ms[test] = latencies(ask(calibrated_on(table, set(names[train])), phone, names[test]))
        runs.append(predicted_ms)
    runs.sort(key=lambda run: mape(run, measured_ms))
    lowest, highest = mape(runs[0], measured_ms), mape(runs[-1], measured_ms)
    return f"{line(what, runs[SEEDS // 2], measured_ms)}  MAPE by seed {lowest:.2%} to {highest:.2%}"


def without_families(
    phone: Phone, families: npt.NDArray[np.str_], tables: dict[str, KernelTable]
) -> list[ModelPrediction]:
    """Each network by the table of its family, calibrated on networks of other families."""
    found: dict[str, ModelPrediction] = {}
    names = np.array([*phone.networks])
    for held in dict.fromkeys(families.tolist()):
        table = calibrated_on(tables[held], set(names[families != held]))
        of = names[families == held].tolist()
        found |= dict(zip(of, ask(table, phone, of), strict=True))
    return [found[name] for name in phone.networks]


def family(network: str) -> str:
    """What a network is held out with."""
    known = (name for name, pattern in FAMILIES.items() if re.match(pattern, network))
    return next(known, re.split(r"[^a-z]", network)[0])


if __name__ == "__main__":
    main()
