"""What goes into a report arrives in the page, as text, and the page needs nothing else."""

from __future__ import annotations

import dataclasses
import re
from functools import cache

import pytest

from hwnas.records.train import LogLine
from hwnas.reporting.report import render
from hwnas.reporting.units import milliseconds
from hwnas.reporting.views import Latency, Report, Training
from tests.reporting.parsed import Page
from tests.reporting.samples import CHARTS, EVIL, evil_report, report, search_record, small_search

SECTIONS = ["search", "devices", "measured", "winner", "answers", "latency", "training", "artifact", "next", "how"]


@cache
def page_of(name: str) -> Page:
    return Page(render(report(name)))


def bare(**sections: object) -> Report:
    return Report(title="A report", created="2025-03-14", version="0.1.0", **sections)


@pytest.fixture(params=["scarlet-tiny", "scarlet-s2"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_arch_of_the_front_is_in_a_table_and_in_the_chart(name: str) -> None:
    page, search = page_of(name), report(name).search
    chart = next(script for script in page.scripts if '"chart-front"' in script)
    for index in search.front:
        choices = ",".join(map(str, search.archs[index]))
        assert f"{name}:{choices}" in page.text
        assert choices in chart


def test_headline_says_predicted_measured_and_budget(name: str) -> None:
    content, text = report(name), page_of(name).text
    latency = content.latency
    for ms in (latency.predicted_ms, latency.measured_ms, latency.low_ms, content.search.budgets["latency_ms"]):
        assert milliseconds(ms).replace("\N{NO-BREAK SPACE}", " ") in text
    assert "97.22 %" in text
    assert f"{content.winner.madds:,} per image" in text
    assert "413 kB" in text


def test_the_headlines_budget_is_the_first_devices() -> None:
    content = report("scarlet-tiny")
    for budgets, said in (
        ({"latency_ms phone": 7.77, "latency_ms gpu": 1.11}, True),
        ({"latency_ms gpu": 1.11}, False),
    ):
        search = small_search(budgets=budgets)
        page = Page(render(bare(search=search, latency=content.latency))).text
        tile = page[page.index("latency, measured") : page.index("The front", page.index("latency, measured"))]
        assert ("budget 7.77 ms" in tile) == said
        assert "1.11" not in tile


def test_all_sections_and_charts_are_there_once(name: str) -> None:
    ids = page_of(name).ids()
    assert len(ids) == len(set(ids))
    assert set(ids) == {*SECTIONS, *CHARTS}
    assert "Not in this report" not in page_of(name).text


def test_how_it_was_made_has_every_command_and_hash(name: str) -> None:
    content, text = report(name), page_of(name).text
    for step in content.how:
        assert step.command in text
    for file in content.artifact.files:
        assert content.artifact.sha256[file.file] in text
    assert "tolerance kept" in text


def test_a_file_tells_what_it_is_worth(name: str) -> None:
    text = " ".join(page_of(name).text.split())
    for words in (
        "25 int8, 6 fp32", "pointless 0.833 × as fast", "yes 1.724 × as fast",
        "not run: there is no NVIDIA GPU here", "accuracy before",
        "onnx-fp32/model.onnx 4.8e-06 0.0001 100.00 % 360 97.22 % 97.22 % yes",
    ):  # fmt: skip
        assert words in text
    assert render(report(name)).count('<b class="good">fastest</b>') == 2


def test_nothing_is_fetched(name: str) -> None:
    page = page_of(name)
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "embed", "base")]
    for tag, attributes in page.tags:
        assert "src" not in attributes or (tag == "img" and str(attributes["src"]).startswith("data:image/"))
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", "".join(page.styles))
    own_scripts = [script for script in page.scripts if len(script) < 1_000_000]
    assert not [script for script in own_scripts if "http" in script]
    assert len(page.scripts) == len(own_scripts) + 1, "plotly's code stands in the page once"


def test_the_page_forbids_fetching(name: str) -> None:
    policies = [a["content"] for tag, a in page_of(name).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")


def test_a_page_is_under_two_megabytes(name: str) -> None:
    assert len(render(report(name)).encode()) < 2_000_000


def test_same_content_same_page() -> None:
    assert render(report("scarlet-tiny")) == render(report("scarlet-tiny"))


def test_markup_in_labels_stays_text() -> None:
    html = render(evil_report())
    page = Page(html)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert len(page.scripts) == 1 + len(CHARTS)
    assert EVIL in page.text


def test_each_file_that_is_shipped_has_its_hash(name: str) -> None:
    artifact, text = report(name).artifact, page_of(name).text
    for file, sha256 in artifact.sha256.items() if artifact else ():
        assert file in text
        assert sha256 in text


def test_absent_sections_are_named_in_one_line() -> None:
    html = render(bare())
    absent = (
        "the front, other devices, the measured front, the winner, what it gets right, latency, training, "
        "the artifact, what to do next, how it was made"
    )
    assert f"Not in this report: {absent}." in html
    assert Page(html).ids() == []


@pytest.mark.parametrize("section", [section for section in SECTIONS if section not in ("devices", "measured")])
def test_any_section_can_be_alone(section: str) -> None:
    content = report("scarlet-tiny")
    alone = content.search.model_copy(update={"measured": None}) if section == "search" else getattr(content, section)
    page = Page(render(bare(**{section: alone})))
    sections = [attributes.get("id") for tag, attributes in page.tags if tag == "section" and attributes.get("id")]
    assert sections == [section]


def test_empty_front_is_said_and_its_archs_still_drawn() -> None:
    nothing = {"front": (), "winner_index": None, "hypervolume": 0.0, "hypervolume_history": ()}
    search = search_record("scarlet-tiny", 20).model_copy(update=nothing)
    page = Page(render(bare(search=search)))
    assert "None of the 20 evaluated networks" in page.text
    assert [i for i in page.ids() if i.startswith("chart")] == ["chart-front"]


def test_a_search_without_evaluations_has_no_chart() -> None:
    search = search_record("scarlet-tiny", 20)
    none = search.model_copy(
        update={
            "archs": search.archs[:0], "values": search.values[:0], "front": (), "winner_index": None,
            "hypervolume": 0.0, "hypervolume_history": (),
        }
    )  # fmt: skip
    page = Page(render(bare(search=none)))
    assert "There is no chart" in page.text
    assert page.ids() == ["search"]


def test_latency_that_was_not_measured_is_said() -> None:
    latency = Latency(device="d", fields={}, predicted_ms=2.0, low_ms=None, high_ms=None, measured_ms=None)
    page = Page(render(bare(latency=latency)))
    assert "it wasn't measured" in page.text
    assert page.ids() == ["latency"]


def test_metrics_of_any_task_are_shown_and_an_epoch_may_lack_some() -> None:
    plain = {"loss": 1.0, "learning_rate": 0.1, "images_per_second": 9.0}
    known = {"top1": 0.5, "top_k": 0.9, "k": 5, "balanced": 0.4, "loss": 2.0}
    log = (
        LogLine(epoch=0, accuracy={}, **plain),
        LogLine(epoch=1, accuracy={"validation": 0.25}, validation={"near": 0.25}, **plain),
        LogLine(epoch=2, accuracy={"validation": 0.5}, validation=known, **plain),
    )
    text = Page(render(bare(training=(Training(name="mine", log=log, config={}),)))).text
    for part in ("validation near", "top-5 accuracy 90.00 %, balanced accuracy 40.00 %, validation loss 2"):
        assert part in text
    of_five = Page(render(bare(training=(Training(name="mine", log=log, config={}, classes=5),)))).text
    assert "balanced accuracy 40.00 %" in of_five
    assert "top-5" not in of_five


def test_network_has_one_labelled_block_a_layer(name: str) -> None:
    winner = report(name).winner
    labels = [label for label in page_of(name).labels() if re.match(r"(stem|head|layer \d+):", label)]
    assert len(labels) == winner.arch.space.num_layers + 2
    for layer, choice in enumerate(winner.arch.choices):
        op, label = winner.arch.space.layers[layer][choice], labels[layer + 1]
        if op.skips:
            assert label == f"layer {layer}: skipped; stabilizer: folded into the block after layer {layer}"
        else:
            assert f"mbconv {op.kernel}×{op.kernel}, expansion {op.expansion:g}" in label
            assert ("with SE" in label) == op.se
            assert f"{op.c_in}×{op.h_in}×{op.w_in} to {'×'.join(map(str, op.out_shape))}" in label
            assert f"predicted {milliseconds(winner.predicted_ms[f'layers.{layer}'])}" in label


def test_network_without_predictions_has_no_columns() -> None:
    winner = dataclasses.replace(report("scarlet-tiny").winner, predicted_ms={})
    page = Page(render(bare(winner=winner)))
    assert "predicted share of the latency" not in page.text
    assert not [a for tag, a in page.tags if tag == "rect" and (a.get("class") or "").startswith("column")]


def test_a_stabilizer_that_stays_is_a_block() -> None:
    winner = report("scarlet-s2").winner
    walk = tuple((n.place, n.op) for n in winner.arch.space.inheriting().graph(winner.arch.choices))
    kept = [place.removeprefix("layers.") for place, op in walk if op.skips]
    page = Page(render(bare(winner=dataclasses.replace(winner, walk=walk, stabilizers={}))))
    assert kept
    for layer in kept:
        assert any(label.startswith(f"layer {layer}: stabilizer, ") for label in page.labels())
