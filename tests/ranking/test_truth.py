"""Files of true accuracies, and the trainings that make one where there is none."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import ConfigError, DataError, SpaceError
from hwnas.nn.model_folder import load_model
from hwnas.ranking import standalone
from hwnas.ranking.standalone import draw, train_standalone
from hwnas.ranking.truth import Truth, read_truth, same_choices, write_truth
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.loop import run_training
from tests.training.training_cases import short

_ROOT = Path(__file__).parents[2]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_what_is_written_reads_back_the_same(small_space: ChainSpace, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    accuracies = {tuple(arch): float(rng.uniform()) for arch in small_space.sample(30, 0).tolist()}
    path = tmp_path / "truth.csv"
    write_truth(path, small_space, accuracies)
    truth = read_truth(path, small_space)
    assert truth.archs.tolist() == sorted(map(list, accuracies))
    assert truth.accuracies[:, 0].tolist() == [accuracies[arch] for arch in sorted(accuracies)]


_FORMS = {
    "choices.csv": 'arch,accuracy_1,accuracy_2\n"0,1,2,0,0,0,2,1",0.5,0.75\n"1,1,1,1,1,1,1,1",0.25,0\n',
    "space.csv": 'arch,accuracy_1,accuracy_2\n"macro:1,1,1,1,1,1,1,1",0.25,0\n"macro:0,1,2,0,0,0,2,1",0.5,0.75\n',
    "narrower.csv": 'arch,accuracy,accuracy_2\n"macro-w4:1,1,1,1,1,1,1,1",0.25,0\n01200021,0.5,0.75\n',
    "windows.csv": '\ufeffarch,accuracy_1,accuracy_2\r\n01200021,0.5,0.75\r\n11111111,0.25,0\r\n',
    "own.json": '{"0,1,2,0,0,0,2,1": [0.5, 0.75], "macro:1,1,1,1,1,1,1,1": [0.25, 0]}',
    "bench.json": '{"01200021": {"test_acc": [50, 75.0], "params": 1}, "11111111": {"test_acc": [25, 0]}}',
}  # fmt: skip


@pytest.mark.parametrize("name", _FORMS)
def test_all_forms_say_the_same(name: str, tmp_path: Path) -> None:
    truth = read_truth(written(tmp_path, name, _FORMS[name]), get_space("macro"))
    assert truth.archs.tolist() == [[0, 1, 2, 0, 0, 0, 2, 1], [1] * 8]
    assert truth.accuracies.tolist() == [[0.5, 0.75], [0.25, 0.0]]


def test_one_training_may_stand_without_brackets(tmp_path: Path) -> None:
    truth = read_truth(written(tmp_path, "t.json", '{"00000000": 0.5, "00000001": 1}'), get_space("macro"))
    assert truth.accuracies.tolist() == [[0.5], [1.0]]


@pytest.mark.parametrize("source", ["macro", "macro-w8"])
def test_the_published_table_is_of_macro_however_wide(source: str, shared_data: Path) -> None:
    path = shared_data / "nas_bench_macro_cifar10.json.gz"
    truth = read_truth(path, get_space(source, 16))
    assert truth.archs.shape == (6561, 8)
    assert truth.accuracies.shape == (6561, 3)
    raw = json.loads(gzip.decompress(path.read_bytes()))
    row = truth.archs.tolist().index([0, 2, 0, 1, 2, 1, 0, 0])
    np.testing.assert_allclose(truth.accuracies[row], np.array(raw["02012100"]["test_acc"]) / 100)


def test_the_published_table_is_of_no_other_space(shared_data: Path) -> None:
    path = shared_data / "nas_bench_macro_cifar10.json.gz"
    for source in ("scarlet-tiny", "scarlet-s2"):  # the first has 8 layers of 3 choices or more as well
        with pytest.raises(DataError, match=f"6561 of 6561 archs .* supernet's {source}; 00000000: .*of another space"):
            read_truth(path, get_space(source))


def test_spaces_have_the_same_choices_whatever_their_channels(small_space: ChainSpace) -> None:
    assert same_choices(get_space("macro"), get_space("macro-w8", 64, 3))
    assert same_choices(get_space("scarlet-s2"), get_space("scarlet-s2", 192))
    assert not same_choices(get_space("scarlet-s1"), get_space("scarlet-s2"))
    assert not same_choices(get_space("macro"), small_space)


_WRONG = {
    ("a.csv", "arch,acc\n01200021,0.5\n"): "the first line must be",
    ("a.csv", "accuracy,arch\n"): "the first line must be",
    ("a.csv", ""): "the first line must be",
    ("a.csv", "arch,accuracy\n"): "holds no arch",
    ("a.csv", "arch,accuracy\n01200021,nan\n"): "line 2: accuracy: an accuracy is a number from 0 to 1.*got nan",
    ("a.csv", "arch,accuracy\n01200021,93.1\n"): "line 2: accuracy: .*fraction of 1, as 0.931.*got 93.1",
    ("a.csv", "arch,accuracy\n01200021,-0.1\n"): "line 2: accuracy",
    ("a.csv", "arch,accuracy\n01200021,good\n"): "line 2: accuracy: .*got 'good'",
    ("a.csv", "arch,accuracy\n01200021,\n"): "line 2: accuracy: .*got ''",
    ("a.csv", "arch,accuracy\n0,1,2,0,0,0,2,1,0.5\n"): "line 2: 9 cells, expected 2; quote archs",
    ("a.csv", "arch,accuracy\n01200021,0.5\n11111111\n"): "line 3: 1 cells",
    ("a.csv", 'arch,accuracy\n"0120"0021,0.5\n'): "line 2: ",
    ("a.csv", "arch,accuracy\n01200021,0.5\n01200021,0.5\n"): "line 3: the arch stands there already at line 2",
    ("a.csv", 'arch,accuracy\n01200021,0.5\n"macro:0,1,2,0,0,0,2,1",0.5\n'): "line 3: .*already at line 2",
    ("a.csv", "arch,accuracy\n01200021,0.5\n01200023,0.5\n"): "1 of 2 archs .*; line 3: .*layer 7",
    ("a.csv", "arch,accuracy\n0120002,0.5\n"): "1 of 1 archs .*has 8 choices, got 7",
    ("a.csv", "arch,accuracy\nmacro,0.5\n"): "line 2: 'macro' isn't SPACE:i,j,k",
    ("a.csv", "arch,accuracy\n,0.5\n"): "line 2: '' isn't SPACE",
    ("a.csv", 'arch,accuracy\n"scarlet-s2:0,1",0.5\n'): "line 2: .* is of another space, scarlet-s2",
    ("a.csv", 'arch,accuracy\n"nowhere:0,1",0.5\n'): "line 2: no space 'nowhere'",
    ("a.csv", f'arch,accuracy\n"0,{"9" * 5000}",0.5\n'): "line 2: ",
    ("a.json", "[1]"): "expected an object",
    ("a.json", "{"): "isn't JSON",
    ("a.json", "{}"): "holds no arch",
    ("a.json", '{"01200021": NaN}'): "01200021: accuracy: .*got nan",
    ("a.json", '{"01200021": true}'): "got True",
    ("a.json", '{"01200021": []}'): "01200021: no accuracy",
    ("a.json", '{"01200021": [0.5, "x"]}'): "01200021: accuracy: .*got 'x'",
    ("a.json", '{"01200021": {"acc": [1]}}'): "01200021: test_acc is missing",
    ("a.json", '{"01200021": {"test_acc": [101]}}'): "01200021: test_acc: .*from 0 to 100, in percent",
    ("a.json", '{"01200021": [0.5], "11111111": [0.5, 0.6]}'): "11111111: 2 accuracies, but 1 at 01200021",
    ("a.json", '{"01200021": 0.5, "01200021": 0.6}'): "'01200021' stands twice",
    ("a.json.gz", "{}"): "isn't a whole gzip file",
    ("a.txt", "x"): "in a .csv, .json or .json.gz file",
}


@pytest.mark.parametrize(("file", "part"), _WRONG.items(), ids=range(len(_WRONG)))
def test_a_wrong_file_is_one_line_that_names_file_and_row(file: tuple[str, str], part: str, tmp_path: Path) -> None:
    path = written(tmp_path, *file)
    with pytest.raises(DataError, match=part) as caught:
        read_truth(path, get_space("macro"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_bytes(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"01200021": 0.5}')
    for content in (whole[:-12], whole[:12] + b"\xff" * 8):
        (tmp_path / "a.json.gz").write_bytes(content)
        with pytest.raises(DataError, match="gzip"):
            read_truth(tmp_path / "a.json.gz", get_space("macro"))
    (tmp_path / "a.csv").write_bytes(b"arch,accuracy\n\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_truth(tmp_path / "a.csv", get_space("macro"))
    with pytest.raises(DataError, match="can't read"):
        read_truth(tmp_path / "nothing.csv", get_space("macro"))


def test_samples_grow_and_hold_each_archs_own_accuracy() -> None:
    archs = np.array(sorted({tuple(a) for a in get_space("macro").sample(300, 0).tolist()}))
    truth = Truth(archs=archs, accuracies=archs @ (3.0 ** -np.arange(1, 9))[:, None])
    small, large = (truth.sample(count, seed=4) for count in (20, 100))
    assert {tuple(a) for a in small.archs.tolist()} < {tuple(a) for a in large.archs.tolist()}
    assert large.archs.tolist() == sorted(large.archs.tolist())
    np.testing.assert_array_equal(large.accuracies, large.archs @ (3.0 ** -np.arange(1, 9))[:, None])
    assert truth.sample(20, seed=5).archs.tolist() != small.archs.tolist()


def test_drawn_archs_differ_and_more_begin_with_the_fewer(small_space: ChainSpace) -> None:
    few, many = draw(small_space, 5, seed=1), draw(small_space, 50, seed=1)
    assert many[:5] == few
    assert len(set(many)) == 50
    assert draw(small_space, 5, seed=2) != few
    with pytest.raises(SpaceError, match="too few to train"):
        draw(small_space, small_space.size + 1, seed=0)


@pytest.fixture
def networks(small_yaml: Path) -> tuple[TrainConfig, ChainSpace]:
    """How to train them, and their space."""
    space = get_space(str(small_yaml))
    return short(small_yaml, epochs=1, warmup_epochs=0.5), space


def test_each_arch_is_trained_by_the_one_loop_and_its_test_accuracy_kept(
    networks: tuple[TrainConfig, ChainSpace], tmp_path: Path
) -> None:
    config, space = networks
    calls: list[tuple[int, int]] = []
    path = train_standalone(
        config,
        space,
        2,
        tmp_path / "work",
        seed=3,
        progress=lambda what, done, total, note: calls.append((done, total)),
    )
    assert calls == [(done, 8) for done in range(1, 9)]
    truth = read_truth(path, space)
    for arch, accuracy in zip(truth.archs.tolist(), truth.accuracies[:, 0], strict=True):
        text = f"{space.source}:{','.join(map(str, arch))}"
        found = run_training(
            config.model_copy(update={"learner": NetworkConfig(network=text, resolution=space.resolution)}),
            tmp_path / f"alone{accuracy}",
        )
        network = load_model(found.result)
        assert list(network.choices) == arch
        assert found.accuracy["test"] == accuracy
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == ["settings.json", "truth.csv"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from hwnas.space.registry import get_space
from hwnas.training import loop
from hwnas.ranking.standalone import train_standalone
from tests.training.training_cases import short

loop.CHECKPOINT_SECONDS = 0.0
space = get_space(sys.argv[1])
left = int(sys.argv[3])

def progress(what, done, total, note):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

config = short(sys.argv[1], epochs=1, warmup_epochs=0.5)
train_standalone(config, space, 3, Path(sys.argv[2]), seed=3, progress=progress)
"""


def test_killed_in_the_second_training_it_ends_in_the_same_bytes(
    networks: tuple[TrainConfig, ChainSpace], small_yaml: Path, tmp_path: Path
) -> None:
    config, space = networks
    whole = train_standalone(config, space, 3, tmp_path / "whole", seed=3)
    work = tmp_path / "killed"
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(small_yaml), str(work), "7"], cwd=_ROOT,
                           capture_output=True, text=True, timeout=120)  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(read_truth(work / "truth.csv", space).archs) == 1
    assert (work / "training-1" / "checkpoint.safetensors").exists()
    updates: list[int] = []
    path = train_standalone(
        config, space, 3, work, seed=3, progress=lambda what, done, total, note: updates.append(done)
    )
    assert updates == [7, 8, 9, 10, 11, 12]  # of 4 a training: the first is done, of the second 2 were kept
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in work.iterdir()) == ["settings.json", "truth.csv"]


def test_stopped_before_tidying_up_it_trains_nothing_twice(
    networks: tuple[TrainConfig, ChainSpace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, space = networks
    tidy = shutil.rmtree

    def stop(path: Path, ignore_errors: bool = False) -> None:
        if Path(path).name == "training-0":
            raise KeyboardInterrupt
        tidy(path, ignore_errors=ignore_errors)

    with monkeypatch.context() as patch:
        patch.setattr(standalone.shutil, "rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            train_standalone(config, space, 1, tmp_path / "work", seed=3)
    assert (tmp_path / "work" / "training-0").exists()
    calls: list[int] = []
    train_standalone(config, space, 1, tmp_path / "work", seed=3, progress=lambda *call: calls.append(call[1]))
    assert calls == []
    assert not (tmp_path / "work" / "training-0").exists()


def test_more_archs_add_to_those_that_are_done(networks: tuple[TrainConfig, ChainSpace], tmp_path: Path) -> None:
    config, space = networks
    train_standalone(config, space, 1, tmp_path, seed=3)
    calls: list[tuple[int, int]] = []
    path = train_standalone(config, space, 2, tmp_path, seed=3, progress=lambda *call: calls.append(call[1:3]))
    assert calls == [(done, 8) for done in (5, 6, 7, 8)]
    assert len(read_truth(path, space).archs) == 2


def test_other_settings_are_refused_in_the_same_folder(
    networks: tuple[TrainConfig, ChainSpace], tmp_path: Path
) -> None:
    config, space = networks
    train_standalone(config, space, 1, tmp_path, seed=3)
    kept = (tmp_path / "truth.csv").read_bytes()
    with pytest.raises(ConfigError, match="another 'archs_seed'"):
        train_standalone(config, space, 1, tmp_path, seed=4)
    for key in ("epochs", "seed"):
        with pytest.raises(ConfigError, match=f"another '{key}'"):
            train_standalone(config.model_copy(update={key: 2}), space, 1, tmp_path, seed=3)
    assert (tmp_path / "truth.csv").read_bytes() == kept
