"""Which workers ``--workers`` means."""

from __future__ import annotations

import re

from hwnas.errors import ConfigError
from hwnas.workers.base import Workers
from hwnas.workers.here import Here
from hwnas.workers.local import LocalProcesses


def get_workers(text: str) -> Workers:
    """The workers that a text names; ``close`` them in the end.

    Args:
        text: ``1`` for this process alone, ``N`` for so many processes on this machine, ``ray`` for a Ray on this
            machine, which ends with the workers, ``ray:ADDRESS`` for a running cluster: ``ray:HOST:PORT``,
            ``ray:auto`` for the one that this machine is part of, ``ray:ray://HOST:PORT`` for its client server.

    Raises:
        ConfigError: none of these, or nothing answers at the address.
        RuntimeMissingError: Ray isn't installed.
    """
    if re.fullmatch(r"[1-9]\d{0,3}", text):
        return Here() if text == "1" else LocalProcesses(int(text))
    name, colon, address = text.partition(":")
    if name == "ray" and bool(colon) == bool(address):
        from hwnas.workers.on_ray import OnRay  # loads Ray

        return OnRay(address or None)
    raise ConfigError(f"workers are a number of processes (1 or more), ray or ray:ADDRESS, got {text!r:.100}")
