"""How well the latency of networks that hwnas didn't make is predicted from their kernels.

python benchmarks/any_model.py NETWORKS TABLE [--runtime openvino] [--precision int8] [--threads 1] [--seconds 900]

NETWORKS is a folder of ONNX files that ``foreign_networks.py`` beside this file wrote. TABLE is measured where it isn't
there yet: all distinct kernels, all networks, and once more all networks (TABLE.again), which gives the retest noise.

Each network is predicted by what the networks of other families taught:

1. with its kernels measured; the calibration saw no network of its family;
2. with its family held out of the kernel models too: kernels that only it has are guessed;
3. from multiply-adds alone, calibrated the same way;
4. nn-Meter's way (Zhang et al., MobiSys 2021, §4.3): a random forest for each kind of kernel, a plain sum; its family
   held out;
5. with ``--grid``, by that table of ``hwnas profile --kernels``, in which none of them was measured.

An error is relative to the measured latency; both measurements' geometric mean is taken for it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import machine
from foreign_networks import networks as all_networks
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor

from hwnas.arrays import Values
from hwnas.errors import ModelError
from hwnas.flow.kernels import profile_models
from hwnas.flow.model import open_model
from hwnas.graph.kernel import Kernel, Launch
from hwnas.graph.kernel_cost import madds_or_zero
from hwnas.prediction.calibrate import Networks, fit
from hwnas.prediction.kernel_calibration import calibrated
from hwnas.prediction.kernels import KernelPredictor, costs_of, kind_of, sizes_of
from hwnas.progress import ProgressBars
from hwnas.tables.kernel_table import KernelTable, MeasuredKernel


class Measured(NamedTuple):
    """A network whose kernels were all cut out."""

    name: str
    family: str
    sha256: str
    launches: tuple[Launch, ...]
    latency_ms: float
    again_ms: float

    @property
    def truth_ms(self) -> float:
        return float(np.sqrt(self.latency_ms * self.again_ms))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--grid", type=Path)
    asked = parser.parse_args()
    if not asked.table.exists():
        profile = partial(profile_models, runtime=asked.runtime, precision=asked.precision, threads=asked.threads)
        measure(profile, sorted(asked.networks.glob("*.onnx")), asked.table, asked.seconds)
    table, networks = load(asked.table)
    if asked.grid:
        by_grid(KernelTable.read(asked.grid), networks)
    report(table, networks)


def measure(profile: Callable[..., KernelTable], paths: Sequence[Path], output: Path, seconds: float) -> None:
    paths = [path for path in paths if readable(path)]
    with ProgressBars() as progress:
        table = profile(paths, seconds=seconds, progress=progress)
        kernels = table.model_copy(update={"models": ()})
        again = profile(paths, known=kernels, seconds=seconds / 2, progress=progress)
    again.save(output.with_suffix(".again"))
    table.save(output)


def readable(path: Path) -> bool:
    try:
        open_model(path)
    except ModelError as error:
        print(f"left out: {error}")
        return False
    return True


def load(path: Path) -> tuple[KernelTable, list[Measured]]:
    """A table and its networks, those left out that launch what can't be timed alone."""
    table = KernelTable.read(path)
    again = {model.sha256: model.p50_ms for model in KernelTable.read(path.with_suffix(".again")).models}
    family = {network.name: network.family for network in all_networks()}
    kernels = {entry.kernel.key: entry.kernel for entry in table.kernels}
    found = []
    for model in table.models:
        name = Path(model.name).stem
        lost = [each for each in model.launches if each.kernel not in kernels]
        if lost:
            print(f"left out: {name}: {lost[0].name}: {lost[0].uncut or 'it failed alone'} ({len(lost)} such)")
            continue
        launches = model.launched(kernels)
        found.append(Measured(name, family[name], model.sha256, launches, model.p50_ms, again[model.sha256]))
    return table, found


def report(table: KernelTable, networks: list[Measured]) -> None:
    truth_ms = np.array([each.truth_ms for each in networks])
    families = sorted({each.family for each in networks})
    print(machine())
    print(f"{len(networks)} networks of {len(families)} families, {len(table.kernels)} kernels; {table.device}")
    for part in table.measured:
        print(f"  {part}; machine ±{part.unsteadiness_90:.1%}, {part.slowdown:.3f} × as slow as before")
    print(line("measured again", np.array([e.again_ms for e in networks]), np.array([e.latency_ms for e in networks])))
    ways: dict[str, Values] = {}
    inside: dict[str, list[bool]] = defaultdict(list)
    for what, whole in (("1. kernels measured", True), ("2. family held out", False)):
        predicted = np.empty(len(networks))
        for family in families:
            of = [index for index, each in enumerate(networks) if each.family == family]
            predictor = KernelPredictor(without(table, networks, family, whole=whole))
            for index in of:
                found = predictor(networks[index].name, networks[index].launches)
                predicted[index] = found.latency_ms
                low_ms, high_ms = found.interval_ms or (np.nan, np.nan)
                inside[what].append(low_ms <= truth_ms[index] <= high_ms)
        ways[what] = predicted
    ways["3. multiply-adds alone"] = by_madds(networks, families, truth_ms)
    ways["4. random forests, plain sum"] = by_forests(table, networks, families)
    for what, predicted in ways.items():
        covered = f"  in 90 % interval {np.mean(inside[what]):.0%}" if what in inside else ""
        print(line(what, predicted, truth_ms) + covered)
    first, second = list(ways.values())[:2]
    print("\n| family | networks | kernels measured, MAPE | held out, MAPE |\n|---|---:|---:|---:|")
    for family in families:
        rows = np.array([each.family == family for each in networks])
        one, other = (np.abs(way[rows] / truth_ms[rows] - 1).mean() for way in (first, second))
        print(f"| {family} | {rows.sum()} | {one:.1%} | {other:.1%} |")
    for what, predicted in (("measured", first), ("held out", second)):
        print(f"\nfarthest off, kernels {what}:")
        errors = predicted / truth_ms - 1
        for index in np.argsort(-np.abs(errors))[:12]:
            each = networks[index]
            print(f"  {errors[index]:+7.1%}  {each.name}, {each.truth_ms:.2f} ms, {len(each.launches)} kernels, "
                  f"again {each.again_ms / each.latency_ms - 1:+.1%}")  # fmt: skip


def by_grid(grid: KernelTable, networks: Sequence[Measured]) -> None:
    predictor = KernelPredictor(grid)
    found = [predictor(each.name, each.launches) for each in networks]
    truth_ms = np.array([each.truth_ms for each in networks])
    low_ms, high_ms = np.array([each.interval_ms or (np.nan, np.nan) for each in found]).T
    predicted_ms = np.array([each.latency_ms for each in found])
    covered = f"  in 90 % interval {np.mean((low_ms <= truth_ms) & (truth_ms <= high_ms)):.0%}"
    print(line("5. a designed grid", predicted_ms, truth_ms) + covered)
    guessed = np.mean([len(each.guessed) / len(each.launches) for each in found])
    print(f"   {len(grid.kernels)} kernels, {len(grid.models)} models; {guessed:.0%} of launches guessed")
    for index in np.argsort(-np.abs(predicted_ms / truth_ms - 1))[:12]:
        print(f"   {predicted_ms[index] / truth_ms[index] - 1:+7.1%}  {networks[index].name}")


def line(what: str, predicted_ms: Values, truth_ms: Values) -> str:
    error = np.abs(predicted_ms / truth_ms - 1)
    return (
        f"{what:<30} MAPE {error.mean():6.2%}  median {np.median(error):6.2%}  ±5 % {np.mean(error <= 0.05):6.1%}  "
        f"±10 % {np.mean(error <= 0.1):6.1%}  ±20 % {np.mean(error <= 0.2):6.1%}  "
        f"ρ {spearmanr(predicted_ms, truth_ms).statistic:.4f}"
    )


def without(table: KernelTable, networks: Sequence[Measured], family: str, *, whole: bool) -> KernelTable:
    """The table as if a family weren't known: its networks, and unless ``whole`` the kernels that only it has."""
    others = {each.sha256 for each in networks if each.family != family}
    models = tuple(model for model in table.models if model.sha256 in others)
    kernels = table.kernels
    if not whole:
        used = {launch.kernel for model in models for launch in model.launches}
        kernels = tuple(entry for entry in kernels if entry.kernel.key in used)
    return calibrated(table.model_copy(update={"models": models, "kernels": kernels, "failed": ()}))


def by_madds(networks: Sequence[Measured], families: Sequence[str], truth_ms: Values) -> Values:
    counted = np.array([float(sum(madds_or_zero(each.kernel) for each in n.launches if each.kernel)) for n in networks])
    predicted = np.empty(len(networks))
    for family in families:
        of = np.array([each.family == family for each in networks])
        found = fit(Networks(counted[~of] / 1e9, {}, truth_ms[~of]))
        predicted[of] = found.scale * counted[of] / 1e9 + found.fixed_ms
    return predicted


def by_forests(table: KernelTable, networks: Sequence[Measured], families: Sequence[str]) -> Values:
    predicted = np.zeros(len(networks))
    for family in families:
        by_kind: dict[tuple[str, ...], list[MeasuredKernel]] = defaultdict(list)
        for entry in without(table, networks, family, whole=False).kernels:
            by_kind[kind_of(entry.kernel)].append(entry)
        forests = {kind: Forest(entries) for kind, entries in by_kind.items()}
        for index, network in enumerate(networks):
            if network.family == family:
                kernels = [launch.kernel for launch in network.launches if launch.kernel]
                known = [(forests[kind_of(each)], each) for each in kernels if kind_of(each) in forests]
                predicted[index] = sum(forest(each) for forest, each in known)
    return predicted


class Forest:
    """A random forest of one kind of kernel, on its costs and sizes."""

    def __init__(self, entries: Sequence[MeasuredKernel]) -> None:
        self._names = sorted({name for entry in entries for name in sizes_of(entry.kernel)})
        rows = [self._row(entry.kernel) for entry in entries]
        self._forest = RandomForestRegressor(n_estimators=30, random_state=0, n_jobs=1)
        self._forest.fit(rows, [entry.p50_ms for entry in entries])

    def __call__(self, kernel: Kernel) -> float:
        return float(self._forest.predict([self._row(kernel)])[0])

    def _row(self, kernel: Kernel) -> list[float]:
        sizes = sizes_of(kernel)
        return [*costs_of(kernel), *(sizes.get(name, 0.0) for name in self._names)]


if __name__ == "__main__":
    main()
