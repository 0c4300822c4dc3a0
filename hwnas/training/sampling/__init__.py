"""Sampling rules: which single-path models an update of the supernet trains."""

from hwnas.errors import ConfigError
from hwnas.registry import Registry
from hwnas.training.sampling.base import PathSampler

_HERE = "hwnas.training.sampling"

SAMPLERS = Registry[type[PathSampler]](
    "hwnas.samplers",
    "sampling rule",
    {
        "strict-fair": f"{_HERE}.strict_fair:FairDeck",
        "uniform": f"{_HERE}.uniform:UniformPaths",
        "sandwich": f"{_HERE}.sandwich:SandwichPaths",
        "progressive": f"{_HERE}.progressive:ProgressivePaths",
    },
    ConfigError,
)
"""Classes of rules."""
