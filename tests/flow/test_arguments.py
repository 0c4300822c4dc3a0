"""Wrong arguments in Python: one line of the library's own, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwnas
from hwnas.errors import ArchError, BudgetError, ConfigError, HwnasError, InputError, ObjectiveError
from hwnas.flow.open import open_budgeted
from hwnas.flow.table import validate_table
from hwnas.space.chain import ChainSpace
from tests.cli.conftest import Flow, flow  # noqa: F401

TINY = hwnas.get_space("scarlet-tiny")
ARCH = "macro:0,0,0,0,0,0,0,0"


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30, 0.5, True])
@pytest.mark.parametrize(
    "call",
    [
        lambda seed: hwnas.derive(ARCH, seed=seed, output="out"),
        lambda seed: hwnas.export("scarlet-a", "onnx-fp32", "out", seed=seed),
        lambda seed: hwnas.bench([], seed=seed),
        lambda seed: hwnas.demo("out", seed=seed),
        lambda seed: hwnas.profile("macro", seed=seed, output="out"),
        lambda seed: hwnas.rank("run", standalone=10, seed=seed),
        lambda seed: hwnas.similarity("run", seed=seed),
        lambda seed: hwnas.search(TINY, [hwnas.Objective("size", np.sum)], seed=seed),
        lambda seed: hwnas.train(hwnas.TrainConfig(data="digits"), "out", seed=seed),
        lambda seed: hwnas.TrainConfig(data="digits", seed=seed),
        lambda seed: hwnas.Supernet(TINY, seed=seed),
        lambda seed: TINY.sample(1, seed),
        lambda seed: validate_table("table.yaml", seed=seed),
    ],
)
def test_seeds(call: Callable[[Any], Any], seed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="seed") as error:
        call(seed)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_seed(small_space: ChainSpace) -> None:
    assert len(small_space.sample(3, 2**63 - 1)) == 3
    assert hwnas.Supernet(small_space, seed=2**63 - 1).space is small_space


@pytest.mark.parametrize("key", ["epochs", "batch", "threads"])
def test_counts_of_a_training(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        hwnas.TrainConfig(data="digits", **{key: 10**23})


def test_a_refused_search_leaves_nothing(flow: Flow, tmp_path: Path) -> None:  # noqa: F811
    output, there = tmp_path / "search", sorted(flow.supernet.iterdir())
    for wrong in (
        {"evaluations": -3},
        {"evaluations": 2**63},
        {"seed": 2**63},
        {"measuring_s": -1.0},
        {"measuring_s": float("nan")},
        {"strategy": "none"},
    ):
        with pytest.raises(HwnasError):
            hwnas.search(flow.supernet, tables=flow.table, output=output, **wrong)  # type: ignore[arg-type]
        assert not output.exists()
    assert sorted(flow.supernet.iterdir()) == there


def test_a_table_alone_and_as_the_command_line_has_it(flow: Flow) -> None:  # noqa: F811
    table = hwnas.LatencyTable.load(flow.table)
    for one in (table, flow.table, str(flow.table)):
        assert [each.budget_ms for each in open_budgeted(one)] == [None]
        assert [each.budget_ms for each in open_budgeted((one, np.float32(2)))] == [2]
        assert [each.budget_ms for each in open_budgeted((one, None))] == [None]
        assert len(open_budgeted((one, one))) == 2
    assert [each.budget_ms for each in open_budgeted([f"{flow.table}:0.05", flow.table])] == [0.05, None]
    assert open_budgeted(f"{flow.table}:3")[0].path == flow.table
    with pytest.raises(BudgetError, match="must be a number of ms, got 'fast'"):
        open_budgeted(f"{flow.table}:fast")


def test_what_is_missing_or_of_another_kind() -> None:
    with pytest.raises(ArchError, match="got 1 tables, 0 archs"):
        hwnas.predict("table.yaml", [])
    with pytest.raises(ArchError, match="got 0 tables, 1 archs"):
        hwnas.predict([], [ARCH])
    with pytest.raises(ObjectiveError, match=r"takes Objectives, got 'madds'.*LatencyPredictor.*tables="):
        hwnas.search(TINY, tables=["table.yaml"])  # type: ignore[call-overload]
    with pytest.raises(InputError, match="count must be an integer from 0"):
        TINY.sample(-1, seed=0)
    with pytest.raises(ArchError, match="found no arch within its budgets"):
        hwnas.derive(None, "run")


TABLE = hwnas.LatencyTable.load(sorted((Path(__file__).parents[2] / "latency_tables").glob("*/macro*.yaml"))[0])
FREE = [hwnas.Objective("size", lambda archs: archs.sum(axis=1), free=True)]


def _raising(archs: Any) -> Any:
    return {}["x"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: hwnas.search(TINY, FREE, output="x"), "output= is for the search of a trained supernet"),
        (lambda: hwnas.search(TINY, FREE, tables="t.yaml"), "tables= is for"),
        (lambda: hwnas.search(TINY, FREE, measuring_s=1.0), "measuring_s= is for"),
        (lambda: hwnas.search(TINY, FREE, weights={}), "weights= is for"),
        (lambda: hwnas.search(TINY, FREE, baseline=True), "baseline= is for"),
        (lambda: hwnas.search(TINY, FREE, resume=True), "a store= keeps"),
        (lambda: hwnas.search(TINY, FREE, strategy=None), "strategy must be a str or a function, got None"),
        (lambda: hwnas.search(TINY, [hwnas.Objective("n", lambda archs: None)]), r"n returned None, must be \(1,\)"),
        (
            lambda: hwnas.search(TINY, [hwnas.Objective("n", sum, free=True)]),
            r"n returned shape \(8,\), must be \(20,\)",
        ),
        (lambda: hwnas.search(TINY, [hwnas.Objective("n", np.sum, free=True)]), "n returned one int64, must be"),
        (
            lambda: hwnas.search(TINY, [hwnas.Objective("n", _raising)]),
            r"KeyError: 'x' \(test_arguments\.py, line \d+\)",
        ),
        (lambda: hwnas.search(TINY, FREE[0]), "objectives must be a list"),
        (lambda: hwnas.search("scarlet-tiny", FREE), r"get_space\('scarlet-tiny'\)"),
        (lambda: hwnas.search(None, FREE), "of must be a Space, a TrainRecord, a Path or a str, got None"),
        (lambda: hwnas.search("run", tables="t.yaml", output="x", progress=3), "progress must be a function or None"),
        (lambda: hwnas.predict(TABLE, [[0]], quantile="p99"), "quantile must be 'p50' or 'p90', got 'p99'"),
        (lambda: hwnas.LatencyPredictor(TABLE, TINY, quantile="p99"), "quantile must be 'p50' or 'p90'"),
        (lambda: hwnas.LatencyPredictor(TABLE, "scarlet-tiny"), "space must be a Space, got 'scarlet-tiny'"),
        (lambda: hwnas.predict([TABLE, None], [ARCH]), "table must be a LatencyTable, .* or a list of these"),
        (lambda: hwnas.predict(TABLE, None), "archs must be an Arch, .*got None"),
        (lambda: hwnas.predict(TABLE, np.zeros((1, 8))), "is 8 integers, got an array of float64"),
        (lambda: hwnas.count([6] * 8), "a model is an ONNX file, module:callable, an nn.Module or an OnnxModel, got"),
        (lambda: hwnas.profile("macro", held_out=-1), "held_out must be an integer from 0"),
        (lambda: hwnas.profile("macro", confidence=0), "confidence must be more than 0"),
        (lambda: hwnas.profile("macro", seconds=-1), "seconds must be more than 0"),
        (
            lambda: hwnas.profile("macro", on=["ssh://a"]),
            r"on must be .*; several .*hwnas\.flow\.carry_out\.profile_each",
        ),
        (lambda: hwnas.profile("macro", networks="3"), "networks must be an integer, got '3'"),
        (lambda: hwnas.profile("macro", tell=3), "tell must be a function, got 3"),
        (lambda: hwnas.profile("macro", options="x"), "options must be a dict or None"),
        (lambda: hwnas.get_space("macro", 32.0), "resolution must be an integer from 1 to 65536, got 32.0"),
        (lambda: hwnas.get_space("macro", classes=True), "classes must be an integer .*got True"),
        (lambda: hwnas.get_space(Path("mine.yaml")), "can't read mine.yaml"),
        (lambda: hwnas.export(ARCH, None, "x"), "targets must be a str or a list of these"),
        (lambda: hwnas.bench("artifact", threads=1), "threads must be a list, each of it an integer, got 1"),
        (lambda: hwnas.bench([]), "give an artifact or a model"),
        (lambda: hwnas.bench("nowhere"), "there is no folder nowhere; give one that hwnas export made"),
        (lambda: hwnas.report(None, output="x"), "shown must be a SearchRecord"),
        (lambda: hwnas.train("nowhere"), r"there is no file nowhere; .* configuration, a \.yaml file"),
        (lambda: hwnas.train("."), r"\. is a folder; .* configuration, a \.yaml file"),
        (lambda: hwnas.TrainConfig(data="digits", learner="x"), "learner: Input should be keys with values, got 'x'"),
        (lambda: hwnas.train({}), "config must be a TrainConfig, a Path or a str, got {}"),
        (lambda: hwnas.LatencyTable.load(None), "path must be a str or a Path, got None"),
        (lambda: hwnas.load_artifact("nowhere"), "nowhere"),
        (lambda: hwnas.SearchRecord.read("nowhere"), "nowhere"),
    ],
)
def test_each_wrong_argument_is_named(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        call()


def test_a_folder_of_records_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text("{}")
    with pytest.raises(InputError, match=r"is a folder; read .*search\.json"):
        hwnas.SearchRecord.read(tmp_path)


def test_what_numpy_counts_and_a_flat_list() -> None:
    assert hwnas.get_space("scarlet-tiny", np.int64(48), np.int32(7)).resolution == 48
    (arch,) = TABLE.get_space().sample(1, 0)
    once = [float(hwnas.predict(TABLE, one).latency_ms[0]) for one in (arch, list(arch), arch.tolist(), [arch])]
    assert len(set(once)) == 1
