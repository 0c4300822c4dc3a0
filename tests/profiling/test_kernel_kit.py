"""Kits of anyone's models: a bare Python measures their kernels, also those that end the process they run in."""

from __future__ import annotations

import json
import os
import signal
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import HwnasError, KitError, TableError
from hwnas.flow.jobs import ModelsJob, write_kit
from hwnas.flow.kernels import models_job
from hwnas.flow.table import import_table
from hwnas.onnx.bare import with_repeating_weights
from hwnas.onnx.model import model_of
from hwnas.profiling import kit as kit_module
from hwnas.profiling import kit_main
from hwnas.profiling.kernels import KernelPlan, kernel_table_of, plan_kernels, prepare
from hwnas.profiling.kit import SOURCES, build_kernel_kit
from hwnas.profiling.kit_file import KitFile, seal
from hwnas.profiling.local import conditions_of
from hwnas.profiling.returned import read_result
from hwnas.profiling.timer import Effort
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.tables.kernel_table import KernelTable
from hwnas.tables.table import Latency
from tests.fuzzing import FUZZ, mutate, one_line_or_nothing
from tests.onnx_models import exported
from tests.profiling.kits import run_kit
from tests.profiling.test_kernels import model
from tests.profiling.test_kit import start_kit, wait_for_lines
from tests.tables.make_kernels import kernel

QUICK = Effort(confidence=1.0, rounds=2, at_least_s=0.0, at_most_s=0.1)


drawn = lru_cache(model)  # its weights only once


def job(*widths: int, depth: int = 1, seconds: float = 0.1, known: KernelTable | None = None) -> ModelsJob:
    return models_job([drawn(width, depth) for width in widths], confidence=1e-3, seconds=seconds, known=known)


def measured(asked: ModelsJob, folder: Path, name: str = "r") -> Path:
    """The result of a kit that this process runs."""
    kit, result = folder / f"{name}.pyz", folder / f"{name}.json"
    write_kit(asked, kit)
    assert kit_main.main(str(kit), ["-o", str(result)]) == 0
    return result


def resealed(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    data = json.loads(path.read_bytes())
    edit(data)
    data["sha256"] = seal(data)
    changed = path.with_name("edited.json")
    changed.write_text(json.dumps(data))
    return changed


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(job(16, 24, 32), tmp_path_factory.mktemp("returned"))


def test_a_bare_python_measures_kernels_and_models(device: Path, tmp_path: Path) -> None:
    asked = job(16, 48, 96, seconds=1.0)
    built = write_kit(asked, tmp_path / "kit.pyz")
    checked = run_kit(device, tmp_path / "kit.pyz", "--check", cwd=tmp_path)
    assert checked.status == 0, checked
    ran = run_kit(device, tmp_path / "kit.pyz", "-o", "result.json", cwd=tmp_path)
    assert ran.status == 0, ran
    assert "trying kernels 100%" in ran.err
    assert "it may make others" not in ran.err
    table = import_table(tmp_path / "result.json", tmp_path / "table.json", tell=pytest.fail)
    assert isinstance(table, KernelTable)
    assert KernelTable.read(tmp_path / "table.json") == table
    assert [each.sha256 for each in table.models] == [each.sha256 for each in asked.models]
    assert set(table.by_key) == {each.kernel for one in table.models for each in one.launches}
    assert built.entries == len(table.kernels) + len(table.models)
    assert table.calibration
    assert sorted(os.listdir(tmp_path)) == ["kit.pyz", "result.json", "table.json"]


CRASHING = """
import os
import signal

from hwnas.runtimes.onnxruntime import OnnxRuntime


class Crashing(OnnxRuntime):
    def load(self, model, **how):
        if b"Tanh" in model:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().load(model, **how)
"""


@pytest.fixture
def crashing_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of four kernels, of which two end the process."""
    (tmp_path / "crashing.py").write_text(CRASHING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(kit_module, "SOURCES", (*SOURCES, "hwnas/runtimes/onnxruntime.py"))
    runtime = __import__("crashing").Crashing()
    kernels = (kernel("Tanh"), kernel("Relu"), kernel("Tanh", 9), kernel("Conv"))
    effort = Effort(confidence=1e-4, at_least_s=0.0, at_most_s=2.0)
    plan = KernelPlan(
        conditions=conditions_of(runtime), effort=effort, seed=0, hwnas="0", anchors=(), kernels=kernels, models=()
    )
    built = build_kernel_kit(plan, [], runtime)
    sys.modules.pop("crashing")
    (tmp_path / "crashing.py").unlink()
    path = tmp_path / "kit.pyz"
    path.write_bytes(built.data)
    return path


def test_kernels_that_crash_there_are_recorded_and_the_rest_goes_on_also_after_a_kill(
    device: Path, crashing_kit: Path, tmp_path: Path
) -> None:
    with start_kit(device, crashing_kit, tmp_path) as process:
        wait_for_lines(tmp_path / "result.json.journal", 3, process)
        process.send_signal(signal.SIGKILL)
    ran = run_kit(device, crashing_kit, "-o", "result.json", cwd=tmp_path)
    assert ran.status == 0, ran
    assert "going on after" in ran.err
    assert "trying" not in ran.err  # which the journal knows
    table = read_result(tmp_path / "result.json").table
    assert isinstance(table, KernelTable)
    assert [each.kernel for each in table.kernels] == [kernel("Relu"), kernel("Conv")]
    why = "the process that runs it ends with SIGSEGV"
    assert table.why_failed == {kernel("Tanh").key: why, kernel("Tanh", 9).key: why}


def slower(entry: Latency) -> Latency:
    """As if the machine had been 100 times slower."""
    return entry.model_copy(update={name: getattr(entry, name) * 100 for name in ("p10_ms", "p50_ms", "p90_ms")})


def test_a_kit_beside_a_table_leaves_out_what_that_has(result: Path, tmp_path: Path) -> None:
    first = read_result(result).table
    assert isinstance(first, KernelTable)
    known = first.model_copy(update={name: tuple(map(slower, getattr(first, name))) for name in ("kernels", "models")})
    back = measured(job(16, 48, depth=2, known=known), tmp_path)
    with pytest.raises(KitError, match="was measured beside a table, which has what it hasn't; import it --with"):
        import_table(back)
    table = read_result(back, known).table
    assert isinstance(table, KernelTable)
    assert table.kernels[: len(known.kernels)] == known.kernels
    new = {"w16-d2.onnx", "w48-d2.onnx"}
    assert {each.name for each in table.models} == {each.name for each in known.models} | new
    assert table.measured[-1].slowdown < 0.1
    twice = read_result(back, table).table
    assert isinstance(twice, KernelTable)
    assert (twice.kernels, twice.models) == (table.kernels, table.models)
    other = known.model_copy(update={"device": known.device.model_copy(update={"hardware": "Another"})})
    with pytest.raises(TableError, match="a known table is of another device: hardware is Another there"):
        import_table(back, known=other)
    with pytest.raises(KitError, match="beside another table than this"):
        import_table(back, known=KernelTable(device=known.device, measured=known.measured, kernels=known.kernels[:1]))


def test_nothing_left_and_other_conditions_have_no_kit(result: Path, tmp_path: Path) -> None:
    known = read_result(result).table
    assert isinstance(known, KernelTable)
    with pytest.raises(HwnasError, match="nothing is left to measure"):
        write_kit(job(16, 24, known=known), tmp_path / "k.pyz")
    more = known.model_copy(update={"device": known.device.model_copy(update={"threads": 2})})
    with pytest.raises(TableError, match=r"2 threads.*; ask for the same runtime, precision and threads"):
        write_kit(job(16, 48, known=more), tmp_path / "k.pyz")
    assert not list(tmp_path.iterdir())


def test_models_too_large_for_a_kit_are_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.flow.jobs._MOST_BYTES", 1 << 20)
    with pytest.raises(HwnasError, match=r"have 2 MB together, a kit takes 1 MB; .* --with the table of the first"):
        write_kit(job(200, 204), tmp_path / "k.pyz")


@pytest.mark.parametrize("name", ["version", "hardware"])
def test_another_version_or_processor_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """There before it measures, and here when it is imported."""
    there = {"version": (OnnxRuntime, "version"), "hardware": (OnnxRuntime, "accelerator")}[name]
    write_kit(job(16), tmp_path / "k.pyz")
    monkeypatch.setattr(*there, lambda self: "Another")
    assert kit_main.main(str(tmp_path / "k.pyz"), ["-o", str(tmp_path / "r.json")]) == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if "may make others" in line)
    assert "Another" in line
    (remark,) = read_result(tmp_path / "r.json").remarks
    assert "its kernels are those that onnxruntime " in remark


def test_a_model_packs_well_and_makes_the_same_kernels() -> None:
    import torch
    from torch import nn

    wide = nn.Sequential(nn.Conv2d(3, 256, 3), nn.ReLU(), nn.Conv2d(256, 256, 3), nn.Flatten(), nn.Linear(4096, 64))
    whole = model_of(exported(wide, torch.zeros(1, 3, 8, 8)), "wide.onnx")
    runtime = OnnxRuntime()
    found = prepare([whole], runtime, "fp32")
    plan = plan_kernels(found, conditions_of(runtime), effort=QUICK)
    built = build_kernel_kit(plan, found, runtime)
    assert len(whole.data) > 3e6
    assert len(built.data) < 4e5
    packed = runtime.kernels(with_repeating_weights(whole.data), "fp32")
    assert Counter(each.kernel for each in packed) == Counter(each.kernel for each in found[0].launches)


def test_own_weights_stay_where_others_would_make_other_kernels(tmp_path: Path) -> None:
    class Choosy(OnnxRuntime):
        def kernels(self, model: bytes, precision: str) -> Any:
            return super().kernels(model, precision)[: None if model == own.data else 1]

    own = model(64)
    found = prepare([own], Choosy(), "fp32")
    built = build_kernel_kit(plan_kernels(found, conditions_of(Choosy()), effort=QUICK), found, Choosy())
    (tmp_path / "k.pyz").write_bytes(built.data)
    with zipfile.ZipFile(tmp_path / "k.pyz") as archive:
        assert own.data in {archive.read(name) for name in archive.namelist()}
    assert KitFile(tmp_path / "k.pyz").content["models"][-1]["sha256"] == own.sha256


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda r: r["kit"]["plan"]["kernels"].append(r["kit"]["plan"]["kernels"][0]), "an entry is there twice"),
        (lambda r: r["kit"]["plan"]["models"].append(r["kit"]["plan"]["models"][0]), "an entry is there twice"),
        (lambda r: r["kit"]["plan"]["kernels"][0].update(outputs=[99]), "fewer values, or nodes, than it says"),
        (lambda r: r["kit"]["plan"]["kernels"][0].update(beside=1), "kernels.0"),
        (lambda r: r["kit"]["plan"]["kernels"].pop(), "which has what it hasn't"),
        (lambda r: r["kit"]["models"].pop(), "models for"),
        (lambda r: r["kit"]["plan"]["models"][0]["launches"].clear(), "launches"),
        (lambda r: r["entries"].pop(), "entries, its plan has"),
        (lambda r: r["device"].update(runtime="openvino"), "the plan asks for onnxruntime"),
        (lambda r: [e.update({k: e[k] * 1e4 for k in ("p10_ms", "p50_ms", "p90_ms")}) for e in r["entries"]],
            "its clock can't be right"),
    ],
)  # fmt: skip
def test_results_that_do_not_fit(result: Path, edit: Callable[[dict[str, Any]], object], reason: str) -> None:
    with pytest.raises(HwnasError, match=reason) as caught:
        import_table(resealed(result, edit))
    assert caught.value.exit_status == 2


def test_a_clock_that_counts_in_another_unit(result: Path) -> None:
    times = ("p10_ms", "p50_ms", "p90_ms")
    faster = resealed(result, lambda r: [e.update({key: e[key] * 1e-9 for key in times}) for e in r["entries"]])
    with pytest.raises(HwnasError, match=r"kernels would do .* multiply-adds a second, which none does"):
        import_table(faster)


def test_a_table_of_kernels_is_for_nothing_else(result: Path, tmp_path: Path) -> None:
    known = read_result(result).table
    (tmp_path / "t.csv").write_text("kind,c_in\n")
    with pytest.raises(HwnasError, match="isn't a kit's result; leave out"):
        import_table(tmp_path / "t.csv", known=known)


def test_results_damaged_and_sealed_again(result: Path) -> None:
    """One line, or a table that can be written and read."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    whole = json.loads(result.read_bytes())

    @settings(FUZZ, max_examples=200)
    @given(st.data())
    def read(data: st.DataObject) -> None:
        changed = mutate(data.draw, whole)
        with suppress(ValueError), one_line_or_nothing():  # ValueError: not finite, no seal fits
            path = resealed(result, lambda old: (old.clear(), old.update(changed)))
            table = read_result(path).table
            assert isinstance(table, KernelTable)
            table.save(path)
            assert KernelTable.read(path) == table

    read()


def test_what_is_known_of_a_kernel_stays(result: Path) -> None:
    """Of what is in a table and in a result, the table's."""
    known = read_result(result).table
    assert isinstance(known, KernelTable)
    data = json.loads(result.read_bytes())
    plan = KernelPlan.model_validate_json(json.dumps(data.pop("kit")["plan"]))
    del data["sha256"]
    again = kernel_table_of(plan, data, "it", known)
    assert again.kernels == known.kernels
    assert again.models == known.models
