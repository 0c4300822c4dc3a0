"""Learners: what a training can train."""

from hwnas.errors import ConfigError
from hwnas.registry import Registry
from hwnas.training.learners.base import Learner

LEARNERS = Registry[type[Learner]](
    "hwnas.learners",
    "learner",
    {
        "supernet": "hwnas.training.learners.supernet:SupernetLearner",
        "network": "hwnas.training.learners.network:NetworkLearner",
    },
    ConfigError,
)
"""Classes of learners; each brings the class of its section of the configuration."""
