"""Whatever becomes of a run's files, reading them ends in an answer or in one line that names the file."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hwnas.errors import InputError
from hwnas.flow.train import train
from hwnas.records.train import DataRecord
from hwnas.training.config import read_config
from hwnas.training.log import read_log
from hwnas.training.trained import load_supernet
from tests.conftest import SMALL_SPACE
from tests.fuzzing import EXAMPLES, altered
from tests.training.training_cases import short


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "space.yaml").write_text(SMALL_SPACE)
    return train(short(folder / "space.yaml", epochs=1, batch=640), folder / "run").run


READERS: dict[str, Callable[[Path], object]] = {
    "supernet.json": load_supernet,
    "data.json": lambda run: DataRecord.read(run / "data.json"),
    "log.jsonl": read_log,
    "config.yaml": lambda run: read_config(run / "config.yaml"),
}


@pytest.mark.fuzz
@pytest.mark.parametrize("name", READERS)
def test_any_file_gives_an_answer_or_a_typed_error(name: str, run: Path, tmp_path: Path) -> None:
    rng, whole = random.Random(0), (run / name).read_text("utf-8")
    os.link(run / "supernet.safetensors", tmp_path / "supernet.safetensors")
    plain = yaml.safe_load(whole) if name.endswith(".yaml") else json.loads(whole)
    refused: list[str] = []
    for _ in range(EXAMPLES):
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
    assert len(refused) > EXAMPLES / 4
    assert not [message for message in refused if "\n" in message]
    if name != "supernet.json":  # which may name a space that nobody has
        assert not [message for message in refused if name not in message]
