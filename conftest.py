"""What all tests share, those of the plugins too: every draw comes from a seed, the same for everyone each time.

``HYPOTHESIS_PROFILE=fresh``, as ``make fuzz`` sets it, has property tests draw from fresh seeds.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator

# before NumPy and torch: small networks are fastest on one thread, side by side
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from hwnas.profiling.timer import Effort

# no deadlines: what is slow to import is imported by whoever needs it first
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("fresh", print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Weights and inputs that a test draws from global generators don't depend on the tests before it."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _exports_measure_for_a_moment() -> Iterator[None]:
    """In place of seconds for each file, wherever the tests have what measures."""
    with pytest.MonkeyPatch.context() as patch:
        if beside_fp32 := sys.modules.get("hwnas.artifacts.beside_fp32"):
            patch.setattr(beside_fp32, "_SECONDS_PER_FILE", 0.05)
        for name in ("hwnas.artifacts.precision", "hwnas.artifacts.faster"):
            if module := sys.modules.get(name):
                patch.setattr(module, "_EFFORT", Effort(at_least_s=0.1, at_most_s=0.2))
        yield
