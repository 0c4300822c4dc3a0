"""The reader of TensorFlow Lite's CSVs: on rows as published, on damaged ones, and on the published files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tflite_csv import TfliteOp, devices, read_networks, read_ops

from hwnas.errors import TableError

HEADER = "model,operation,feature,phone|gpu|float,phone|gpu|kernel"
CONV = "{'Input_shape': '58', 'Input_channel': 64, 'Output_shape': '28', 'Stride': '2', 'Kernel': '3', 'Filter': '128', 'Group': '1', 'FLOPS': '9'}"  # noqa: E501
ROWS = {
    "conv": f'net,CONV_2D,"{CONV}",828.48,convolution_2d_3_linked_:_add_4_linked_:_hard_swish_5',
    "depthwise": 'net,DEPTHWISE_CONV_2D,"' + CONV.replace("128", "1") + '",2.5,depthwise_convolution_16',
    "mean": "net,MEAN,\"{'Input_shape': '7', 'Input_channel': 512, 'Output_shape': '512', 'Stride': '-', 'Kernel': '0', 'Filter': '-'}\",13,mean_26",  # noqa: E501
    "concat": "net,CONCATENATION,\"{'Input_shape': '28', 'Input_channel': 64, 'Output_shape': '28', 'Stride': '-', 'Kernel': '4', 'Filter': '256'}\",42,concat_25",  # noqa: E501
    "linear": "net,FULLY_CONNECTED,\"{'Input_shape': '-', 'Input_channel': 512, 'Output_shape': '-', 'Filter': '1000'}\",45,fully_connected_27",  # noqa: E501
    "fused": f'net,CONV_2D,"{CONV}",,',
}


def _op(**fields: object) -> TfliteOp:
    plain = {"size_in": 1, "size_out": 1, "kernel": 1, "stride": 1, "groups": 1, "inputs": 1, "fused": ()}
    return TfliteOp(network="net", **(plain | fields))  # type: ignore[arg-type]


def _file(folder: Path, *lines: str) -> Path:
    path = folder / "ops.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_every_operation(tmp_path: Path) -> None:
    path = _file(tmp_path, HEADER, *ROWS.values())
    read = read_ops(path, "phone|gpu")
    image = {"size_in": 58, "size_out": 28, "kernel": 3, "stride": 2}
    assert read.ops == (
        _op(operation="CONV_2D", c_in=64, c_out=128, **image, latency_ms=pytest.approx(0.82848),
            compiled="convolution_2d", fused=("add", "hard_swish")),
        _op(operation="DEPTHWISE_CONV_2D", c_in=64, c_out=64, groups=64, **image, latency_ms=pytest.approx(0.0025),
            compiled="depthwise_convolution"),
        _op(operation="MEAN", size_in=7, c_in=512, c_out=512, latency_ms=pytest.approx(0.013), compiled="mean"),
        _op(operation="CONCATENATION", size_in=28, size_out=28, c_in=64, c_out=256, inputs=4,
            latency_ms=pytest.approx(0.042), compiled="concat"),
        _op(operation="FULLY_CONNECTED", c_in=512, c_out=1000, latency_ms=pytest.approx(0.045),
            compiled="fully_connected"),
        _op(operation="CONV_2D", c_in=64, c_out=128, **image, latency_ms=None, compiled=""),
    )  # fmt: skip
    assert read.device == "phone|gpu"
    assert read.provenance.file == "ops.csv"
    assert read.provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.provenance.unit == "us"


def test_each_device_has_its_own_times(tmp_path: Path) -> None:
    header = "model,FLOPS,a|gpu|float|mean,a|gpu|float|std,b|cpu|float|mean,b|cpu|float|std"
    path = _file(tmp_path, header, "small,1,1500,20,250,5", "large,2,9000,70,800,6")
    assert devices(path) == ("a|gpu", "b|cpu")
    assert [(n.name, n.mean_ms, n.std_ms) for n in read_networks(path, "b|cpu").networks] == [
        ("small", pytest.approx(0.25), pytest.approx(0.005)),
        ("large", pytest.approx(0.8), pytest.approx(0.006)),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("828.48", "fast", r"row 2, column phone\|gpu\|float: must be a time in us, a positive number, got 'fast'"),
        ("828.48", "-1", r"row 2, column phone\|gpu\|float: must be a time"),
        ("828.48", "0", r"row 2, column phone\|gpu\|float: must be a time"),
        ("828.48", "nan", r"row 2, column phone\|gpu\|float: must be a time"),
        ("828.48", "inf", r"row 2, column phone\|gpu\|float: must be a time"),
        ("828.48,", "828.48,,", "row 2 has 6 columns, the header 5"),
        (",CONV_2D", ",SOFTMAX", "row 2, column operation: must be one of CONV_2D, .*, got 'SOFTMAX'"),
        ("net,", ",", "row 2, column model: is empty"),
        ("convolution_2d_3_linked_:_add_4_linked_:_hard_swish_5", "", r"row 2, column phone\|gpu\|kernel: is empty"),
        (CONV, "__import__('os').abort()", "row 2, column feature: isn't a Python dict literal"),
        (CONV, "[1]", "row 2, column feature: isn't a Python dict literal"),
        (CONV, "{" * 5000, "row 2, column feature: isn't a Python dict literal"),
        ("'Filter': '128'", "'Filter': '-'", "row 2, column feature: Filter must be a positive number, got '-'"),
        ("'Input_channel': 64", "'Input_channel': 0", "row 2, column feature: Input_channel must be a positive"),
        ("'Input_channel': 64", "'Input_channel': True", "row 2, column feature: Input_channel must be a positive"),
        ("'Stride': '2', ", "", "row 2, column feature: Stride must be a positive number, got None"),
    ],
)
def test_a_malformed_row(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ROWS["conv"]
    path = _file(tmp_path, HEADER, ROWS["conv"].replace(old, new))
    with pytest.raises(TableError, match=f"^{path}: {message}"):
        read_ops(path, "phone|gpu")


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"can't read .*none\.csv: No such file"):
        read_ops(tmp_path / "none.csv", "phone|gpu")
    with pytest.raises(TableError, match="has no rows"):
        read_ops(_file(tmp_path, HEADER), "phone|gpu")
    with pytest.raises(TableError, match=r"has no column 'other\|gpu\|float'; it has model, operation"):
        read_ops(_file(tmp_path, HEADER, ROWS["conv"]), "other|gpu")
    with pytest.raises(TableError, match="isn't a UTF-8 CSV"):
        read_ops(_file(tmp_path, HEADER, '"open'), "phone|gpu")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(TableError, match="isn't a UTF-8 CSV"):
        devices(tmp_path / "binary.csv")
    twice = _file(tmp_path, "model,a|gpu|float|mean,a|gpu|float|std", "net,1,1", "net,2,1")
    with pytest.raises(TableError, match="row 3, column model: 'net' stands twice"):
        read_networks(twice, "a|gpu")


def test_published_files(shared_data: Path) -> None:
    ops_csv, networks_csv = shared_data / "mobile_tflite_ops.csv", shared_data / "mobile_tflite_networks.csv"
    assert devices(ops_csv) == devices(networks_csv) == ("pixel4|gpu", "mi8se|gpu", "a03s|gpu")
    for device in devices(ops_csv):
        ops, networks = read_ops(ops_csv, device).ops, read_networks(networks_csv, device).networks
        assert (len(ops), len(networks)) == (5556, 102)
        assert {op.network for op in ops} == {network.name for network in networks}
        for network in networks:  # a whole network takes at least as long as its ops, and these most of it
            sum_ms = sum(op.latency_ms or 0 for op in ops if op.network == network.name)
            assert 0.25 < sum_ms / network.mean_ms < 1
