"""Tasks: what can be learnt."""

from hwnas.errors import ConfigError
from hwnas.registry import Registry
from hwnas.training.tasks.base import Task

TASKS = Registry[type[Task]](
    "hwnas.tasks",
    "task",
    {"classification": "hwnas.training.tasks.classification:Classification"},
    ConfigError,
)
"""Classes of tasks; each brings the class of its section of the configuration."""
