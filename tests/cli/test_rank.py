"""``hwnas rank`` with real supernets: what it prints and leaves behind, and what it refuses."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, spearmanr

from hwnas.evaluation.accuracy import Evaluator
from hwnas.ranking.compare import additive_fit
from hwnas.ranking.standalone import draw
from hwnas.ranking.truth import read_truth, write_truth
from hwnas.space.arch import parse_arch
from hwnas.space.registry import get_space
from hwnas.training.loop import run_training
from hwnas.training.trained import load_supernet, save_supernet
from tests.cli.conftest import Flow
from tests.cli.run import Shell
from tests.conftest import SMALL_SPACE
from tests.training.training_cases import short

_QUICK = ("--images", 100, "--recalibration-images", 64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two supernets of the small space, one of macro; 60 archs of the small space with made-up accuracies."""
    root = tmp_path_factory.mktemp("supernets")
    (root / "small.yaml").write_text(SMALL_SPACE)
    space = get_space(str(root / "small.yaml"))
    for name, source, seed in (("one", space.source, 0), ("two", space.source, 1), ("macro", "macro-w4", 0)):
        changes = {"resolution": 16} if name == "macro" else {}
        run_training(short(source, batch=80, paths_per_update=1, seed=seed, **changes), root / name)
    rng = np.random.default_rng(0)
    write_truth(root / "truth.csv", space, {arch: float(rng.uniform()) for arch in draw(space, 60, seed=5)})
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_are_those_of_the_rows_and_rows_those_of_the_evaluator(hwnas: Shell, root: Path) -> None:
    found = hwnas("rank", root / "one", "--truth", root / "truth.csv", *_QUICK, "--json").json
    assert (found["archs"], found["top_archs"], found["seed"]) == (60, 12, 0)
    assert found["truth"] == {"file": str(root / "truth.csv"), "archs": 60, "trainings": 1}
    kept = rows(root / "one" / "rank.csv")
    inherited, true, depth = (
        np.array([float(row[name]) for row in kept]) for name in ("inherited_accuracy", "true_accuracy", "depth")
    )
    trained = load_supernet(root / "one")
    archs = [parse_arch(row["arch"]).choices for row in kept]
    evaluator = Evaluator(trained.supernet, trained.data, recalibration_images=64, evaluation_images=100)
    assert evaluator(archs).tolist() == inherited.tolist()
    truth = read_truth(root / "truth.csv", trained.supernet.space)
    assert truth.archs.tolist() == list(map(list, archs))
    assert truth.accuracies[:, 0].tolist() == true.tolist()
    for row, scores in ((found, inherited), (found["runs"][0], inherited), (found["baselines"]["depth"], depth)):
        assert row["kendall_tau"] == pytest.approx(kendalltau(scores, true).statistic)
        assert row["spearman"] == pytest.approx(spearmanr(scores, true).statistic)
        for name in ("kendall_tau", "spearman"):
            low, high = row[f"{name}_interval"]
            assert low < row[name] < high
        top = true >= np.sort(true)[-12]
        assert row["top"]["kendall_tau"] == pytest.approx(kendalltau(scores[top], true[top]).statistic)
        assert row["top_1_regret"] == pytest.approx(true.max() - row["top_1_accuracy"])
    assert list(found["baselines"]) == ["depth", "madds", "params", "random"]
    best = found["baselines"][found["best_baseline"]]["kendall_tau"]
    assert found["lead"] == pytest.approx(found["kendall_tau"] - best)
    assert found["ceiling"] is None


def test_the_same_supernet_is_judged_by_its_losses_and_by_their_additive_fit(hwnas: Shell, root: Path) -> None:
    found = hwnas("rank", root / "one", "--truth", root / "truth.csv", *_QUICK, "--json").json["runs"][0]
    kept = rows(root / "one" / "rank.csv")
    loss, true = (np.array([float(row[name]) for row in kept]) for name in ("inherited_loss", "true_accuracy"))
    space = get_space(str(root / "small.yaml"))
    archs = np.array([parse_arch(row["arch"]).choices for row in kept])
    smoothed = additive_fit(space, archs, -loss)
    for name, scores in (("by_loss", -loss), ("by_loss_additive", smoothed)):
        assert found[name]["kendall_tau"] == pytest.approx(kendalltau(scores, true).statistic)
        assert found[name]["lead"] == pytest.approx(found[name]["kendall_tau"] - (found["kendall_tau"] - found["lead"]))
    assert loss.min() > 0
    text = " ".join(hwnas("rank", root / "one", "--truth", root / "truth.csv", *_QUICK).out.split())
    assert f"{found['by_loss']['kendall_tau']:.3f}" in text
    assert f"{found['by_loss_additive']['kendall_tau']:.3f}" in text


def test_a_supernet_that_overflows_is_told(hwnas: Shell, root: Path, tmp_path: Path) -> None:
    trained = load_supernet(root / "one")
    with torch.no_grad():
        trained.supernet.head.classifier.weight.fill_(1e38)
    config = short(root / "small.yaml")
    save_supernet(tmp_path / "wild", trained.supernet, trained.data, config, {}, 1)
    message = hwnas.refused("rank", tmp_path / "wild", "--truth", root / "truth.csv", *_QUICK)
    assert "archs no finite loss; train anew" in message
    assert not (tmp_path / "wild" / "rank.csv").exists()


def test_several_supernets_get_a_row_each_on_the_same_archs(hwnas: Shell, root: Path, tmp_path: Path) -> None:
    words = ["rank", root / "one", root / "two", "--truth", root / "truth.csv", "--archs", 30, *_QUICK]
    found = hwnas(*words, "--json").json
    assert [row["run"] for row in found["runs"]] == [str(root / "one"), str(root / "two")]
    assert found["kendall_tau"] == found["runs"][0]["kendall_tau"] != found["runs"][1]["kendall_tau"]
    kept = {name: rows(root / name / "rank.csv") for name in ("one", "two")}
    assert [row["arch"] for row in kept["one"]] == [row["arch"] for row in kept["two"]]
    assert len(kept["one"]) == 30
    page = tmp_path / "page.html"
    text = hwnas(*words, "-o", page).out
    assert page.read_text("utf-8").startswith("<!doctype html>")
    for row in found["runs"]:
        (line,) = (line for line in text.splitlines() if line.split()[:1] == [row["run"]] and "%" in line[-40:])
        assert f"{row['kendall_tau']:.3f} [" in line
        assert f"{row['top_1_accuracy']:.2%}" in line
    assert f"page: {page}" in text
    assert re.search(r"accuracy of \d+ validation images is known to ±[\d.]+ points or better", text)
    assert "exists already" in hwnas.refused(*words, "-o", page)
    other = hwnas(*words, "--seed", 1, "--json").json
    assert other["kendall_tau"] != found["kendall_tau"]  # other archs


def test_too_few_and_too_many_images_are_told_and_earlier_rows_are_kept(hwnas: Shell, root: Path) -> None:
    run = root / "two"
    words = ["rank", run, "--truth", root / "truth.csv", "--archs", 10, "--images"]
    told = hwnas(*words, 20, "--recalibration-images", 1).err
    assert f"{run}: BN statistics from 1 image are unsure" in told
    first, aside = (run / "rank.csv").read_bytes(), set(run.glob("rank-*.csv"))

    data = load_supernet(run).data
    told = hwnas(*words, 10**6, "--recalibration-images", 10**6).err
    assert "BN statistics come from " in told
    assert f" images, not 1,000,000: the train part has {len(data.train.labels):,}" in told
    assert f"archs are evaluated on {len(data.validation.labels)} images, not 1,000,000" in told
    assert "unsure" not in told
    (kept,) = set(run.glob("rank-*.csv")) - aside
    assert kept.read_bytes() == first != (run / "rank.csv").read_bytes()
    assert f"{run / 'rank.csv'}: the rows of an earlier ranking are kept as {kept.name}" in told

    assert "kept as" not in hwnas(*words, 10**6, "--recalibration-images", 10**6).err  # the same rows
    assert set(run.glob("rank-*.csv")) == {*aside, kept}


def test_a_search_tells_of_unsure_statistics(
    hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["search", "--supernet", flow.supernet, "--table", flow.table, "--evaluations", 12, "-o"]
    assert "BN statistics" not in hwnas(*words, tmp_path / "a").err
    monkeypatch.setattr("hwnas.evaluation.accuracy.FEW", 10**6)
    assert "BN statistics from 512 images are unsure" in hwnas(*words, tmp_path / "b").err


def test_the_published_table_ranks_a_narrower_macro(hwnas: Shell, root: Path, shared_data: Path) -> None:
    published = shared_data / "nas_bench_macro_cifar10.json.gz"
    found = hwnas("rank", root / "macro", "--truth", published, "--archs", 20, *_QUICK, "--json").json
    assert found["truth"]["archs"] == 6561
    assert found["truth"]["trainings"] == 3
    assert found["archs"] == 20
    assert found["top"] is None
    assert 0.5 < found["ceiling"]["kendall_tau"] < 1


def test_archs_are_trained_from_scratch_and_their_accuracies_can_be_read_again(
    hwnas: Shell, root: Path, tmp_path: Path
) -> None:
    config, work = tmp_path / "quick.yaml", tmp_path / "work"
    config.write_text("data: digits\nepochs: 1\nwarmup_epochs: 0.5\nbatch: 640\nthreads: 1\n")
    words = ["rank", root / "one", *_QUICK, "--json"]
    found = hwnas(*words, "--standalone", 10, "--config", config, "--work", work).json
    assert found["archs"] == 10
    assert found["truth"] == {"file": str(work / "truth.csv"), "archs": 10, "trainings": 1}
    assert hwnas(*words, "--truth", work / "truth.csv").json == found
    before = (work / "truth.csv").read_bytes()
    again = hwnas(*words, "--standalone", 10, "--config", config, "--work", work)
    assert again.json == found
    assert "training archs" not in again.err
    assert (work / "truth.csv").read_bytes() == before
    config.write_text(config.read_text().replace("batch: 640", "batch: 320"))
    assert "another 'batch'" in hwnas.refused(*words, "--standalone", 10, "--config", config, "--work", work)


def test_trainings_are_as_the_supernets_when_nothing_else_is_said(hwnas: Shell, root: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    write_truth(work / "truth.csv", get_space(str(root / "small.yaml")), {
        arch: index / 10 for index, arch in enumerate(draw(get_space(str(root / "small.yaml")), 10, seed=0))
    })  # fmt: skip
    hwnas("rank", root / "two", *_QUICK, "--standalone", 10, "--work", work)
    settings = (work / "settings.json").read_text()
    assert '"batch": 80' in settings
    assert '"seed": 1' in settings
    assert '"stabilizers"' not in settings


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "either --truth FILE, or --standalone N"),
        (["--truth", "{truth}", "--standalone", "10"], "either --truth FILE, or --standalone N"),
        (["--standalone", "10", "--archs", "10"], "--archs draws from a --truth"),
        (["--truth", "{truth}", "--work", "w"], "--work is of --standalone"),
        (["--truth", "{truth}", "--config", "c"], "--config is of --standalone"),
        (["--standalone", "9"], "--standalone"),
        (["--truth", "{truth}", "--archs", "9"], "--archs"),
        (["--truth", "{truth}", "--archs", "75"], "has 60 archs, 15 fewer than the 75 asked"),
        (["--truth", "nothing.csv"], "can't read nothing.csv"),
        (["--truth", "{truth}", "{one}"], "given twice"),
        (["--truth", "{truth}", "{macro}"], "of small and"),
        (["--truth", "{truth}", "empty"], "empty doesn't exist"),
        (["--standalone", "10", "--config", "{network}"], "leave it out"),
        (["--standalone", "10", "--config", "nothing.yaml"], "there is no file nothing.yaml"),
        (["--truth", "{nan}"], "line 5: accuracy: "),
        (["--truth", "{few}"], "has 9 archs; a ranking takes 10 or more"),
        (["--truth", "{same}"], "same true accuracy"),
        (["--truth", "{other}"], "10 of 10 archs aren't archs of the supernet's small"),
    ],
)
def test_refused(
    hwnas: Shell, root: Path, words: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "files"
    lines = (root / "truth.csv").read_text().splitlines(keepends=True)
    contents = {
        "nan": "".join([*lines[:4], lines[4].replace(lines[4].rsplit(",")[-1], "nan\n"), *lines[5:]]),
        "few": "".join(lines[:10]),
        "same": "".join([lines[0], *(f"{line.rpartition(',')[0]},0.5\n" for line in lines[1:])]),
        "other": "".join([lines[0], *(f"macro:0000000{i % 3},0.{i}\n" for i in range(10))]),
        "network": "data: digits\nlearner: {kind: network, network: 'macro:0,0,0,0,0,0,0,0'}\n",
    }
    files.mkdir()
    names = {name: root / name for name in ("one", "macro")} | {"truth": root / "truth.csv"}
    for name, content in contents.items():
        names[name] = files / (f"{name}.yaml" if name == "network" else f"{name}.csv")
        names[name].write_text(content)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (root / "one" / "rank.csv").unlink(missing_ok=True)
    filled = [word.format(**names) for word in words]
    message = hwnas.refused("rank", root / "one", *filled, *_QUICK, "-o", "page.html")
    assert part in message
    assert list((tmp_path / "here").iterdir()) == []
    assert not (root / "one" / "rank.csv").exists()
    assert not (root / "one" / "rank").exists()
