"""hwnas finds, proves and ships the fastest accurate model for your device.

The verbs of the flow are functions here, and return what they print as records. All public names below are
imported when first used, so that ``import hwnas`` stays light (torch in particular is only loaded by what needs it).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hwnas.version import __version__

_HOME = {  # public name -> module that defines it
    "Arch": "hwnas.space.arch",
    "Artifact": "hwnas.artifacts.bundle",
    "Budget": "hwnas.optimize.problem",
    "ClassificationConfig": "hwnas.training.tasks.classification",
    "Conditions": "hwnas.tables.device",
    "Effort": "hwnas.profiling.timer",
    "Front": "hwnas.optimize.front",
    "Graph": "hwnas.graph.graph",
    "HwnasError": "hwnas.errors",
    "KernelTable": "hwnas.tables.kernel_table",
    "LatencyPredictor": "hwnas.prediction.latency",
    "LatencyTable": "hwnas.tables.table",
    "Network": "hwnas.nn.network",
    "NetworkConfig": "hwnas.training.learners.network",
    "Objective": "hwnas.optimize.problem",
    "Op": "hwnas.graph.graph",
    "ProgressBars": "hwnas.progress",
    "SearchRecord": "hwnas.records.search",
    "SearchResult": "hwnas.optimize.result",
    "Space": "hwnas.space.space",
    "Store": "hwnas.optimize.store",
    "Supernet": "hwnas.nn.supernet",
    "SupernetConfig": "hwnas.training.learners.supernet",
    "TrainConfig": "hwnas.training.config",
    "bench": "hwnas.flow.bench",
    "count": "hwnas.flow.count",
    "demo": "hwnas.flow.demo",
    "derive": "hwnas.flow.derive",
    "diff": "hwnas.flow.diff",
    "export": "hwnas.flow.export",
    "feasible": "hwnas.flow.feasible",
    "get_runtime": "hwnas.runtimes.registry",
    "get_space": "hwnas.space.registry",
    "load_artifact": "hwnas.artifacts.bundle",
    "load_scarlet": "hwnas.nn.released",
    "parse_arch": "hwnas.space.arch",
    "predict": "hwnas.flow.predict",
    "profile": "hwnas.flow.profile",
    "profile_kernels": "hwnas.flow.kernel_grid",
    "profile_models": "hwnas.flow.kernels",
    "rank": "hwnas.flow.rank",
    "report": "hwnas.flow.report",
    "search": "hwnas.flow.search",
    "similarity": "hwnas.flow.similarity",
    "train": "hwnas.flow.train",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:  # so that type checkers know each name, and that there are no others
    from hwnas.artifacts.bundle import Artifact as Artifact
    from hwnas.artifacts.bundle import load_artifact as load_artifact
    from hwnas.errors import HwnasError as HwnasError
    from hwnas.flow.bench import bench as bench
    from hwnas.flow.count import count as count
    from hwnas.flow.demo import demo as demo
    from hwnas.flow.derive import derive as derive
    from hwnas.flow.diff import diff as diff
    from hwnas.flow.export import export as export
    from hwnas.flow.feasible import feasible as feasible
    from hwnas.flow.kernel_grid import profile_kernels as profile_kernels
    from hwnas.flow.kernels import profile_models as profile_models
    from hwnas.flow.predict import predict as predict
    from hwnas.flow.profile import profile as profile
    from hwnas.flow.rank import rank as rank
    from hwnas.flow.report import report as report
    from hwnas.flow.search import search as search
    from hwnas.flow.similarity import similarity as similarity
    from hwnas.flow.train import train as train
    from hwnas.graph.graph import Graph as Graph
    from hwnas.graph.graph import Op as Op
    from hwnas.nn.network import Network as Network
    from hwnas.nn.released import load_scarlet as load_scarlet
    from hwnas.nn.supernet import Supernet as Supernet
    from hwnas.optimize.front import Front as Front
    from hwnas.optimize.problem import Budget as Budget
    from hwnas.optimize.problem import Objective as Objective
    from hwnas.optimize.result import SearchResult as SearchResult
    from hwnas.optimize.store import Store as Store
    from hwnas.prediction.latency import LatencyPredictor as LatencyPredictor
    from hwnas.profiling.timer import Effort as Effort
    from hwnas.progress import ProgressBars as ProgressBars
    from hwnas.records.search import SearchRecord as SearchRecord
    from hwnas.runtimes.registry import get_runtime as get_runtime
    from hwnas.space.arch import Arch as Arch
    from hwnas.space.arch import parse_arch as parse_arch
    from hwnas.space.registry import get_space as get_space
    from hwnas.space.space import Space as Space
    from hwnas.tables.device import Conditions as Conditions
    from hwnas.tables.kernel_table import KernelTable as KernelTable
    from hwnas.tables.table import LatencyTable as LatencyTable
    from hwnas.training.config import TrainConfig as TrainConfig
    from hwnas.training.learners.network import NetworkConfig as NetworkConfig
    from hwnas.training.learners.supernet import SupernetConfig as SupernetConfig
    from hwnas.training.tasks.classification import ClassificationConfig as ClassificationConfig
else:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'hwnas' has no attribute {name!r}")
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
