"""What ``--workers`` may say, and what is said of what it may not."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from hwnas.errors import ConfigError
from hwnas.workers.local import LocalProcesses
from hwnas.workers.registry import Here, get_workers
from tests.workers import calls
from tests.workers.conftest import ON_RAY


def test_a_number_means_processes_and_one_means_none() -> None:
    assert isinstance(get_workers("1"), Here)
    assert isinstance(get_workers("3"), LocalProcesses)


@pytest.mark.parametrize("text", ["", "0", "-1", "01", "1.5", "two", "ray:", "rays", "Ray", "1 2", "99999", "²"])
def test_what_is_none_of_them(text: str) -> None:
    with pytest.raises(ConfigError, match=r"workers are a number of processes \(1 or more\), ray or ray:ADDRESS, got"):
        get_workers(text)


def refused(address: str) -> str:
    with pytest.raises(ConfigError) as caught:
        get_workers(f"ray:{address}")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("address", ["somewhere", "host:port", "host:99999", ":6379", "ray://", "[::1"])
def test_an_address_that_is_none(address: str) -> None:
    assert "that isn't HOST:PORT, auto or ray://HOST:PORT" in refused(address)


def test_an_address_where_nothing_answers() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and doesn't listen
        port = closed.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            assert "Connection refused; is the cluster running, is the port right?" in refused(address)
    assert "is the cluster running" in refused("no-such-host.invalid:6379")


def test_an_address_where_something_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("hwnas.workers.on_ray._ANSWER_S", 0.2)
        assert "timed out; is the cluster running" in refused(f"127.0.0.1:{silent.getsockname()[1]}")
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with server:
        assert server.stdout is not None
        port = server.stdout.readline().split()[5]
        assert "something else answers there; is the port right?" in refused(f"127.0.0.1:{port}")
        server.terminate()


def test_without_ray_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from hwnas.errors import RuntimeMissingError\n"
        "from hwnas.workers.registry import get_workers\n"
        "try: get_workers('ray')\nexcept RuntimeMissingError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'Ray isn\'t installed; pip install "hwnas[ray]"\n'


def test_asking_for_workers_loads_no_ray() -> None:
    code = "import hwnas.workers.registry, sys; print(sorted({'ray', 'torch', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@ON_RAY
def test_a_node_with_another_hwnas(own_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = get_workers("ray")
    monkeypatch.setattr("hwnas.workers.on_ray.__version__", "0.0.7")
    with pytest.raises(ConfigError, match=r"can't work for this hwnas 0\.0\.7; install the same there .*hwnas 0\.1"):
        list(workers.map(calls.square, [1]))


@ON_RAY
def test_a_node_without_hwnas(own_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if: the driver sends what no node can import."""
    monkeypatch.setattr("hwnas.workers.on_ray._carry_out.__module__", "hwnas_of_the_driver")
    monkeypatch.setitem(sys.modules, "hwnas_of_the_driver", sys.modules["hwnas.workers.on_ray"])
    with pytest.raises(ConfigError, match=r"install the same there .*No module named 'hwnas_of_the_driver'\)"):
        list(get_workers("ray").map(calls.square, [1]))


@ON_RAY
def test_a_second_ray_in_one_process(own_ray: None) -> None:
    assert "this process is connected to another already" in refused("auto")
