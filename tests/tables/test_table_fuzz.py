"""Whatever becomes of a table, reading it and predicting with it ends in positive times or in one line."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas.errors import InputError
from hwnas.flow.feasible import feasible
from hwnas.flow.table import diff_tables, import_table, validate_table
from hwnas.prediction.latency import LatencyPredictor
from hwnas.shipped import shipped
from hwnas.tables.sum_check import check_networks
from hwnas.tables.table import LatencyTable
from tests.fuzzing import EXAMPLES, altered, places

_PLAIN = yaml.safe_load(shipped("latency_tables/amd-epyc-2core/macro-32-onnxruntime-fp32-1t.yaml").read_text("utf-8"))
_PLAIN["held_out"] = _PLAIN["held_out"][:2]
_BLOCKS: dict[str, Any] = {
    f"expanded_conv-input:28x28x{c}-output:28x28x{c}-expand:6-kernel:{k}-stride:1-idskip:1": {"mean": 2.5, "count": 9}
    for c in (24, 32, 40)
    for k in (3, 5, 7)
}
_CSV = "kind,c_in,h_in,w_in,c_out,kernel,stride,expansion,se,act,latency_us,std_us,count\n" + "".join(
    f"mbconv,{16 + row},112,112,24,3,2,6,false,relu6,{6240 + row},270,164\n" for row in range(8)
)


def _scaled(data: Any, rng: random.Random) -> Any:
    """With one number, somewhere, in another unit or beyond what numbers are."""
    data = json.loads(json.dumps(data))
    numbers = [(c, k) for c, k in places(data) if isinstance(c[k], int | float) and not isinstance(c[k], bool)]
    container, key = rng.choice(numbers)
    container[key] = rng.choice([10**400, *(container[key] * factor for factor in (-1, 0, 1e3, 1e-3, 1e300, 1e-300))])
    return data


def _table(rng: random.Random, folder: Path) -> None:
    table = LatencyTable.from_dict(rng.choice([altered, _scaled])(_PLAIN, rng), "t.yaml")
    space = table.get_space()
    archs = space.sample(50, 0)
    for quantile in ("p50", "p90"):
        predictor = LatencyPredictor(table, space, quantile=quantile)  # type: ignore[arg-type]
        assert (predictor(archs) > 0).all()
        assert (low_high := predictor.interval(archs)) is None or (low_high[0] <= low_high[1]).all()


def _by_other_verbs(rng: random.Random, folder: Path) -> None:
    """What compares, validates and shows them."""
    plain = LatencyTable.from_dict(_PLAIN, "t.yaml")
    table = LatencyTable.from_dict(rng.choice([altered, _scaled])(_PLAIN, rng), "t.yaml")
    assert diff_tables(table, plain, archs=20).ops.count <= len(plain.ops)
    assert feasible(table.get_space(), table).ends["latency_ms"]
    assert str(check_networks(table))
    assert LatencyTable.from_dict(yaml.safe_load(table.to_yaml()), "t.yaml") == table
    assert validate_table(table, held_out=True).mape >= 0


def _json(rng: random.Random, folder: Path) -> None:
    (folder / "t.json").write_text(json.dumps(rng.choice([altered, _scaled])(_BLOCKS, rng)), "utf-8", "surrogatepass")
    import_table(folder / "t.json", form=rng.choice([None, "proxylessnas"]))


def _csv(rng: random.Random, folder: Path) -> None:
    text, start = _CSV, rng.randrange(len(_CSV))
    odd = ["9" * 500, "9" * 5000, "-", "e9", "inf", '"', "\0", "é", "1e-300", ",", "\n", "٣", "0x10", "1_000"]
    (folder / "t.csv").write_text(text[:start] + rng.choice(odd) + text[start + rng.randrange(3) :], "utf-8")
    import_table(folder / "t.csv").save(folder / "t.yaml")
    LatencyTable.load(folder / "t.yaml")


@pytest.mark.fuzz
@pytest.mark.parametrize("read", [_table, _by_other_verbs, _json, _csv])
def test_any_table_gives_times_or_a_typed_error(read: Callable[[random.Random, Path], None], tmp_path: Path) -> None:
    rng = random.Random(0)
    refused = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(EXAMPLES):
            try:
                read(rng, tmp_path)
            except InputError as error:
                refused.append(str(error))
    assert len(refused) > EXAMPLES / 4
    assert not [message for message in refused if "\n" in message or len(message) > 1500]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"runtime": "onnxrutime"}, "no runtime 'onnxrutime'; did you mean 'onnxruntime'"),
        ({"precision": "fp7"}, "onnxruntime runs fp32, int8, not 'fp7'"),
        ({"options": {"provdier": "cpu"}}, "no option 'provdier'"),
        ({"threads": 1000}, "threads must be 1 to"),
    ],
)
def test_a_device_that_cant_be_measured_is_told_with_its_file(tmp_path: Path, said: dict[str, Any], words: str) -> None:
    (tmp_path / "t.yaml").write_text(json.dumps({**_PLAIN, "device": {**_PLAIN["device"], **said}}))
    with pytest.raises(InputError, match=f"t.yaml: device: .*{words}"):
        validate_table(tmp_path / "t.yaml", networks=5)
