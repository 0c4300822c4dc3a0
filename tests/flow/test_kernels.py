"""Anyone's models from their files to a table and back, on the runtimes that are here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hwnas
from hwnas.errors import ConfigError, ModelError, OutputError, TableError
from hwnas.flow.kernels import ModelPredictions, per_layer, predict_models, profile_models
from hwnas.tables.kernel_table import KernelTable
from tests.onnx_models import exported


def net(width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 2, 1), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = []
    for width, depth in ((16, 1), (32, 2), (32, 4), (64, 3)):
        paths.append(folder / f"w{width}-d{depth}.onnx")
        paths[-1].write_bytes(exported(net(width, depth), torch.zeros(1, 3, 32, 32)))
    return paths


@pytest.fixture(scope="module")
def table(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "table.json"
    profile_models(files[:3], seconds=0.5, output=path)
    return path


def test_a_table_has_each_kernel_once_and_all_models(table: Path, files: list[Path]) -> None:
    made = KernelTable.read(table)
    assert [model.name for model in made.models] == [str(path) for path in files[:3]]
    launched = [each.kernel for model in made.models for each in model.launches]
    assert set(made.by_key) == set(launched)
    assert len(launched) > len(made.kernels)
    assert made.calibration
    assert not made.failed


def test_what_a_table_knows_is_not_measured_again(table: Path, files: list[Path]) -> None:
    before = KernelTable.read(table)
    after = profile_models(files, known=table, seconds=0.3)
    assert set(before.kernels) <= set(after.kernels)
    assert set(before.models) <= set(after.models)
    assert len(after.models) == 4
    assert len(after.measured) == 2
    again = profile_models(files, known=after, seconds=0.3)
    assert again == after  # nothing was left to measure


def test_measured_models_are_told_as_measured_and_others_are_predicted(table: Path, files: list[Path]) -> None:
    found = predict_models(table, files).models
    made = KernelTable.read(table)
    assert [each.measured for each in found] == [True, True, True, False]
    assert found[0].latency_ms == made.models[0].p50_ms
    other = found[3]
    assert other.latency_ms > 0
    assert {each.source for each in other.launches} == {"guessed", "unknown"} or not other.unknown


def test_a_table_tells_the_layers_of_its_own_models_when_their_files_are_gone(table: Path) -> None:
    made = KernelTable.read(table)
    gone = made.model_copy(update={"models": (made.models[0].model_copy(update={"name": "gone.onnx"}),)})
    found = per_layer(gone, "gone.onnx")
    assert [each.name for each in found.launches] == [each.name for each in made.models[0].launches]
    assert all(each.latency_ms >= 0 for each in found.launches)


def test_bad_requests_end_in_one_line(table: Path, files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        profile_models(files[:1], output=table)
    with pytest.raises(ConfigError, match="seconds must be"):
        profile_models(files[:1], seconds=0)
    with pytest.raises(TableError, match="another device: threads is 1 there and 2 here"):
        profile_models(files[:1], threads=2, known=table)
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        profile_models([tmp_path / "absent.onnx"], output=tmp_path / "new.json")
    assert not (tmp_path / "new.json").exists()
    with pytest.raises(ConfigError, match="a model or more"):
        profile_models([])


def test_predict_takes_either_kind_of_table_and_archs_with_files(table: Path, files: list[Path]) -> None:
    found = hwnas.predict(table, [files[0], "macro:0,0,0,0,0,0,0,0", net(16, 1)], shapes=None)
    assert isinstance(found, ModelPredictions)
    assert found.latency_ms.shape == (3,)
    assert [each.measured for each in found.models] == [True, False, False]
    assert found.models[1].name == "macro:0,0,0,0,0,0,0,0"
    with pytest.raises(hwnas.HwnasError, match=r"no arch 'nonsense'"):
        hwnas.predict(table, "nonsense")
