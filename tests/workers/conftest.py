"""One Ray for all tests that need one: it takes seconds to start, and there are two processors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from hwnas.workers.base import Workers
from hwnas.workers.registry import get_workers

ON_RAY = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="session")
def own_ray() -> Iterator[None]:
    with closing(get_workers("ray")):
        yield


@pytest.fixture(params=["1", "2", "4", pytest.param("ray", marks=ON_RAY)])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    if request.param == "ray":
        request.getfixturevalue("own_ray")
    with closing(get_workers(request.param)) as found:
        yield found


@pytest.fixture(params=["2", pytest.param("ray", marks=ON_RAY)])
def other_processes(request: pytest.FixtureRequest) -> Iterator[Workers]:
    if request.param == "ray":
        request.getfixturevalue("own_ray")
    with closing(get_workers(request.param)) as found:
        yield found
