"""Whatever becomes of a file, it is read and written to the same, or refused in one line that names it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hwnas
from hwnas.artifacts.formats.engine_sidecar import Sidecar
from hwnas.errors import InputError
from hwnas.files import to_json
from hwnas.record import FileRecord
from hwnas.records.artifact import FailedExport, SignatureRecord, Verdict
from hwnas.records.demo import Step, StepsRecord
from hwnas.records.evaluation import Answer, EvaluationRecord
from hwnas.records.model import ModelInfo, ModelRecord, OnDevice, Preprocessing, ResolvedStabilizers, Searched
from hwnas.records.search import SearchRecord, SearchSettings
from hwnas.records.target import get_target
from hwnas.records.train import DataRecord, SupernetRecord, TrainedOn
from hwnas.runtimes.tensorrt_build import Layer, Shapes
from hwnas.space.registry import get_space
from tests.fuzzing import EXAMPLES, altered, one_line_or_nothing
from tests.reporting.samples import measured_front, report, search_record
from tests.tables.make_kernels import table

_ROOT = Path(__file__).parents[2]
_TABLES_AND_KITS = {
    "_File",
    "Result",
    "KitDescription",
    "SpaceKit",
    "KernelKit",
}  # tests/profiling/test_result_fuzz.py has those
_OPENS = ("get_space", "space_of_network")
_SHA256 = "0123456789abcdef" * 4
_SPACE = get_space("scarlet-tiny", 16, classes=10)
_PREPROCESSING = Preprocessing(
    resolution=16, resize="shorter side", resize_px=18, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
)


def _search() -> SearchRecord:
    found = search_record("scarlet-tiny", 20)
    return found.model_copy(update={"measured": measured_front(found)})


def _settings() -> SearchSettings:
    found = _search()
    asked = set(SearchSettings.model_fields) - {"store"}
    return SearchSettings(**{name: getattr(found, name) for name in asked}, store=Path("evaluations.sqlite"))


def _front() -> FileRecord:
    size = hwnas.Objective("size", lambda archs: np.asarray(archs).sum(1).astype(float))
    spread = hwnas.Objective("spread", lambda archs: np.asarray(archs).var(1))
    return hwnas.search(_SPACE, [size, spread], [hwnas.Budget("size", 40.0)], evaluations=20).to_front()


def _model() -> ModelRecord:
    device = OnDevice(
        table="table.yaml", device="a CPU", budget_ms=2.0, predicted_ms=1.5, low_ms=1.4, high_ms=1.6, measured_ms=1.55
    )
    info = ModelInfo(
        data="digits", labels=tuple("0123456789"), preprocessing=_PREPROCESSING, accuracy={"test": 0.9}, parity=1e-6,
        made_from={"supernet_sha256": _SHA256},
        searched=Searched(strategy="nsga2", evaluations=12, seed=0, devices=(device,)),
    )  # fmt: skip
    return ModelRecord(
        space=_SPACE.ref, choices=tuple(_SPACE.sample(1, 0)[0].tolist()), madds=1, params=1, info=info,
        stabilizers=(ResolvedStabilizers(layer=1, place="layers.2", kept=False),), weights_sha256=_SHA256,
    )  # fmt: skip


def _artifact(folder: Path) -> FileRecord:
    choices = hwnas.Arch(_SPACE, _SPACE.sample(1, 0)[0].tolist())
    return hwnas.export(hwnas.derive(choices), "onnx-fp32", folder / "artifact").manifest


def _failed(folder: Path) -> FailedExport:
    parity = _artifact(folder).files[0].parity
    return FailedExport(
        targets={"int8": Verdict(parity=parity, accuracy_before=0.9, accuracy_after=0.5, failures=("it differs",))}
    )


def _supernet() -> SupernetRecord:
    data = TrainedOn(
        source="digits", held_out=0.2, corrupt_images="fail", sha256=_SHA256, labels=tuple("0123456789"),
        preprocessing=_PREPROCESSING,
    )  # fmt: skip
    return SupernetRecord(
        space=_SPACE.ref, stabilizers=True, data=data, task="classification", accuracy={"largest": 0.9},
        weights_sha256=_SHA256,
    )  # fmt: skip


def _data() -> DataRecord:
    return DataRecord(classes=("cat", "dog"), train_images=80, validation_images=20, test_images=20, sha256=_SHA256)


def _sidecar() -> Sidecar:
    return Sidecar(
        engine_sha256=_SHA256, graph_sha256=_SHA256, runtime="tensorrt", version="10.1", capability="86",
        platform="linux-x86_64", options={"workspace": "1"},
        profile={"input": Shapes(min=(1, 3, 16, 16), opt=(1, 3, 16, 16), max=(8, 3, 16, 16))},
        layers=(Layer(name="stem", type="Convolution", precision="fp16"),),
    )  # fmt: skip


def _steps() -> StepsRecord:
    return StepsRecord(steps=(Step(name="search", command="hwnas search", seconds=3.5, facts={"evaluated": "20"}),))


def _evaluation() -> EvaluationRecord:
    seen = Answer(label=1, answer=0, share=0.6, image="data:image/png;base64,iVBORw0KGgo=")
    return EvaluationRecord(
        labels=("cat", "dog"), answers=((0, 0, 9), (1, 0, 2), (1, 1, 9)), examples=(seen,), weights_sha256=_SHA256
    )


MAKE: dict[str, Callable[[Path], FileRecord]] = {
    "SearchRecord": lambda folder: _search(),
    "SearchSettings": lambda folder: _settings(),
    "Front": lambda folder: _front(),
    "ModelRecord": lambda folder: _model(),
    "ArtifactRecord": _artifact,
    "FailedExport": _failed,
    "SupernetRecord": lambda folder: _supernet(),
    "DataRecord": lambda folder: _data(),
    "BenchRecord": lambda folder: report("scarlet-tiny", 20).bench,
    "Target": lambda folder: get_target("onnx-int8-cpu"),
    "Sidecar": lambda folder: _sidecar(),
    "StepsRecord": lambda folder: _steps(),
    "EvaluationRecord": lambda folder: _evaluation(),
    "KernelTable": lambda folder: table(
        {"Relu": 0.1, "Conv": 2.5}, models={"a.onnx": (["Relu", "Conv", "Relu"], 2.6)}, failed={"Tanh": "no"}
    ),
    "SignatureRecord": lambda folder: SignatureRecord(public_key="0f" * 32, signature="1e" * 64),
}


def test_all_are_here() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (_ROOT / "hwnas").rglob("*.py"))
    named = set(re.findall(r"^class (\w+)\((?:FileRecord|_Asked)\b", code, re.MULTILINE)) - {"_Asked"}
    assert named - _TABLES_AND_KITS == set(MAKE)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", MAKE)
def test_any_file_is_read_to_the_same_or_refused(name: str, tmp_path: Path) -> None:
    record = MAKE[name](tmp_path)
    assert type(record).__name__ == name
    file, rng = tmp_path / "record.json", random.Random(0)
    refused: list[str] = []
    plain, whole = record.plain(), to_json(record.plain())
    file.write_text(whole, "utf-8")
    assert type(record).read(file).plain() == plain
    for _ in range(EXAMPLES):
        if rng.random() < 0.2:
            start = rng.randrange(len(whole))
            text = whole[:start] + rng.choice(["", "\0", "{", "é", ":"]) + whole[start + rng.randrange(40) :]
        else:
            text = json.dumps(altered(plain, rng))
        file.write_text(text, "utf-8", "surrogatepass")
        try:
            found = type(record).read(file)
        except InputError as error:
            refused.append(str(error))
        else:
            assert type(record).of_plain(json.loads(to_json(found.plain())), file).plain() == found.plain()
            for opens in _OPENS:
                with one_line_or_nothing():
                    getattr(found, opens, lambda: None)()
    assert len(refused) > EXAMPLES / 4
    assert not [message for message in refused if len(message.splitlines()) != 1 or str(file) not in message]
