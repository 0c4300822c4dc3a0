"""Several real processes train as one; what one of them does wrong, the others tell in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from hwnas.errors import ConfigError
from hwnas.training.distributed import World, joined
from hwnas.training.synced_batchnorm import SyncedBatchNorm2d, synchronise_batchnorm
from tests.conftest import SMALL_SPACE
from tests.training.distributed_worker import BATCH, accumulate, batch, gradients, statistics, supernet_and_archs

_ROOT = Path(__file__).parents[2]
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_WORKER = ["-m", "tests.training.distributed_worker"]


def _environment(**changes: str) -> dict[str, str]:
    without = {name: value for name, value in os.environ.items() if name not in _TORCHRUN}
    return {**without, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "FATAL", **changes}


def torchrun(case: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Two processes, as a user starts them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, *_WORKER, case, str(folder), "60"], cwd=_ROOT, env=_environment(), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that don't outlive the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(
    started: list[subprocess.Popen[str]], case: str, folder: Path, timeout_seconds: float, ranks: int = 2
) -> None:
    """Processes of a world of two without torchrun, which would itself end the second when the first ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for rank in range(ranks):
        environment = _environment(
            RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=port
        )
        command = [sys.executable, *_WORKER, case, str(folder), str(timeout_seconds)]
        started.append(
            subprocess.Popen(
                command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )


def assert_lost(process: subprocess.Popen[str]) -> None:
    """It ends in one line that says that another one stopped."""
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith(
        "hwnas: another process of this training stopped or didn't answer (this is number 0 of 0 to 1)"
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes do that make no fault, a fair update among it. What is asserted is in the worker, on both."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "space.yaml").write_text(SMALL_SPACE)
    ended = torchrun("together", folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def assert_equal(ours: dict[str, torch.Tensor], oracle: dict[str, torch.Tensor]) -> None:
    assert {name for name in ours if name in oracle} == set(oracle)
    for name, tensor in oracle.items():
        torch.testing.assert_close(
            ours[name], tensor, rtol=1e-9, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_with_synced_bn_an_update_is_that_of_the_whole_batch(together: Path) -> None:
    supernet, archs = supernet_and_archs(together / "space.yaml")
    accumulate(supernet, archs, *batch())
    expected = gradients(supernet) | statistics(supernet)
    unused = [name for name, parameter in supernet.named_parameters() if parameter.grad is None]
    assert unused  # the paths left choices alone, whose gradients must stay absent
    for rank in range(2):
        found = load_file(together / f"synced-{rank}.safetensors")
        assert set(found) == set(expected)
        assert_equal(found, expected)


def test_without_synced_bn_an_update_is_the_mean_over_the_shares(together: Path) -> None:
    x_NCHW, labels = batch()
    halves = []
    for part in (slice(None, BATCH // 2), slice(BATCH // 2, None)):
        supernet, archs = supernet_and_archs(together / "space.yaml")
        accumulate(supernet, archs, x_NCHW[part], labels[part])
        halves.append((gradients(supernet), statistics(supernet)))
    expected = {name: (gradient + halves[1][0][name]) / 2 for name, gradient in halves[0][0].items()}
    for rank in range(2):
        found = load_file(together / f"unsynced-{rank}.safetensors")
        assert_equal(found, expected | halves[rank][1])  # statistics are each process's own
    # the two differ, so neither test can pass for the other
    synced = load_file(together / "synced-0.safetensors")
    assert not any(
        torch.allclose(synced[name], tensor, rtol=1e-3) for name, tensor in expected.items() if "conv" in name
    )


def test_all_processes_have_the_same_gradients_to_the_bit(together: Path) -> None:
    for kind in ("synced", "unsynced"):
        first, second = (load_file(together / f"{kind}-{rank}.safetensors") for rank in range(2))
        for name in first:
            if "running" not in name:
                assert torch.equal(first[name], second[name]), name


def test_a_killed_process_ends_the_others(started: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    start(started, "killed", tmp_path, timeout_seconds=600)  # not by the timeout
    assert_lost(started[0])
    assert started[1].wait(timeout=60) == -signal.SIGKILL


def test_a_fault_is_shown_by_the_process_that_has_it(started: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    start(started, "faulty", tmp_path, timeout_seconds=600)
    assert_lost(started[0])
    _, errors = started[1].communicate(timeout=60)
    assert errors.splitlines()[-1].endswith("RuntimeError: a fault of the code")


def test_the_summary_of_torchrun_tells_the_fault(tmp_path: Path) -> None:
    """As its root cause, or beside it: torchrun orders failures by whole seconds, and the others follow at once."""
    ended = torchrun("faulty", tmp_path)
    assert ended.returncode == 1
    _, *failures = ended.stderr.split("rank      : ")
    (fault,) = [failure for failure in failures if failure.startswith("1 ")]
    assert "traceback : RuntimeError: a fault of the code" in fault


def test_a_process_that_hangs_ends_the_others(started: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    start(started, "hanging", tmp_path, timeout_seconds=3)
    assert_lost(started[0])


def test_a_process_that_never_comes_ends_the_others(started: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    start(started, "agreement", tmp_path, timeout_seconds=2, ranks=1)
    assert_lost(started[0])


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _TORCHRUN:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("alone")
def test_a_world_of_one_changes_nothing() -> None:
    with joined("cpu") as world:
        assert world == World(device=torch.device("cpu"), rank=0, size=1)
        assert world.is_main
        assert not dist.is_initialized()
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = gradient = torch.tensor([1.0, float("nan")])
        world.average_gradients([parameter, nn.Parameter(torch.zeros(1))])
        world.broadcast([gradient])
        assert parameter.grad is gradient
        assert gradient[0] == 1.0
        assert world.mean([0.1, 0.2]) == [0.1, 0.2]
        world.check_same("the data", "anything")
        world.wait()


@pytest.mark.usefixtures("alone")
def test_one_process_of_torchrun_is_a_world_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, {})
    with joined("cpu") as world:
        assert world.size == 1
        assert not dist.is_initialized()


def _set(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None]) -> None:
    whole = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {**whole, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": None}, "no RANK"),
        ({"WORLD_SIZE": None, "RANK": ""}, "no RANK"),
        ({"LOCAL_RANK": None}, "no LOCAL_RANK"),
        ({"MASTER_ADDR": None}, "no MASTER_ADDR"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT='http', not a number"),
        ({"RANK": "-1"}, "RANK='-1', not a number"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 LOCAL_RANK=0 WORLD_SIZE=2, which can't be"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0, which can't be"),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, "LOCAL_RANK=1"),
    ],
)
def test_an_environment_that_makes_no_sense(
    changes: dict[str, str | None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, changes)
    with pytest.raises(ConfigError, match=message) as caught, joined("cpu"):
        pass
    assert "torchrun" in str(caught.value)
    assert not dist.is_initialized()


@pytest.mark.usefixtures("alone")
def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    rank = str(torch.cuda.device_count())
    _set(monkeypatch, {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(int(rank) + 1)})
    with pytest.raises(ConfigError, match="lower --nproc-per-node"), joined("cuda"):
        pass


def test_synced_bn_in_a_world_of_one_is_the_plain_one() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=None))
    optimized, names = list(network.parameters()), list(network.state_dict())
    plain = nn.BatchNorm2d(4, momentum=None)
    synchronise_batchnorm(network)
    assert isinstance(network[1], SyncedBatchNorm2d)
    assert list(network.state_dict()) == names
    assert all(ours is theirs for ours, theirs in zip(network.parameters(), optimized, strict=True))
    x_NCHW = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        assert torch.equal(network[1].train(training)(x_NCHW), plain.train(training)(x_NCHW))
    assert torch.equal(network[1].running_var, plain.running_var)
