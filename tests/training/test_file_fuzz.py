"""Whatever becomes of a run's files, reading them ends in an answer or in one line that names the file."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas.errors import InputError
from hwnas.flow.train import train
from hwnas.records.train import DataRecord
from hwnas.training.config import read_config
from hwnas.training.log import read_log
from hwnas.training.trained import load_supernet
from tests.conftest import SMALL_SPACE
from tests.training.training_cases import short

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))  # of each file
_ODD: list[Any] = [
    None, True, -1, 0, 3.5, 1e308, 10**30, "", "x", "../..", [], [1], {}, {"a": 1}, [[[]]], "\ud800", float("nan"),
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "space.yaml").write_text(SMALL_SPACE)
    return train(short(folder / "space.yaml", epochs=1, batch=640), folder / "run").run


def altered(data: Any, rng: random.Random) -> Any:
    """With one value somewhere inside replaced, removed or added."""
    data = copy.deepcopy(data)
    where = data
    while isinstance(where, dict | list) and where:
        key = rng.choice(list(where) if isinstance(where, dict) else range(len(where)))
        if not isinstance(where[key], dict | list) or not where[key] or rng.random() < 0.3:
            break
        where = where[key]
    match rng.randrange(3):
        case 0:
            where[key] = rng.choice(_ODD)
        case 1:
            del where[key]
        case _ if isinstance(where, dict):
            where[rng.choice(["schema", "kind", "learner", "spcae", "1"])] = rng.choice(_ODD)
        case _:
            where.append(rng.choice(_ODD))
    return data


READERS: dict[str, Callable[[Path], object]] = {
    "supernet.json": load_supernet,
    "data.json": lambda run: DataRecord.read(run / "data.json"),
    "log.jsonl": read_log,
    "config.yaml": lambda run: read_config(run / "config.yaml"),
}


@pytest.mark.parametrize("name", READERS)
def test_any_file_gives_an_answer_or_a_typed_error(name: str, run: Path, tmp_path: Path) -> None:
    rng, whole = random.Random(0), (run / name).read_text("utf-8")
    os.link(run / "supernet.safetensors", tmp_path / "supernet.safetensors")
    plain = yaml.safe_load(whole) if name.endswith(".yaml") else json.loads(whole)
    refused: list[str] = []
    for _ in range(_EXAMPLES):
        if rng.random() < 0.2:
            start = rng.randrange(len(whole))
            text = whole[:start] + rng.choice(["", "\0", "{", "é", ":"]) + whole[start + rng.randrange(40) :]
        else:
            text = json.dumps(altered(plain, rng))
        (tmp_path / name).write_text(text, "utf-8", "surrogatepass")
        try:
            READERS[name](tmp_path)
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > _EXAMPLES / 4
    assert not [message for message in refused if "\n" in message]
    if name != "supernet.json":  # which may name a space that nobody has
        assert not [message for message in refused if name not in message]
