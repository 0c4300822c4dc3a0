"""Files and words of every kind that hwnas reads, altered anywhere: a typed error of one line, or an answer.

``FUZZ_EXAMPLES`` says how many of each kind; ``make fuzz`` has thousands.
"""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from PIL import Image
from torch import nn

import hwnas
from hwnas.artifacts.archive import artifact_folder, zip_artifact
from hwnas.artifacts.bundle import load_artifact
from hwnas.artifacts.check import check_artifact
from hwnas.data.load import load_data
from hwnas.flow.report import gather
from hwnas.flow.table import import_table
from hwnas.nn.layers import weights_of
from hwnas.nn.network import Network, load_weights, save_weights
from hwnas.nn.released import _read_official
from hwnas.onnx.count import count_model
from hwnas.onnx.model import read_model
from hwnas.onnx.write import to_onnx
from hwnas.optimize import Store
from hwnas.prediction.latency import LatencyPredictor
from hwnas.profiling.journal import FileJournal
from hwnas.profiling.timer import Round
from hwnas.profiling.transports import Remote
from hwnas.ranking.truth import read_truth
from hwnas.records.demo import Step, StepsRecord
from hwnas.records.target import get_target
from hwnas.records.train import LogLine
from hwnas.reporting.report import render
from hwnas.shipped import shipped
from hwnas.space import blocks
from hwnas.space.arch import parse_arch
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from hwnas.training.checkpoint import Position, load_checkpoint, save_checkpoint
from hwnas.training.config import TrainConfig, read_config
from hwnas.training.log import write_log
from hwnas.workers.base import Done
from tests.conftest import SMALL_SPACE
from tests.fuzzing import EXAMPLES, hammer, one_line_or_nothing, spoilt
from tests.reporting.samples import measured_front, report, search_record
from tests.tables.make import DEVICE, made_up_table

pytestmark = [pytest.mark.fuzz, pytest.mark.usefixtures("shapes_apart")]
MANY = EXAMPLES if "FUZZ_EXAMPLES" in os.environ else 25
Read = Callable[[], object]
KINDS: dict[str, Callable[[Path], Read]] = {}
"""Each makes valid files in a folder, all of which are altered, and returns what reads them."""
SHARE: dict[str, int] = {"report_": 8, "check": 30, "images": 4, "foreign_onnx": 8, "shards": 2, "zip": 2}
"""Of slow kinds, one example for so many of others."""


def kind(make: Callable[[Path], Read]) -> Callable[[Path], Read]:
    KINDS[make.__name__] = make
    return make


@kind
def arch(folder: Path) -> Read:
    path = folder / "arch.json"
    path.write_text(json.dumps(hwnas.Arch(_small(folder), [0] * 6).to_dict()))
    return lambda: parse_arch(str(path))


@kind
def front(folder: Path) -> Read:
    space = get_space("macro")
    size = hwnas.Objective("size", lambda archs: archs.sum(1).astype(float))
    hwnas.search(space, [size], evaluations=5).to_front().write(folder / "front.json")
    return lambda: parse_arch(f"{folder / 'front.json'}:0")


@kind
def space(folder: Path) -> Read:
    _small(folder)
    return lambda: get_space(str(folder / "small.yaml"))


@kind
def space_of_blocks(folder: Path) -> Read:
    (folder / "blocks.yaml").write_bytes((Path(blocks.__file__).parent / "vit-tiny.yaml").read_bytes())
    return lambda: get_space(str(folder / "blocks.yaml"))


@kind
def config(folder: Path) -> Read:
    (folder / "config.yaml").write_text(TrainConfig(data="digits").to_yaml())
    return lambda: read_config(folder / "config.yaml")


@kind
def target(folder: Path) -> Read:
    path = folder / "target.yaml"
    path.write_bytes(shipped("export", "targets", "onnx-int8-cpu.yaml").read_bytes())
    return lambda: get_target(str(path))


@kind
def table(folder: Path) -> Read:
    made_up_table(_small(folder)).save(folder / "table.yaml")
    (folder / "small.yaml").unlink()

    def read() -> None:
        loaded = LatencyTable.load(folder / "table.yaml")
        own = loaded.get_space()
        LatencyPredictor(loaded, own)(own.sample(3, 0))

    return read


@kind
def truth(folder: Path) -> Read:
    (folder / "a.csv").write_text('arch,accuracy_1,accuracy_2\n"0,1,2,0,0,0,2,1",0.5,0.75\nmacro:11111111,0.25,0\n')
    (folder / "b.json").write_text(
        '{"01200021": {"test_acc": [50, 75.0], "params": 1}, "11111111": {"test_acc": [25, 0]}}'
    )
    macro = get_space("macro")
    return lambda: [read_truth(folder / name, macro) for name in ("a.csv", "b.json")]


@kind
def foreign(folder: Path) -> Read:
    key = "expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:3-stride:2-idskip:0"
    mbconv = "kind: mbconv, c_in: 16, h_in: 14, w_in: 14, c_out: 16, kernel: 3, stride: 1, expand: 6, se: false"
    (folder / "a.yaml").write_text(f"{key}:\n  count: 164\n  mean: 6.24\n  var: 0.07\n")
    (folder / "b.json").write_text(json.dumps({key: {"mean": 6.24, "count": 164, "std": 0.2}}))
    (folder / "c.csv").write_text(f'op,latency_ms\n"{mbconv}",1.5\n')
    return lambda: [_tried(import_table, folder / name) for name in ("a.yaml", "b.json", "c.csv")]


@kind
def journal(folder: Path) -> Read:
    def opened() -> FileJournal:
        return FileJournal(folder / "j", "1" * 64, "here", {"started": "then"})

    kept = opened()
    kept.resume({2: "too large"})
    for _ in range(3):
        kept.keep(Round([1, 0], [[1.0], [2.0]], [1.0, 1.0, 1.0]), 0)
    kept._file.close()

    def read() -> None:
        again = opened()
        again.resume({2: "too large"})
        again._file.close()

    return read


@kind
def images(folder: Path) -> Read:
    for number, (ending, mode) in enumerate(
        [("png", "I;16"), ("jpg", "RGB"), ("gif", "P"), ("tiff", "RGBA"), ("webp", "RGB")]
    ):
        for part in ("train", "test"):
            path = folder / part / ("cat", "dog")[number % 2] / f"{number}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (20, 30), 1000 if mode == "I;16" else None).save(path)
    return lambda: _pixels(folder)


@kind
def shards(folder: Path) -> Read:
    content = io.BytesIO()
    Image.new("RGB", (20, 30), "red").save(content, "PNG")
    for part in ("train", "test"):
        (folder / part).mkdir()
        with tarfile.open(folder / part / "0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for name in ("cat/a.png", "cat/b.png", "dog/ü.png", f"dog/{'long' * 40}.png"):
                member = tarfile.TarInfo(name)
                member.size = len(content.getvalue())
                tar.addfile(member, io.BytesIO(content.getvalue()))
    return lambda: _pixels(folder)


@kind
def official(folder: Path) -> Read:
    path = folder / "scarlet.pth.tar"
    torch.save({"model_state": {"classifier.weight": torch.zeros(3, 4), "stem.0.weight": torch.ones(2)}}, path)
    return lambda: _read_official(path)


@kind
def weights(folder: Path) -> Read:
    save_weights(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), folder / "w.safetensors")
    return lambda: load_weights(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), folder / "w.safetensors")


@kind
def checkpoint(folder: Path) -> Read:
    def module() -> tuple[nn.Module, torch.optim.Optimizer]:
        made = nn.Linear(3, 4)
        return made, torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.9)

    path, (trained, optimizer) = folder / "c.safetensors", module()
    trained(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    save_checkpoint(path, trained, optimizer, None, Position(fingerprint="f", threads=1))
    return lambda: load_checkpoint(path, *module(), None, "f")


@kind
def store(folder: Path) -> Read:
    macro = get_space("macro")
    archs = macro.sample(5, 0)

    def read() -> None:
        with Store(folder / "s.sqlite", macro, "e") as opened:
            search = opened.begin("random", 0, "{}", {}, resume=True)
            len(opened)
            for each in archs:
                search.known(each, "accuracy")
                search.keep(each, "accuracy", Done(0, 0.5, 1.0, "here"), {"size": 1.0})
            search.check_course(0, "x")

    read()
    return read


@kind
def zip(folder: Path) -> Read:
    zip_artifact(_artifact(folder), folder / "a.zip")
    _remove_folder(folder / "artifact")

    def read() -> None:
        with artifact_folder(folder / "a.zip") as unpacked:
            load_artifact(unpacked)

    return read


@kind
def check(folder: Path) -> Read:
    _artifact(folder)
    return lambda: check_artifact(folder / "artifact")


@kind
def report_(folder: Path) -> Read:
    """A work folder with everything; the artifact's own files are another kind's."""
    tiny = get_space("scarlet-tiny")
    found = search_record("scarlet-tiny", 20)
    made_up_table(tiny).save(folder / "table.yaml")
    (folder / "search").mkdir()
    found.model_copy(update={"measured": measured_front(found)}).write(folder / "search" / "search.json")
    bench = report("scarlet-tiny", 20).bench
    assert bench
    StepsRecord(steps=(Step(name="a", command="b", seconds=1.0, facts={"c": "d"}),)).write(folder / "steps.json")
    (folder / "supernet").mkdir()
    (folder / "supernet" / "config.yaml").write_text(TrainConfig(data="digits").to_yaml())
    for epoch in range(2):
        write_log(
            folder / "supernet",
            LogLine(
                epoch=epoch, loss=1.0, learning_rate=0.1, images_per_second=5.0, accuracy={"largest": 0.5},
                updates_per_choice=((3, 4), (5, 2)), spread_of_counts=3,
            ),
        )  # fmt: skip
    assert found.winner
    artifact = hwnas.export(hwnas.derive(found.winner), "onnx-fp32", folder.with_name("artifact of the report"))
    shipped_bytes = artifact.manifest.files[0].bytes
    row = bench.results[0].model_copy(update={"runtime": DEVICE.runtime, "bytes": shipped_bytes})
    bench.model_copy(update={"results": (row, *bench.results[1:]), "drift": 1.1}).write(folder / "bench.json")
    return lambda: render(gather([folder, artifact.path]))


@kind
def foreign_onnx(folder: Path) -> Read:
    """A network with its weights inside, and one with weights beside it; test_model_fuzz.py alters the graph itself."""
    network = Network(get_space("macro-w8", 16, 10), [0, 1, 2, 0, 1, 2, 0, 1])
    proto = onnx.load_from_string(to_onnx(network.graph, weights_of(network)))
    for node in proto.graph.node:
        node.ClearField("name")  # fewer bytes that may be anything
    onnx.save(proto, folder / "inside.onnx")
    onnx.save(proto, folder / "beside.onnx", save_as_external_data=True, location="weights.bin", size_threshold=100)
    names = ("inside.onnx", "beside.onnx")
    return lambda: [_tried(lambda path: count_model(read_model(path)), folder / name) for name in names]


def _small(folder: Path) -> hwnas.ChainSpace:
    (folder / "small.yaml").write_text(SMALL_SPACE)
    return get_space(str(folder / "small.yaml"))


def _artifact(folder: Path) -> Path:
    network = Network(get_space("macro-w8", 16, 10), [0, 1, 2, 0, 1, 2, 0, 1])
    return hwnas.export(network, "onnx-fp32", folder / "artifact").path


def _remove_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _tried(read: Callable[[Path], object], path: Path) -> None:
    with one_line_or_nothing():
        read(path)


def _pixels(folder: Path) -> None:
    data = load_data(str(folder), 16)
    for part in (data.train, data.test):
        part.pixels(torch.arange(len(part.labels)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_any_file(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    read = KINDS[name](folder)
    files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    read()
    examples = max(4, MANY // SHARE.get(name, 1))
    refused = hammer(files, read, examples)
    assert refused or examples < 20 or name.startswith("foreign")  # which tries one file after the other


ADDRESSES = ["ssh://Pi@MyBoard:22", "ssh://[fe80::1%25eth0]:22", "adb://emulator-5554", "ssh://me%40corp@10.0.0.7"]
WORDS = ["scarlet-s2:0,1,2,3", "macro:0,1,2,0,1,2,0,1", "front.json:3", "scarlet-a", "space.yaml"]


def test_any_words() -> None:
    """Addresses, and archs and spaces by name; what is taken has no control character."""
    rng = random.Random(0)
    for _ in range(MANY):
        address = spoilt(rng.choice(ADDRESSES).encode(), rng).decode("utf-8", "surrogateescape")
        with one_line_or_nothing():
            assert Remote(address).transport().name.isprintable()
        for read in (parse_arch, get_space, get_target, lambda word: load_data(word, 16)):
            with one_line_or_nothing():
                read(spoilt(rng.choice(WORDS).encode(), rng).decode("utf-8", "surrogateescape"))
