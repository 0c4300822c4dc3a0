"""Bad input: one line that says what, where and what to do; exit 2; nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import ConfigError
from hwnas.files import write_atomic
from hwnas.optimize import Store
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from hwnas.training.config import TrainConfig
from hwnas.training.run_folder import check_run
from hwnas.training.trained import SupernetAccuracy
from tests.cli.conftest import Flow
from tests.cli.run import Shell


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["count", "scarlet-x"], "scarlet-a"),
        (["count", "scarlet-s2:1,2,3"], "19 choices, got 3"),
        (["count", "scarlet-s2:13" + ",0" * 18], "layer 0"),
        (["count", "scarlet-s2:12" + ",0" * 18], "barred at layer 0"),
        (["count", "scarlet-s2:0" + ",0" * 17 + ",12"], "barred at layer 18"),
        (["count", "macro:0,1,2,3,0,1,2,0"], "layer 3"),
        (["count", "nowhere:1,2"], "no space 'nowhere'"),
        (["count", "scarlet-a", "--resolution", "31"], "at least 32"),
        (["count", "scarlet-a", "--resolution", "big"], "--resolution"),
        (["count"], "Missing argument"),
        (["fly"], "No such command"),
        (["count", "scarlet-a", "--what"], "No such option"),
        (["space", "show", "nothing.yaml"], "can't read"),
        (["table", "show", "nothing.yaml"], "can't read"),
        (["derive", "scarlet-a", "--supernet", "nothing", "-o", "x"], "nothing"),
        (["derive", "scarlet-a", "--checkpoint", "nothing", "-o", "x"], "can't read"),
        (["derive", "macro:0,0,0,0,0,0,0,0", "--checkpoint", "nothing", "-o", "x"], "official checkpoints"),
        (["export", "nothing", "--target", "onnx-fp32", "-o", "x"], "no model 'nothing'"),
        (["export", "scarlet-a", "--target", "onnx-fp3", "-o", "x"], "onnx-fp32"),
        (["bench", "nothing"], "there is no folder nothing; give one that hwnas export made"),
        (["report", "nothing", "-o", "x.html"], "nothing"),
        (["train", "nothing.yaml"], "there is no file nothing.yaml"),
        (["profile", "--space", "macro", "--runtime", "magic", "-o", "x.yaml"], "no runtime 'magic'"),
        (["profile", "--space", "macro", "--threads", "999", "-o", "x.yaml"], "threads must be 1 to"),
        (["profile", "--space", "macro", "--precision", "fp4", "-o", "x.yaml"], "fp32"),
        (["demo", "--budget-ms", "-1", "-o", "x"], "budget"),
        (["demo", "--budget-ms", "inf", "-o", "x"], "budget"),
        (["profile", "--space", "macro", "--seconds", "inf", "-o", "x.yaml"], "--seconds"),
        (["profile", "--space", "macro", "--seconds", "nan", "-o", "x.yaml"], "--seconds"),
        (["kit", "build", "--space", "macro", "--seconds", "inf", "-o", "x.pyz"], "--seconds"),
        (["search", "--supernet", "x", "--table", "x.yaml", "--measure", "--seconds", "inf", "-o", "x"], "--seconds"),
        (["search", "--supernet", "x", "--table", "x.yaml", "--seconds", "nan", "-o", "x"], "--seconds"),
        (["demo", "--seed", str(2**63), "-o", "x"], "--seed"),
        (["derive", "scarlet-a", "-o", "x", "--seed", "9" * 23], "--seed"),
        (["train", "config.yaml", "-o", "x", "--seed", "9" * 23], "--seed"),
        (
            ["profile", "--space", "macro", "--resolution", "9" * 23, "-o", "x"],
            "resolution must be an integer from 1 to 65536",
        ),
        (["count", "scarlet-a", "--classes", "9" * 23], "classes must be an integer from 1 to 65536"),
        (["search", "--supernet", "nope", "--table", "nope.yaml", "-o", "x"], "nope"),
        (["report", "nothing", "-o", "x.html"], "nothing doesn't exist"),
        (["similarity", "nothing"], "nothing doesn't exist; give the run folder of a supernet"),
    ],
)
def test_refused(hwnas: Shell, words: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert part in hwnas.refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_exist_are_kept(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    for words in [
        ["profile", "--space", "macro"],
        ["search", "--supernet", flow.supernet, "--table", flow.table],
        ["derive", "scarlet-a"],
        ["derive", f"{flow.space}:0,0,0,0,0,0", "--supernet", flow.supernet],
        ["export", flow.model, "--target", "onnx-fp32"],
        ["report", flow.search],
        ["train", flow.root / "supernet-config.yaml"],
        ["demo"],
    ]:
        assert "exists already" in hwnas.refused(*words, "-o", there)
    assert there.read_text() == "mine"


@pytest.mark.parametrize(
    ("budget", "part"),
    [("0", "positive"), ("-3", "positive"), ("nan", "finite"), ("fast", "number of ms"), ("0.0001", "fastest")],
)
def test_budgets_that_make_no_sense(hwnas: Shell, flow: Flow, tmp_path: Path, budget: str, part: str) -> None:
    message = hwnas.refused(
        "search", "--supernet", flow.supernet, "--table", f"{flow.table}:{budget}", "-o", tmp_path / "search"
    )
    assert part in message
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("store", "told"),
    [(":memory:", "':memory:' is none"), ("file:s.db", "'file:s.db' is none"), ("/dev/null", "'/dev/null' is none"),
     ("", "'.' is a folder")],
)  # fmt: skip
def test_a_store_that_is_no_file(hwnas: Shell, flow: Flow, tmp_path: Path, store: str, told: str) -> None:
    words = ["--supernet", flow.supernet, "--table", flow.table, "--store", store, "-o", tmp_path / "search"]
    assert f"a store is a file, {told}" in hwnas.refused("search", *words)
    assert not (tmp_path / "search").exists()


def test_a_budget_in_microseconds_gets_a_hint(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    table, space = LatencyTable.load(flow.table), get_space(str(flow.space))
    budget_us = 1000 * float(np.median(LatencyPredictor(table, space)(space.sample(100, 0))))
    message = hwnas.refused(
        "search", "--supernet", flow.supernet, "--table", f"{flow.table}:{budget_us}", "-o", tmp_path / "search"
    )
    assert "isn't in milliseconds" in message


def test_a_table_of_another_space(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(flow.table.read_text().replace("c_in: 12", "c_in: 13"))
    message = hwnas.refused("search", "--supernet", flow.supernet, "--table", other, "-o", tmp_path / "search")
    assert "other.yaml: [mbconv 13x4x4->12x4x4 k3 s1 e2 hswish] is no op of" in message
    assert "lacks" in hwnas.refused("predict", "--table", flow.table, "macro:0,0,0,0,0,0,0,0")


@pytest.mark.parametrize(
    ("old", "new"), [("p50_ms: 0", "p50_ms: -0"), ("p50_ms: 0.", "p50_ms: .nan #"), ("device:", "d:")]
)
def test_damaged_tables(hwnas: Shell, flow: Flow, tmp_path: Path, old: str, new: str) -> None:
    table = tmp_path / "table.yaml"
    table.write_text(flow.table.read_text().replace(old, new, 1))
    assert "table.yaml" in hwnas.refused("predict", "--table", table, f"{flow.space}:0,0,0,0,0,0")


def test_what_is_no_supernet_is_told_what_it_is(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    for given, what in {
        flow.table: "is a file",
        flow.search: "is a search folder",
        flow.artifact: "is an artifact",
        flow.model: "is a model folder",
        flow.root / "nope": "doesn't exist",
    }.items():
        message = hwnas.refused("search", "--supernet", given, "--table", flow.table, "-o", tmp_path / "search")
        assert f"{given} {what}; give the run folder of a supernet" in message


def test_messages_name_the_table(hwnas: Shell, flow: Flow) -> None:
    other = "macro:0,0,0,0,0,0,0,0"
    assert f"{flow.table}: the table (made for" in hwnas.refused("predict", "--table", flow.table, other)
    assert "--resolution" not in hwnas.refused("predict", "--table", flow.table, "nowhere:1,2")
    message = hwnas.refused("predict", "--table", flow.table, "scarlet-a")
    assert f"{flow.table} is of {flow.space} at 16 px, give a --resolution" in message
    message = hwnas.refused("table", "validate", flow.table, "--held-out")
    assert f"{flow.table}: it holds 0 networks" in message
    assert "hwnas profile --held-out 20" in message


def test_weights_of_another_arch(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(flow.model, model)
    (model / "weights.safetensors").write_bytes(b"\0" * 100)
    assert "weights.safetensors" in hwnas.refused("export", model, "--target", "onnx-fp32", "-o", tmp_path / "a")
    message = hwnas.refused("derive", "macro:0,0,0,0,0,0,0,0", "--supernet", flow.supernet, "-o", tmp_path / "m")
    assert "the supernet of small" in message


def test_resuming_with_other_settings(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    search = tmp_path / "search"
    shutil.copytree(flow.search, search)
    begun = ["search", "--supernet", flow.supernet, "-o", search, "--resume"]
    words = [*begun, "--table", flow.table]
    assert "seed" in hwnas.refused(*words, "--seed", "5")
    assert "another 'objectives.2.name' (madds, now params)" in hwnas.refused(*words, "--objective", "params")
    assert "another 'objectives.2.weight' (0.0, now 1.0)" in hwnas.refused(*words, "--weight", "madds=1")
    assert "another 'store' (evaluations.sqlite beside" in hwnas.refused(*words, "--store", tmp_path / "own.sqlite")
    assert "another 'tables.0.budget_ms' (None, now 9000.0)" in hwnas.refused(*begun, "--table", f"{flow.table}:9e3")
    assert not (tmp_path / "own.sqlite").exists()


def test_resuming_where_everything_was_moved(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    search, supernet, table = tmp_path / "search", tmp_path / "moved", tmp_path / "renamed.yaml"
    shutil.copytree(flow.search, search)
    shutil.copytree(flow.supernet, supernet)
    shutil.copy(flow.table, table)
    words = ["search", "--supernet", supernet, "--evaluations", "12", "-o", search, "--resume"]
    assert hwnas(*words, "--table", table).status == 0
    table.write_text(table.read_text().replace("cores: ", "cores: 9"))
    assert "another 'tables.0.sha256'" in hwnas.refused(*words, "--table", table)


def test_training_goes_on_where_its_images_were_moved(tmp_path: Path) -> None:
    config, run = TrainConfig(data="photos"), tmp_path / "run"
    write_atomic(run / "config.yaml", config.to_yaml())
    moved = config.model_copy(update={"data": "elsewhere/photos"})
    with pytest.raises(ConfigError, match=r"another 'data' \(photos, now elsewhere/photos\)"):
        check_run(run, moved, resume=True)
    (run / "data.json").touch()  # by its hash other images are told
    check_run(run, moved, resume=True)
    with pytest.raises(ConfigError, match=r"another 'epochs' \(20, now 3\)"):
        check_run(run, config.model_copy(update={"epochs": 3}), resume=True)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--strategy", "nsga9"], "known: guided, nsga2"),
        (["--objective", "madd"], "one of madds, params"),
        (["--objective", "none", "--objective", "madds"], "none alone"),
        (["--limit", "madds"], "must be a number"),
        (["--limit", "depth=3"], "NAME one of madds"),
        (["--limit", "madds=1"], "madds"),
        (["--weight", "accuracy"], "NAME=WEIGHT"),
        (["--weight", "depth=3"], "no objective; objectives: accuracy, latency_ms, madds"),
        (["--weight", "accuracy=-1"], "at least 0"),
        (["--workers", "many"], "workers are"),
        (["--store", "no folder/there.sqlite"], "no folder/there.sqlite"),
        (["--store", "letter.txt"], "isn't a usable store"),
    ],
)
def test_searches_that_are_refused(
    hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letter.txt").write_text("no database\n" * 100)
    assert part in hwnas.refused("search", "--supernet", flow.supernet, "--table", flow.table, *words, "-o", "search")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_store_of_another_supernet(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    space = get_space(str(flow.space), classes=10)
    Store(tmp_path / "own.sqlite", space, "supernet 123").close()
    words = ["search", "--supernet", flow.supernet, "--table", flow.table, "-o", tmp_path / "search"]
    message = hwnas.refused(*words, "--store", tmp_path / "own.sqlite")
    assert "'supernet 123', not by 'supernet " in message
    assert "--store" in message
    assert not (tmp_path / "search").exists()


def test_a_search_in_which_too_much_fails(
    hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of luck")

    words = ["search", "--supernet", flow.supernet, "--table", flow.table, "-o", tmp_path / "search"]
    words += ["--store", tmp_path / "own.sqlite", "--evaluations", "12"]
    with monkeypatch.context() as patch:
        patch.setattr(SupernetAccuracy, "__call__", broken)
        message = hwnas.refused(*words)
    assert "3 of 3 evaluations failed" in message
    assert (
        f"RuntimeError: out of luck (test_bad_input.py, line {broken.__code__.co_firstlineno + 1}); mend the cause"
        in message
    )
    assert not (tmp_path / "search" / "search.json").exists()
    assert hwnas(*words, "--resume").status == 0  # mended
    assert (tmp_path / "search" / "search.json").read_bytes() == (flow.search / "search.json").read_bytes()


def test_data_folders(hwnas: Shell, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"data: {tmp_path / 'photos'}\nlearner: {{space: scarlet-tiny}}\n")
    run = tmp_path / "run"
    assert "photos" in hwnas.refused("train", config, "-o", run)
    (tmp_path / "photos" / "train").mkdir(parents=True)
    assert "photos" in hwnas.refused("train", config, "-o", run)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / part / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "photos" / part / name / "1.png").write_bytes(b"no image")
            (tmp_path / "photos" / part / name / "2.png").write_bytes(b"no image")
    assert "1.png" in hwnas.refused("train", config, "-o", run)


def test_misspelt_training_key(hwnas: Shell, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("data: digits\nlerning_rate: 0.1\n")
    assert "learning_rate" in hwnas.refused("train", config, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk(hwnas: Shell, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    result = subprocess.run(
        [sys.executable, "-c", "import sys; from hwnas.cli.main import main; sys.argv[1:] = ['space', 'list']; main()"],
        stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, text=True,  # noqa: SIM115
    )  # fmt: skip
    assert result.returncode != 0
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_small_disk_that_fills_up(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("can't mount a tmpfs here")
    try:
        for words in [
            ["derive", "macro:0,0,0,0,0,0,0,0", "-o", disk / "model"],
            ["export", flow.model, "--target", "onnx-fp32", "-o", disk / "artifact"],
            ["report", flow.search, "-o", disk / "report.html"],
        ]:
            assert "No space left" in hwnas.refused(*words)
            assert list(disk.iterdir()) == []
        search = ["search", "--supernet", flow.supernet, "--table", flow.table, "-o", tmp_path / "search"]
        assert "full; make room" in hwnas.refused(*search, "--store", disk / "evaluations.sqlite")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
        assert "disk" in hwnas.refused("derive", "macro:0,0,0,0,0,0,0,0", "-o", disk / "model")
        assert "--store" in hwnas.refused(*search, "--store", disk / "own.sqlite")
    finally:
        subprocess.run(["umount", str(disk)], check=True, capture_output=True)


def test_atomic_writes_leave_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(Exception, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
