"""Tables of kernels: what they hold survives a file, and two of one device become one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.errors import TableError
from hwnas.tables.kernel_table import KernelTable, is_kernel_table, merged
from tests.tables.make_kernels import kernel, table


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    made = table({"Relu": 0.1, "Conv": 2.5}, models={"a.onnx": (["Relu", "Conv", "Relu"], 2.6)}, failed={"Tanh": "no"})
    made.save(tmp_path / "table.json")
    assert KernelTable.read(tmp_path / "table.json") == made
    assert is_kernel_table(tmp_path / "table.json")
    assert len((tmp_path / "table.json").read_text().splitlines()) >= 5  # an entry a line


def test_other_files_are_no_table_of_kernels(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("schema: hwnas-latency-table/2\n")
    assert not is_kernel_table(tmp_path / "other.yaml")
    assert not is_kernel_table(tmp_path / "absent.yaml")
    assert not is_kernel_table(tmp_path)


def test_merged_tables_have_what_either_has_and_the_first_has_the_word() -> None:
    one = table({"Relu": 0.1, "Conv": 2.0}, models={"a.onnx": (["Relu"], 0.1)}, failed={"Tanh": "no"})
    other = table({"Relu": 9.0, "Tanh": 0.3}, models={"a.onnx": (["Relu"], 9.0), "b.onnx": (["Tanh"], 0.4)})
    both = merged([one, other])
    assert {entry.kernel.kind: entry.p50_ms for entry in both.kernels} == {"Relu": 0.1, "Conv": 2.0, "Tanh": 0.3}
    assert {model.name: model.p50_ms for model in both.models} == {"a.onnx": 0.1, "b.onnx": 0.4}
    assert not both.failed  # the other could run it
    assert len(both.measured) == 1  # both were measured alike, at one time


def test_tables_of_two_devices_are_not_merged() -> None:
    with pytest.raises(TableError, match="threads is 1 and 2"):
        merged([table({"Relu": 0.1}), table({"Relu": 0.1}, threads=2)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kernels": "twice"}, "a kernel is there twice"),
        ({"models": "lost"}, "launches a kernel that isn't there"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, str], says: str) -> None:
    made = table({"Relu": 0.1}, models={"a.onnx": (["Relu"], 0.1)})
    plain = made.plain()
    if "kernels" in change:
        plain["kernels"] *= 2
    else:
        plain["models"][0]["launches"][0]["kernel"] = "0" * 16
    with pytest.raises(TableError, match=says):
        KernelTable.of_plain(plain, "table.json")


def test_keys_tell_kernels_apart() -> None:
    assert kernel("Relu").key == kernel("Relu").key
    assert len({kernel("Relu").key, kernel("Tanh").key, kernel("Relu", size=9).key}) == 3
