"""Foreign tables: the published ones whole, made-up ones of each format, and every way in which a file can be wrong."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import InputError, TableError
from hwnas.flow.table import import_table
from hwnas.ops.foreign import ForeignOp
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stem import Stem
from hwnas.tables.importers.foreign import ForeignEntry, ForeignTable, Format, to_latency_table
from hwnas.tables.importers.read import import_foreign
from hwnas.tables.table import LatencyTable

PROXYLESS = "expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:5-stride:2-idskip:0"
OFA = "expanded_conv-input:14x14x136-output:14x14x136-expand:408-kernel:7-stride:1-idskip:1-se:1-hs:1"
CSV = """kind,c_in,h_in,w_in,c_out,kernel,stride,expansion,se,act,latency_us,std_us,count,made_by
mbconv,16,112,112,24,3,2,6,false,relu6,6240,270,164,someone

pooling,1152,7,7,1152,,,,,,15,,495,
"""


def _write(path: Path, content: dict[str, object] | str) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def _foreign(table: ForeignTable) -> list[ForeignEntry]:
    return [entry for entry in table.entries if isinstance(entry.op, ForeignOp)]


def _names(entries: list[ForeignEntry]) -> list[str]:
    return [entry.text.partition("-")[0] for entry in entries]


def test_ofa_published(shared_data: Path) -> None:
    table = import_foreign(shared_data / "ofa_note10_224_lookup_table.yaml", device="Samsung Note 10")
    assert (table.format, table.unit, table.device) == ("ofa", "ms", "Samsung Note 10")
    assert len(table.entries) == 96
    assert _names(_foreign(table)) == ["AvgPool2D", "Conv_1", "Conv_2", "Logits"]
    by_op = {entry.op: entry for entry in table.entries}
    block = MBConv(c_in=136, h_in=14, w_in=14, c_out=136, kernel=7, stride=1, expansion=3, se=True, act="hswish")
    assert by_op[block].text == OFA
    blocks = [entry for entry in table.entries if isinstance(entry.op, MBConv)]
    assert len(blocks) == 91
    for entry in blocks:  # the widths that the keys say are the widths that the ops have
        assert isinstance(entry.op, MBConv)
        fields = dict(field.split(":") for field in entry.text.split("-")[1:])
        assert entry.op.hidden == int(fields["expand"])
        assert entry.op.act == {"0": "relu", "1": "hswish"}[fields["hs"]]
        assert entry.op.se == {"0": False, "1": True}[fields["se"]]
    stem = Stem(c_in=3, h_in=224, w_in=224, c_out=24, width=24, stride=2, separable=False, act="hswish")
    assert by_op[stem].mean_ms == 0.994418
    assert by_op[stem].spread_ms == 0.01726798413249215


def test_proxylessnas_published(shared_data: Path) -> None:
    path = shared_data / "proxylessnas_mobile_lookup_table.yaml"
    table = import_foreign(path)
    assert (table.format, table.unit, table.device) == ("proxylessnas", "ms", "not said")
    assert table.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(table.entries) == 72
    assert _names(_foreign(table)) == ["Conv_1", "Logits"]
    stem = table.entries[0]
    assert (stem.mean_ms, stem.count) == (4.083755600814664, 982)
    assert stem.spread_ms == pytest.approx(math.sqrt(0.2502372872758427))


def test_a_network_is_the_sum_of_its_entries(shared_data: Path) -> None:
    """As deep as MobileNetV2 (Sandler et al. 2018, Table 2), in the widths of the table."""
    path = shared_data / "proxylessnas_mobile_lookup_table.yaml"
    network = [_block("112x112x32", "112x112x16", 1, 1)]
    size, channels = 112, 16
    for c_out, layers, stride in ((24, 2, 2), (40, 3, 2), (80, 4, 2), (96, 3, 1), (192, 3, 2), (320, 1, 1)):
        for step in [stride] + [1] * (layers - 1):
            network.append(_block(f"{size}x{size}x{channels}", f"{size // step}x{size // step}x{c_out}", 6, step))
            size, channels = size // step, c_out
    texts = ["Conv-input:224x224x3-output:112x112x32", *network]
    texts += ["Conv_1-input:7x7x320-output:7x7x1280", "Logits-input:7x7x1280-output:1000"]
    raw = yaml.safe_load(path.read_text())
    means_ms = {entry.text: entry.mean_ms for entry in import_foreign(path).entries}
    assert sum(means_ms[text] for text in texts) == pytest.approx(sum(raw[text]["mean"] for text in texts))


def _block(shape_in: str, shape_out: str, expand: int, stride: int) -> str:
    idskip = int(shape_in == shape_out)
    return f"expanded_conv-input:{shape_in}-output:{shape_out}-expand:{expand}-kernel:3-stride:{stride}-idskip:{idskip}"


@pytest.mark.parametrize("name", ["ofa_note10_224_lookup_table.yaml", "proxylessnas_mobile_lookup_table.yaml"])
def test_nothing_is_lost_in_a_table_of_hwnas(shared_data: Path, tmp_path: Path, name: str) -> None:
    foreign = import_foreign(shared_data / name, device="a phone")
    to_latency_table(foreign).save(tmp_path / "table.yaml")
    table = LatencyTable.load(tmp_path / "table.yaml")
    assert {op: latency.p50_ms for op, latency in table.ops.items()} == {e.op: e.mean_ms for e in foreign.entries}
    assert {op.text for op in table.ops if isinstance(op, ForeignOp)} == {e.text for e in _foreign(foreign)}
    assert table.device.hardware == "a phone"
    assert table.provenance is not None
    assert (table.provenance.file, table.provenance.sha256) == (name, foreign.sha256)
    assert "derived from mean ± standard deviation" in table.provenance.note
    assert f"kept as kind foreign: {len(_foreign(foreign))} entr" in table.provenance.note


@given(st.sampled_from(["s", "ms", "us"]), st.floats(1e-3, 1e3), st.floats(0, 1e3), st.booleans())
def test_units(tmp_path_factory: pytest.TempPathFactory, unit: str, mean: float, std: float, squared: bool) -> None:
    path = tmp_path_factory.mktemp("t") / "t.yaml"
    spread = {"var": std**2} if squared else {"std": std}
    _write(path, {PROXYLESS: {"mean": mean, "count": 7, **spread}})
    table = import_foreign(path, unit=unit)  # type: ignore[arg-type]
    (entry,) = table.entries
    ms = {"s": 1000.0, "ms": 1.0, "us": 0.001}[unit]
    assert entry.mean_ms == pytest.approx(mean * ms)
    assert entry.spread_ms == pytest.approx(std * ms)
    (latency,) = to_latency_table(table).ops.values()
    assert latency.p90_ms - latency.p50_ms == pytest.approx(1.28155 * std * ms, rel=1e-4, abs=1e-9)
    assert 0 < latency.p10_ms <= latency.p50_ms


def test_csv(tmp_path: Path) -> None:
    table = import_foreign(_write(tmp_path / "t.csv", CSV))
    assert (table.format, table.unit) == ("csv", "us")
    block, pooling = table.entries
    assert block.op == MBConv(
        c_in=16, h_in=112, w_in=112, c_out=24, kernel=3, stride=2, expansion=6, se=False, act="relu6"
    )
    assert (block.mean_ms, block.spread_ms, block.count) == pytest.approx((6.24, 0.27, 164))
    assert block.text.endswith("made_by=someone")
    assert _foreign(table) == [pooling]
    assert (pooling.text.split()[0], pooling.mean_ms, pooling.spread_ms, pooling.count) == ("pooling", 0.015, None, 495)
    note = to_latency_table(table).provenance
    assert note is not None
    assert "No spread is given for 1 entry:" in note.note


def test_a_csv_as_spreadsheets_save_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode())
    assert import_foreign(tmp_path / "t.csv").entries == import_foreign(_write(tmp_path / "u.csv", CSV)).entries


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_a_csv_without_unit_takes_the_one_given(tmp_path: Path, unit: str) -> None:
    path = _write(tmp_path / "t.csv", CSV.replace("_us", ""))
    factor = {"s": 1e3, "ms": 1.0, "us": 1e-3}[unit]
    assert import_foreign(path, unit=unit).entries[0].mean_ms == pytest.approx(6240 * factor)  # type: ignore[arg-type]
    with pytest.raises(TableError, match="nothing says the unit"):
        import_foreign(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind,", "op,", "no column 'kind'"),
        ("count", "std_us", "'std_us' is there twice"),
        ("latency_us", "time", "expected one column latency"),
        ("std_us", "std_ms", "its columns are latency_us and std_ms; give both in one unit, std_us"),
        ("made_by", "latency", "expected one column latency"),
        ("6240", "0", "line 2: latency_us must be positive"),
        ("6240", "-1", "line 2: latency_us must be a positive number, got '-1'"),
        ("6240", "nan", "line 2: latency_us must be a positive number, got 'nan'"),
        ("6240", "inf", "line 2: latency_us must be a positive number, got 'inf'"),
        ("6240", "", "line 2: latency_us must be a positive number, got ''"),
        ("6240", "1,2", "line 2 has 15 cells"),
        ("270", "x", "line 2: std_us must be"),
        ("164", "1.5", "line 2: count must be a positive integer"),
        ("495", "0", "line 4: count must be a positive integer"),
        ("mbconv", "", "line 2: no kind"),
        ("relu6", "swish", "line 2: op mbconv: act must be one of"),
        ("false", "0", "line 2: op mbconv: se must be bool"),
        (",6,", f",{'9' * 400},", "line 2: op mbconv: expansion must be float"),
        ("mbconv,16", f"mbconv,{'9' * 400}", "line 2: op mbconv: c_in must be int"),
        (",6,", ",inf,", "line 2: op mbconv: expansion must be float, got 'inf'"),
        ("mbconv,16", "mbconv,", "line 2: op mbconv: missing field 'c_in'"),
        ("pooling,1152,7", "pooling,1152,", "line 4: op foreign: missing field 'h_in'"),
        ("pooling,1152,7,7,1152,,,,,,15,,495,", "mbconv,16,112,112,24,3,2,6,false,relu6,7,,1,", "2 entries are for"),
        (CSV[CSV.index("mbconv") :], "", "has no operations"),
        (CSV, "", "no column 'kind'"),
        ("someone", '"some', "isn't a CSV file"),
    ],
)
def test_wrong_csv(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        import_foreign(_write(tmp_path / "t.csv", CSV.replace(old, new, 1)))
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_csv_that_says_another_unit(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="latency_us, but the unit ms was given"):
        import_foreign(_write(tmp_path / "t.csv", CSV), unit="ms")


def test_the_same_unknown_operation_twice(tmp_path: Path) -> None:
    line = CSV.splitlines()[-1]
    with pytest.raises(TableError, match="line 5: a second entry for pooling"):
        import_foreign(_write(tmp_path / "t.csv", f"{CSV}{line}\n"))


GOOD: dict[str, object] = {"mean": 1.5, "count": 3, "std": 0.1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({PROXYLESS: {**GOOD, "mean": -1.0}}, "mean: Input should be greater than 0"),
        ({PROXYLESS: {**GOOD, "mean": float("nan")}}, "mean"),
        ({PROXYLESS: {**GOOD, "mean": "1"}}, "mean: Input should be a valid number"),
        ({PROXYLESS: {**GOOD, "count": 0}}, "count"),
        ({PROXYLESS: {**GOOD, "std": -0.1}}, "std"),
        ({PROXYLESS: {**GOOD, "var": 0.1}}, "expected one of std and var"),
        ({PROXYLESS: {**GOOD, "median": 1.0}}, "unknown key 'median'; .*'mean'[?]"),
        ({PROXYLESS: 1.5}, "keys with values, got 1.5"),
        ({PROXYLESS: GOOD, "what is this": GOOD}, "'what is this' isn't a key"),
        ({PROXYLESS: GOOD, "Pool-input:7x7-output:1": GOOD}, "Pool-input:7x7-output:1: expected height x width"),
        ({PROXYLESS: GOOD, "Pool-size:7": GOOD}, "Pool-size:7: no field 'input'"),
        ({PROXYLESS.replace("kernel:5", "kernel:x"): GOOD}, "whole number, got 'x'"),
        ({PROXYLESS.replace("kernel:5-", ""): GOOD}, "field 'kernel' is missing"),
        ({PROXYLESS + "-groups:2": GOOD}, "field 'groups' is unknown"),
        ({PROXYLESS.replace("idskip:0", "idskip:1"): GOOD}, "idskip is 1"),
        ({PROXYLESS.replace("idskip:0", "idskip:2"): GOOD}, "expected 0 or 1"),
        ({PROXYLESS.replace("56x56", "28x28"): GOOD}, "output is 28x28x24"),
        ({PROXYLESS.replace("x16-", "x0-"): GOOD}, "whole number, got '0'"),
        ({PROXYLESS: GOOD, "Conv-input:8x8x3-output:0x0x4": GOOD}, "whole number, got '0'"),
        ({PROXYLESS: GOOD, "Conv-input:8x8x3-output:32x32x4": GOOD}, "stride must be a positive number"),
        ({PROXYLESS.replace("stride:2", "stride:0"): GOOD}, "whole number, got '0'"),
    ],
)
def test_wrong_yaml(tmp_path: Path, content: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        import_foreign(_write(tmp_path / "t.yaml", content))
    assert "t.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_other_format_is_found_out(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.yaml", {OFA: GOOD})
    assert import_foreign(path).format == "ofa"
    with pytest.raises(TableError, match="field 'hs' is unknown; is it a table of proxylessnas"):
        import_foreign(path, "proxylessnas")
    with pytest.raises(TableError, match="missing; is it a table of ofa"):
        import_foreign(_write(tmp_path / "t.yaml", {PROXYLESS: GOOD}), "ofa")


@pytest.mark.parametrize("name", ["ofa_note10_224_lookup_table.yaml", "proxylessnas_mobile_lookup_table.yaml"])
def test_a_published_table_in_json_is_its_yaml_twin(shared_data: Path, tmp_path: Path, name: str) -> None:
    plain = yaml.safe_load((shared_data / name).read_text())
    (tmp_path / "t.json").write_text(json.dumps(plain))
    table = import_table(tmp_path / "t.json")
    twin = import_table(shared_data / name)
    assert table.ops == twin.ops
    assert table.provenance is not None
    assert twin.provenance is not None
    assert (table.provenance.format, table.provenance.note) == (twin.provenance.format, twin.provenance.note)


@pytest.mark.parametrize("form", [None, "proxylessnas"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_with_means_and_counts_alone(tmp_path: Path, form: Format | None, indent: int | None) -> None:
    keys = {"Conv-input:224x224x3-output:112x112x32": {"mean": 4.0, "count": 982}, PROXYLESS: {"mean": 6.2, "count": 9}}
    (tmp_path / "t.json").write_text(json.dumps(keys, indent=indent))
    told: list[str] = []
    table = import_table(tmp_path / "t.json", tmp_path / "t.yaml", form=form, device="a phone", tell=told.append)
    assert LatencyTable.load(tmp_path / "t.yaml") == table
    stem, block = table.ops.values()
    assert (stem.p10_ms, stem.p50_ms, stem.p90_ms, stem.count) == (4.0, 4.0, 4.0, 982)
    assert (block.p50_ms, block.count) == (6.2, 9)
    assert table.provenance is not None
    assert str(table.device) == "a phone (runtime and threads not said)"
    assert str(import_table(tmp_path / "t.json").device) == "a device not said"
    assert "No spread is given for 2 entries" in table.provenance.note
    assert [line.partition(" its ops do")[0] for line in told] == ["in ms"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps({PROXYLESS: {"mean": -1.0, "count": 9}}), "mean: Input should be greater than 0"),
        (json.dumps({PROXYLESS: {"mean": 1e-9, "count": 9}}), "multiply-adds a second"),
        (json.dumps({PROXYLESS: GOOD})[:-1], "isn't JSON"),
        (f'{{"{PROXYLESS}": {{"mean": NaN, "count": 9}}}}', "mean"),
        ('{"latency": {}}', "can't tell which table's format .*, no kit's result; name it"),
        ("{}", "has no entries; make it again"),
        ("", "isn't JSON: the file is empty; make it again"),
        ('{"schema": "hwnas-result/1", "dev', "isn't JSON: .*; if it was cut short on its way, copy it again"),
        ("PK\3\4", "is a kit; on the device, python t.json -o RESULT measures: import that RESULT"),
        ("schema: hwnas-latency-table/2\n", "is a file of hwnas already; a table is used as it is"),
    ],
)
def test_wrong_json(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        import_table(_write(tmp_path / "t.json", text), tmp_path / "t.yaml")
    assert "t.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "t.yaml").exists()


def test_odd_rows_are_told_when_they_are_taken_in(tmp_path: Path) -> None:
    lines = [f"mbconv,{16 + row},56,56,24,3,1,6,false,relu6,{1000 + row}" for row in range(9)]
    lines[4] = lines[4].replace(",1004", ",0.001")
    told: list[str] = []
    header = "kind,c_in,h_in,w_in,c_out,kernel,stride,expansion,se,act,latency_us\n"
    import_table(_write(tmp_path / "t.csv", header + "\n".join(lines)), tell=told.append)
    assert len(told) == 2
    assert "t.csv: [mbconv 20x56x56->24x56x56" in told[1]
    assert "takes 1e-06 ms" in told[1]


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: 1", "{", "schema: hwnas-latency-table/2", "? [1]\n: 2"])
def test_no_format_at_all(tmp_path: Path, content: str) -> None:
    for name in ("t.yaml", "t.txt"):
        with pytest.raises(TableError, match=r"can't tell which|isn't usable YAML|has no entries"):
            import_foreign(_write(tmp_path / name, content))
    with pytest.raises(TableError):
        import_foreign(tmp_path / "t.yaml", "ofa")


@pytest.mark.parametrize("name", ["none.yaml", "none.csv"])
def test_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError, match="can't read"):
        import_foreign(tmp_path / name)


def test_a_process_that_only_reads_tables_knows_foreign_ops(tmp_path: Path) -> None:
    to_latency_table(import_foreign(_write(tmp_path / "t.csv", CSV))).save(tmp_path / "table.yaml")
    code = "import sys; from hwnas.tables.table import LatencyTable; print(len(LatencyTable.load(sys.argv[1]).ops))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "table.yaml"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_what_a_table_cannot_hold(tmp_path: Path) -> None:
    table = import_foreign(_write(tmp_path / "t.yaml", {PROXYLESS: {**GOOD, "mean": 1e6}}), unit="s")
    with pytest.raises(TableError, match=f"t.yaml: {PROXYLESS}: p50_ms"):
        to_latency_table(table)
    with pytest.raises(TableError, match="the device's name: hardware"):
        to_latency_table(replace(table, device="x" * 201))
