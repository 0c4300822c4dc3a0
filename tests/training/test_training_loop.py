from __future__ import annotations

import copy
import json
import math
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hwnas.arrays import Archs
from hwnas.data.batches import Batches
from hwnas.errors import CheckpointError, ConfigError, DataError, OutputError, SpaceError, TrainingError
from hwnas.nn.model_folder import load_model, save_model
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.records.evaluation import EvaluationRecord
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.training import loop
from hwnas.training.config import TrainConfig
from hwnas.training.gradients import TrainedPath, accumulate
from hwnas.training.learners import supernet as supernet_learner
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.log import read_log
from hwnas.training.loop import run_training
from hwnas.training.optimizer import learning_rate_at
from hwnas.training.sampling import FairDeck, UniformPaths
from hwnas.training.tasks.classification import CrossEntropy
from hwnas.training.trained import load_supernet
from tests.conftest import SMALL_SPACE
from tests.training.training_cases import folder_of_images, short


def saved_network(space: ChainSpace, folder: Path) -> Path:
    save_model(Network(space, space.sample(1, seed=0)[0]), folder)
    return folder


def test_a_fair_update_is_the_sum_of_the_gradients_of_its_paths(small_space: ChainSpace) -> None:
    supernet = Supernet(small_space.inheriting())
    archs = FairDeck(small_space, np.random.default_rng(0)).next(0.0)
    x = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 10
    expected: dict[str, torch.Tensor] = {}
    for arch in archs.tolist():  # each path alone, in float64, with the loss written out
        alone = copy.deepcopy(supernet).double()
        log_p = alone(x.double(), arch).log_softmax(dim=1)
        target = torch.full((16, 10), 0.01).double()
        target[torch.arange(16), labels] += 0.9
        loss = -(target * log_p).sum() / 16
        names = [name for name, p in alone.named_parameters()]
        gradients = torch.autograd.grad(loss, list(alone.parameters()), allow_unused=True)
        for name, gradient in zip(names, gradients, strict=True):
            if gradient is not None:
                expected[name] = expected.get(name, 0) + gradient

    paths = [TrainedPath(name=str(arch), forward=partial(supernet, arch=arch)) for arch in archs.tolist()]
    losses = accumulate(paths, x, labels, CrossEntropy(0.1))
    assert len(losses) == len(archs)
    found = {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(gradient.double(), expected[name], atol=2e-4 * scale + 1e-7, rtol=1e-3)


def test_an_update_leaves_unused_choices_alone_to_the_bit(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = get_space(str(small_yaml))
    first, second = np.zeros((1, 6), dtype=np.int64), np.ones((1, 6), dtype=np.int64)
    dealt: list[Archs] = [first, second]
    monkeypatch.setattr(UniformPaths, "next", lambda self, done: dealt.pop(0))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)

    def keep(what: str, done: int, total: int, note: str) -> None:
        if done == 2:  # the checkpoint in place is that of the first update
            shutil.copy(tmp_path / "run" / "checkpoint.safetensors", tmp_path / "between.safetensors")

    config = short(
        small_yaml, sampling="uniform", paths_per_update=1, epochs=1, batch=640, weight_decay=0.5, warmup_epochs=0
    )
    run_training(config, tmp_path / "run", progress=keep)
    assert not dealt
    between, after = load_file(tmp_path / "between.safetensors"), load_file(tmp_path / "run" / "supernet.safetensors")
    before = Supernet(space.inheriting(), seed=0).state_dict()
    for layer in range(6):
        for choice in range(len(space.layers[layer])):
            names = [
                name for name in after if name.startswith(f"layers.{layer}.{choice}.") and name.endswith(".weight")
            ]
            moved = [
                (not torch.equal(before[n], between[f"weight.{n}"]), not torch.equal(between[f"weight.{n}"], after[n]))
                for n in names
            ]
            assert set(moved) == {{0: (True, False), 1: (False, True)}.get(choice, (False, False))}
            if choice == 0:
                assert all(
                    between[f"optimizer.momentum_buffer.{n}"].abs().sum() > 0 for n in names
                )  # it was there to be misused


def test_a_supernet_learns_and_its_folder_loads(small_yaml: Path, tmp_path: Path) -> None:
    config = short(small_yaml, epochs=6, batch=64, warmup_epochs=1, augment="none", paths_per_update=3)
    steps: list[tuple[int, int]] = []
    result = run_training(
        config, tmp_path / "run", progress=lambda what, done, total, note: steps.append((done, total))
    )
    trained = load_supernet(tmp_path / "run")
    assert min(result.accuracy.values()) > 0.3  # chance is 0.1
    assert result.accuracy == trained.info.accuracy
    assert steps == [(i + 1, len(steps)) for i in range(6 * 20)]
    assert trained.supernet.space.fingerprint == get_space(str(small_yaml)).fingerprint
    assert trained.info.data.preprocessing == trained.data.preprocessing
    log = read_log(tmp_path / "run")
    assert [entry.epoch for entry in log] == list(range(6))
    assert log[-1].loss < log[0].loss - 0.3
    assert all(entry.spread_of_counts <= 1 for entry in log)
    assert log[-1].accuracy == result.accuracy


def test_a_network_learns_and_becomes_a_model_folder(small_space: ChainSpace, tmp_path: Path) -> None:
    start = saved_network(small_space, tmp_path / "start")
    config = TrainConfig(
        data="digits", learner=NetworkConfig(network=str(start)), epochs=8, batch=64, augment="none", threads=1
    )
    result = run_training(config, tmp_path / "run")
    assert result.accuracy["test"] > 0.85
    assert result.result == tmp_path / "run" / "model"
    network = load_model(result.result)
    info = network.info
    assert info.accuracy == result.accuracy
    assert info.labels == tuple("0123456789")
    assert info.data == "digits"
    assert network.choices == load_model(start).choices
    answers = EvaluationRecord.read(result.result / "evaluation.json")
    assert answers.right / answers.images == info.accuracy["test"]
    assert answers.weights_sha256 == info.weights_sha256
    assert answers.labels == info.labels


def test_a_network_gets_a_new_classifier_for_other_classes(small_space: ChainSpace, tmp_path: Path) -> None:
    start = saved_network(small_space, tmp_path / "start")
    images = folder_of_images(tmp_path / "images", per_class=10)
    config = TrainConfig(
        data=str(images),
        learner=NetworkConfig(network=str(start)),
        epochs=1,
        batch=8,
        warmup_epochs=0,
        learning_rate=1e-12,
        threads=1,
    )
    network = load_model(run_training(config, tmp_path / "run").result)
    info = network.info
    before = load_model(start)
    assert network.head.classifier.out_features == 2
    assert info.labels == ("blue", "red")
    name = "stem.conv.0.weight"
    torch.testing.assert_close(network.state_dict()[name], before.state_dict()[name])  # the rest was kept


def test_no_global_random_state_is_read_or_written(small_yaml: Path, tmp_path: Path) -> None:
    weights = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
        run_training(short(small_yaml, epochs=1), tmp_path / str(seed))
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.random.get_state()[1].tolist() == states[1]
        assert random.getstate() == states[2]
        weights.append((tmp_path / str(seed) / "supernet.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_the_seed_of_the_configuration_matters(small_yaml: Path, tmp_path: Path) -> None:
    found = [run_training(short(small_yaml, epochs=1, seed=seed), tmp_path / str(seed)).run for seed in (0, 1)]
    assert len({(run / "supernet.safetensors").read_bytes() for run in found}) == 2


def test_threads_are_put_back(small_yaml: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    during: list[int] = []
    torch.set_num_threads(3)
    try:
        run_training(
            short(small_yaml, epochs=1), tmp_path / "run", progress=lambda *_: during.append(torch.get_num_threads())
        )
        assert set(during) == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def _with_nan_at(step_of_fault: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Batches.view

    def view(
        self: Batches, pixels: torch.Tensor, indices: torch.Tensor, epoch: int, step: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x, labels = original(self, pixels, indices, epoch, step, device)
        return x * (math.nan if (epoch, step) == (0, step_of_fault) else 1), labels

    monkeypatch.setattr(Batches, "view", view)


def test_a_nan_loss_stops_before_it_reaches_the_weights(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_nan_at(2, monkeypatch)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(TrainingError, match=r"became nan at arch .*small.yaml:[0-9,]+, epoch 0, step 2; ") as caught:
        run_training(short(small_yaml), tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    assert str(checkpoint) in str(caught.value)
    assert all(torch.isfinite(tensor).all() for tensor in load_file(checkpoint).values() if tensor.is_floating_point())


def test_an_infinite_gradient_stops_as_well(small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = supernet_learner.accumulate

    def faulty(paths: list[TrainedPath], *args: Any, **options: Any) -> list[float]:
        losses = original(paths, *args, **options)
        paths[0].forward.func.head.classifier.bias.grad.fill_(math.inf)  # type: ignore[attr-defined]
        return losses

    monkeypatch.setattr(supernet_learner, "accumulate", faulty)
    with pytest.raises(TrainingError, match="gradient became"):
        run_training(short(small_yaml), tmp_path / "run")


def test_an_existing_folder_is_left_alone(small_yaml: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        run_training(short(small_yaml), tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_resumes_with_its_own_configuration_only(small_yaml: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_training(short(small_yaml, epochs=1), run)
    with pytest.raises(ConfigError, match="another 'learning_rate'"):
        run_training(short(small_yaml, epochs=1, learning_rate=0.123), run, resume=True)
    with pytest.raises(ConfigError, match="another"):
        run_training(TrainConfig(data="digits", learner=NetworkConfig(network=str(tmp_path))), run, resume=True)


def test_resuming_a_finished_run_does_nothing(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    first = run_training(short(small_yaml, epochs=1), run)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in run.iterdir()}
    monkeypatch.setattr(loop, "_Training", lambda *_: pytest.fail("it trains again"))
    assert run_training(short(small_yaml, epochs=1), run, resume=True) == first
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in run.iterdir()} == before


def test_a_batch_larger_than_the_data(small_yaml: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fewer than one batch of 5000"):
        run_training(short(small_yaml, batch=5000), tmp_path / "run")


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate_at(done, 0.1, 2.0) for done in np.linspace(0, 1, 1001)]
    assert max(rates) == pytest.approx(2.0)
    assert int(np.argmax(rates)) == 100
    assert rates[50] == pytest.approx(1.0)
    assert rates[550] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.0)
    assert learning_rate_at(0.0, 0.0, 2.0) == 2.0


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "space.yaml").write_text(SMALL_SPACE)
    return run_training(short(folder / "space.yaml", epochs=1), folder / "run").run


def _edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _edit_space(run: Path, **changes: object) -> None:
    path = run / "supernet.json"
    _edit_json(path, space={**json.loads(path.read_text())["space"], **changes})


DAMAGES = {
    "no json": (lambda run: (run / "supernet.json").unlink(), "no finished supernet"),
    "text": (lambda run: (run / "supernet.json").write_text("hello"), "isn't JSON"),
    "no schema": (lambda run: (run / "supernet.json").write_text("{}"), "isn't a file of hwnas with schema"),
    "missing key": (lambda run: _edit_json(run / "supernet.json", data={}), "data.source: Field required"),
    "another version": (
        lambda run: _edit_json(run / "supernet.json", schema="hwnas-supernet/1"),
        "has schema hwnas-supernet/1, this hwnas reads hwnas-supernet/2; train the supernet anew",
    ),
    "no weights": (lambda run: (run / "supernet.safetensors").unlink(), "can't read"),
    "garbage": (lambda run: (run / "supernet.safetensors").write_bytes(b"x" * 99), "isn't a safetensors file"),
    "altered": (lambda run: _flip_last_byte(run / "supernet.safetensors"), "hash differs"),
    "other space": (lambda run: _edit_space(run, definition=None, source="macro"), "isn't what it was"),
    "other resolution": (lambda run: _edit_space(run, resolution=32), "isn't what it was"),
    "other flag": (lambda run: _edit_json(run / "supernet.json", stabilizers=False), "has an extra tensor"),
}


def _flip_last_byte(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_told_in_one_line(damage: str, finished_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    harm, expected = DAMAGES[damage]
    harm(run)
    with pytest.raises((CheckpointError, SpaceError), match=expected) as caught:
        load_supernet(run)
    assert "\n" not in str(caught.value)


def test_data_that_has_changed_is_noticed(finished_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    path = run / "supernet.json"
    _edit_json(path, data={**json.loads(path.read_text())["data"], "sha256": "0" * 64})
    with pytest.raises(DataError, match="has changed"):
        _ = load_supernet(run).data


def test_a_checkpoint_that_is_none_is_an_error(finished_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    (run / "supernet.json").unlink()
    (run / "checkpoint.safetensors").write_bytes(b"x" * 99)
    config = short(finished_run.parent / "space.yaml", epochs=1)
    with pytest.raises(CheckpointError, match="isn't a checkpoint"):
        run_training(config, run, resume=True)
