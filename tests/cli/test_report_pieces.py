"""``hwnas report`` on several pieces: in any order, only where they belong together, and none of them altered."""

from __future__ import annotations

import json
import random
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import InputError
from hwnas.flow.bench import bench
from hwnas.flow.derive import derive
from hwnas.flow.export import export
from hwnas.flow.report import gather
from hwnas.nn.model_folder import load_model, save_model
from hwnas.nn.network import Network
from hwnas.profiling.timer import Effort
from hwnas.reporting.report import render
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.loop import run_training
from tests.cli.conftest import Flow
from tests.cli.guides import parse
from tests.cli.run import Shell
from tests.reporting.parsed import Page


@pytest.fixture(scope="session")
def pieces(flow: Flow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned winner: its run ``tuned``, ``artifact`` and ``bench.json`` of it."""
    folder = tmp_path_factory.mktemp("pieces")
    learner = NetworkConfig(network=str(flow.model))
    config = TrainConfig(data="digits", learner=learner, epochs=1, batch=64, augment="none", threads=1)
    run_training(config, folder / "tuned")
    made = export(folder / "tuned" / "model", "onnx-fp32", folder / "artifact")
    bench(made, effort=Effort(rounds=3, at_least_s=0, at_most_s=0)).write(folder / "bench.json")
    return folder


def test_search_training_artifact_and_bench_make_one_page(
    hwnas: Shell, flow: Flow, pieces: Path, tmp_path: Path
) -> None:
    words = [pieces / "bench.json", flow.search, pieces / "artifact", pieces / "tuned", flow.supernet]
    outcome = hwnas("report", *words, "-o", tmp_path / "page.html")
    assert outcome.status == 0, outcome.err
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    sections = {attributes.get("id") for tag, attributes in page.tags if tag == "section"}
    assert sections >= {"search", "winner", "answers", "latency", "training", "artifact", "next"}
    assert {"chart-confusion", "chart-classes", "chart-training-0", "chart-training-1"} <= set(page.ids())
    assert "Latency here" in page.text
    assert "isn't the search's winner" not in page.text
    test = load_model(pieces / "tuned" / "model").info.accuracy["test"]
    assert f"right: {100 * test:.2f} %" in page.text


def test_what_comes_next_are_commands_as_they_are(flow: Flow, pieces: Path) -> None:
    for shown, verbs in (
        ([flow.search], ["derive"]),
        ([flow.search, pieces / "tuned"], ["export"]),
        ([pieces / "artifact"], ["bench", "artifact", "artifact"]),
        ([pieces / "artifact", pieces / "bench.json"], ["artifact", "artifact"]),
    ):
        commands = [shlex.split(step.command) for step in gather(shown).next]
        of_hwnas = [words for words in commands if words[0] == "hwnas"]
        assert [words[1] for words in of_hwnas] == verbs
        for words in of_hwnas:
            parse(words)


def test_another_arch_of_the_search_is_shown_and_said(flow: Flow, tmp_path: Path) -> None:
    found = gather([flow.search]).search
    assert found is not None
    other = next(index for index in range(len(found.archs)) if index != found.winner_index)

    derive(found.arch(other), flow.supernet, output=tmp_path / "other")
    content = gather([flow.search, tmp_path / "other"])
    assert "It isn't the search's winner" in Page(render(content)).text
    assert content.answers is not None
    assert content.winner is not None
    share = content.answers.right / content.answers.images
    assert list(content.winner.accuracies.items())[-1] == ("inherited, test", share)


def test_pieces_that_do_not_belong_together(hwnas: Shell, flow: Flow, pieces: Path, tmp_path: Path) -> None:
    macro, page = get_space("macro"), tmp_path / "page.html"

    save_model(Network(macro, macro.sample(1, 0)[0]).eval(), tmp_path / "macro")
    winner = load_model(flow.model)
    space = get_space(winner.space.ref)
    searched = json.loads((flow.search / "search.json").read_text())["archs"]
    unseen = next(c for c in space.sample(500, 1).tolist() if c not in searched)
    save_model(Network(space, unseen).eval(), tmp_path / "unseen")
    shutil.copytree(flow.search, tmp_path / "again")
    (tmp_path / "stopped").mkdir()
    shutil.copy(flow.search / "settings.json", tmp_path / "stopped")
    for words, part in (
        ([flow.search, tmp_path / "macro"], "leave one of them out"),
        ([flow.search, tmp_path / "unseen"], "neither the winner of"),
        ([flow.search, tmp_path / "again"], "are of one kind (search)"),
        ([pieces / "artifact", flow.model], "was exported from another weights than"),
        ([pieces / "artifact", tmp_path / "unseen"], "was exported from another arch than"),
        ([flow.artifact, pieces / "artifact"], "are of one kind (artifact)"),
        ([flow.search, pieces / "bench.json"], "needs the artifact that it timed"),
        ([tmp_path], "holds no search, network or table"),
        ([tmp_path / "stopped"], "isn't finished; finish it with hwnas search --resume"),
        ([flow.search / "winner.json"], "give the folder that it lies in"),
        ([flow.model / "weights.safetensors"], "nothing that a report shows"),
        ([flow.search, tmp_path / "nowhere"], "doesn't exist"),
        ([flow.search, tmp_path / ("n" * 300)], "doesn't exist"),
    ):
        assert part in hwnas.refused("report", *words, "-o", page), words
        assert not page.exists()


def test_answers_of_other_weights_are_refused(pieces: Path, flow: Flow, tmp_path: Path) -> None:
    shutil.copytree(flow.model, tmp_path / "model")
    shutil.copy(pieces / "tuned" / "model" / "evaluation.json", tmp_path / "model")
    with pytest.raises(InputError, match="is of other weights than"):
        gather([tmp_path / "model"])


VALUES = (
    None,
    -1,
    0,
    1,
    2**40,
    1e300,
    -1e300,
    True,
    "",
    "<b>",
    "a" * 300,
    [],
    {},
    [0],
    [[]],
    {"a": 1},
    [[1.5]],
    "../x",
)


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in plain data."""
    yield at
    for key, inner in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from places(inner, (*at, key))


def altered(data: Any, at: tuple[Any, ...], draw: random.Random) -> Any:
    """A copy with one value exchanged, dropped, or there twice."""
    data = json.loads(json.dumps(data))
    *outer, last = at
    inside = data
    for key in outer:
        inside = inside[key]
    kind = draw.randrange(10)
    if kind == 0:
        del inside[last]
    elif kind == 1 and isinstance(inside, list):
        inside.append(inside[last])
    else:
        inside[last] = draw.choice(VALUES)
    return data


@pytest.mark.parametrize("name", ["search.json", "bench.json", "steps.json", "model.json", "evaluation.json"])
def test_a_file_altered_anywhere_is_told_or_shown(name: str, flow: Flow, pieces: Path, tmp_path: Path) -> None:
    """Never anything but an ``InputError``; about a hundred places, drawn evenly."""
    shutil.copytree(flow.search, tmp_path / "search")
    shutil.copytree(pieces, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tuned").rename(tmp_path / "finetuning")
    steps = [{"name": "a step", "command": "hwnas demo", "seconds": 1.5, "facts": {"a": "b"}}]
    (tmp_path / "steps.json").write_text(json.dumps({"schema": "hwnas-steps/1", "steps": steps}))
    path = next(tmp_path.rglob(name))
    valid = json.loads(path.read_text())
    draw, told = random.Random(1), []
    everywhere = [at for at in places(valid) if at and at != ("schema",)]
    for at in draw.sample(everywhere, min(60, len(everywhere))):
        path.write_text(json.dumps(altered(valid, at, draw)))
        try:
            render(gather([tmp_path]))
        except InputError as error:
            told.append(str(error))
    assert len(told) > len(everywhere) / 3 or len(told) > 20
    assert not [message for message in told if "\n" in message]
