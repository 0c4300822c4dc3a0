"""Which workers ``--workers`` means."""

from __future__ import annotations

from hwnas.errors import ConfigError
from hwnas.workers.base import Workers
from hwnas.workers.here import Here


def get_workers(text: str) -> Workers:
    """The workers that a text names; ``close`` them in the end.

    Raises:
        ConfigError: it names none.
    """
    if text == "1":
        return Here()
    raise ConfigError(f"workers are 1, got {text!r:.100}")
