"""hwnas finds, proves and ships the fastest accurate model for your device.

The public names below are imported when first used, so that ``import hwnas`` stays light (torch in particular
is only loaded by what needs it).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hwnas.version import __version__

_HOME = {  # public name -> module that defines it
    "Arch": "hwnas.space.arch",
    "Budget": "hwnas.optimize.problem",
    "HwnasError": "hwnas.errors",
    "LatencyPredictor": "hwnas.prediction.latency",
    "LatencyTable": "hwnas.tables.table",
    "Network": "hwnas.nn.network",
    "Objective": "hwnas.optimize.problem",
    "Space": "hwnas.space.space",
    "Supernet": "hwnas.nn.supernet",
    "calibrate": "hwnas.prediction.calibrate",
    "calibration_networks": "hwnas.prediction.design",
    "count": "hwnas.graph.count",
    "derive": "hwnas.nn.derive",
    "export": "hwnas.artifacts.export",
    "get_runtime": "hwnas.runtimes.registry",
    "get_space": "hwnas.space.registry",
    "load_scarlet": "hwnas.nn.checkpoints",
    "parse_arch": "hwnas.space.arch",
    "search": "hwnas.flow.search",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from hwnas.errors import HwnasError as HwnasError
    from hwnas.graph.count import count as count
    from hwnas.nn.checkpoints import load_scarlet as load_scarlet
    from hwnas.nn.derive import derive as derive
    from hwnas.nn.network import Network as Network
    from hwnas.nn.supernet import Supernet as Supernet
    from hwnas.prediction.calibrate import calibrate as calibrate
    from hwnas.prediction.design import calibration_networks as calibration_networks
    from hwnas.prediction.latency import LatencyPredictor as LatencyPredictor
    from hwnas.runtimes.registry import get_runtime as get_runtime
    from hwnas.space.arch import Arch as Arch
    from hwnas.space.arch import parse_arch as parse_arch
    from hwnas.space.registry import get_space as get_space
    from hwnas.space.space import Space as Space
    from hwnas.tables.table import LatencyTable as LatencyTable


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'hwnas' has no attribute {name!r}")
    module = import_module(_HOME[name])
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
