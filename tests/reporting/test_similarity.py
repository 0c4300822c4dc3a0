"""The heat maps show every similarity, in a colour that means the same everywhere; the page is one like the others."""

from __future__ import annotations

import itertools
import re
import struct
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hwnas.errors import OutputError, RuntimeMissingError
from hwnas.records.similarity import LayerSimilarity, RunSimilarity, SimilarityRecord
from hwnas.reporting.similarity import draw_similarity, render_similarity, save_picture
from tests.reporting.browser import needs_browser, opened, overhang_px
from tests.reporting.parsed import Page

EVIL = '<script>alert(1)</script>"&<img src=x>'
S2 = [f"k{k} e{e}{se}" for k in (3, 5, 7) for e in (3, 6) for se in ("", " se")]
_SVG = "{http://www.w3.org/2000/svg}"


def layer(index: int, choices: list[str], rng: np.random.Generator) -> LayerSimilarity:
    random = rng.uniform(0.1, 0.9, (len(choices), len(choices)))
    similarity = (random + random.T) / 2
    np.fill_diagonal(similarity, 1)
    skip = 0.123 if "skip" in choices else None
    return LayerSimilarity(
        layer=index, choices=tuple(choices), similarity=matrix(similarity.tolist()), skip=skip, blocks=0.456
    )


def matrix(rows: list[list[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, rows))


def figures(kinds: list[list[str]], names: list[str]) -> SimilarityRecord:
    rng = np.random.default_rng(0)
    runs = tuple(
        RunSimilarity(
            run=Path(name), stabilizers=index == 0, skip_mean=0.1 + index / 1000, blocks_mean=0.4 + index / 1000,
            layers=tuple(layer(i, choices, rng) for i, choices in enumerate(kinds)),
        )
        for index, name in enumerate(names)
    )  # fmt: skip
    return SimilarityRecord(space="a space", images=77, prefixes=9, seed=0, runs=runs)


@pytest.fixture(scope="module")
def macro() -> SimilarityRecord:
    return figures([["downsample", "k3 e3", "k5 e6"], *[["skip", "k3 e3", "k5 e6"]] * 2], ["runs/els", "runs/plain"])


@pytest.fixture(scope="module")
def s2() -> SimilarityRecord:
    return figures([S2, *[[*S2, "skip"]] * 18], ["runs/els", "runs/plain"])


def parsed(found: SimilarityRecord) -> ElementTree.Element:
    return ElementTree.fromstring(draw_similarity(found)[0])


def cells(svg: ElementTree.Element) -> dict[str, list[ElementTree.Element]]:
    """Squares by what they say when they are pointed at, those of the first RUN first."""
    found: dict[str, list[ElementTree.Element]] = {}
    for rect in svg.iter(f"{_SVG}rect"):
        if (title := rect.find(f"{_SVG}title")) is not None:
            found.setdefault(str(title.text).partition(":")[0], []).append(rect)
    return found


def corner(rect: ElementTree.Element) -> tuple[float, float]:
    return float(rect.get("x", "")), float(rect.get("y", ""))


def luminance(color: str) -> float:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return 0.3 * red + 0.59 * green + 0.11 * blue


@pytest.mark.parametrize("name", ["macro", "s2"])
def test_every_pair_of_every_run_is_a_square_of_its_own(name: str, request: pytest.FixtureRequest) -> None:
    found: SimilarityRecord = request.getfixturevalue(name)
    by_title = cells(parsed(found))
    assert len(by_title) == sum(len(one.choices) ** 2 for one in found.runs[0].layers)
    places = set()
    for run_index, run in enumerate(found.runs):
        for one in run.layers:
            for i, a in enumerate(one.choices):
                for j, b in enumerate(one.choices):
                    rect = by_title[f"layer {one.layer}, {a} and {b}"][run_index]
                    assert rect[0].text.endswith(f": {one.similarity[i][j]:.3f}")
                    places.add(corner(rect))
    assert len(places) == 2 * len(by_title)  # none lies on another


def test_nothing_hangs_over_the_edge(macro: SimilarityRecord, s2: SimilarityRecord) -> None:
    for found, widest_px in ((macro, 1060), (s2, 1060), (s2, 1400)):
        svg, (width_px, height_px) = draw_similarity(found, widest_px)
        assert width_px <= widest_px
        for rect in ElementTree.fromstring(svg).iter(f"{_SVG}rect"):
            x, y = corner(rect)
            assert 0 <= x <= x + float(rect.get("width", "")) <= width_px
            assert 0 <= y <= y + float(rect.get("height", "")) <= height_px


def test_runs_stand_side_by_side_and_a_gap_sets_the_skip_apart(macro: SimilarityRecord, s2: SimilarityRecord) -> None:
    for found, skip, ordinary in (
        (macro, ("skip", "k3 e3"), ("k3 e3", "k5 e6")),
        (s2, (S2[-1], "skip"), tuple(S2[:2])),
    ):
        by_title = cells(parsed(found))
        left, right = (corner(rect) for rect in by_title["layer 1, k3 e3 and k3 e3"])
        assert left[1] == right[1]
        assert left[0] < right[0]

        def step(pair: tuple[str, str], by_title: dict[str, list[ElementTree.Element]] = by_title) -> float:
            a, b = (corner(by_title[f"layer 1, {name} and {name}"][0]) for name in pair)
            assert b[0] - a[0] == b[1] - a[1]
            return b[0] - a[0]

        assert step(skip) > step(ordinary) > 0


def one_cell(value: float) -> SimilarityRecord:
    return figures_of([[1.0, value], [value, 1.0]])


def figures_of(similarity: list[list[float]]) -> SimilarityRecord:
    found = figures([["k3 e3", "skip"]], ["run"])
    (run,) = found.runs
    only = run.layers[0].model_copy(update={"similarity": matrix(similarity)})
    return found.model_copy(update={"runs": (run.model_copy(update={"layers": (only,)}),)})


def test_a_colour_means_the_same_in_every_picture_and_darkens_with_similarity() -> None:
    def color(value: float) -> str:
        return str(cells(parsed(one_cell(value)))["layer 0, k3 e3 and skip"][0].get("fill"))

    shades = [luminance(color(value)) for value in np.linspace(0, 1, 30)]
    assert all(a > b for a, b in itertools.pairwise(shades))
    warm = color(-0.8)
    assert int(warm[1:3], 16) > int(warm[5:7], 16)  # red is for the opposite
    with_negatives = figures_of([[1.0, -0.9], [0.5, 1.0]])
    assert cells(parsed(with_negatives))["layer 0, skip and k3 e3"][0].get("fill") == color(0.5)


@pytest.mark.parametrize(("value", "ends"), [(0.2, ("0", "1")), (-0.01, ("0", "1")), (-0.2, ("-1", "1"))])
def test_the_scale_reaches_below_0_where_a_value_does(value: float, ends: tuple[str, str]) -> None:
    texts = [str(text.text) for text in parsed(one_cell(value)).iter(f"{_SVG}text")]
    ticks = texts[texts.index("cosine similarity") + 1 :][:5]
    assert (ticks[0], ticks[-1]) == ends


@pytest.mark.parametrize(
    ("value", "shown"), [(0.456, ".46"), (-0.456, "−.46"), (-0.001, ".00"), (0.999, "1"), (-1.0, "−1"), (0.1, ".10")]
)
def test_large_squares_hold_their_number(value: float, shown: str) -> None:
    svg = parsed(one_cell(value))
    numbers = [
        text for text in svg.iter(f"{_SVG}text") if text.text == shown and "pointer-events" in text.get("style", "")
    ]
    fills = {"#ffffff": 255.0, "#0f172a": luminance("#0f172a")}
    square = luminance(str(cells(svg)["layer 0, k3 e3 and skip"][0].get("fill")))
    ink = re.search(r"#\w{6}", str(numbers[0].get("style")))
    assert ink
    assert abs(fills[ink.group()] - square) > 75  # legible


def test_the_page_says_all_means_and_conditions(macro: SimilarityRecord) -> None:
    text = Page(render_similarity(macro)).text
    assert "77 validation images, 9 random prefixes" in text
    assert "A: els, with stabilizers" in text
    assert "B: plain, without stabilizers" in text
    for value in ("0.100", "0.101", "0.400", "0.401"):
        assert value in text
    assert "0 – 0.456 – 0.456 1 0.123 0.456 0.123 0.456" in text  # the table; layer 0 has no skip
    assert "mean over layers with a skip 0.100 0.400 0.101 0.401" in text


def test_the_same_figures_give_the_same_page(macro: SimilarityRecord) -> None:
    assert render_similarity(macro) == render_similarity(macro)


def test_runs_of_one_name_are_told_apart_by_their_path() -> None:
    text = Page(render_similarity(figures([["skip", "k3 e3"]], ["a/run", "b/run"]))).text
    assert "A: a/run, with" in text
    assert "B: b/run, without" in text


def test_without_a_skip_only_blocks_are_spoken_of() -> None:
    found = figures([["k3 e3", "k5 e3"]], ["run"])
    found = found.model_copy(update={"runs": (found.runs[0].model_copy(update={"skip_mean": None}),)})
    tiles = [attributes for tag, attributes in Page(render_similarity(found)).tags if attributes.get("class") == "tile"]
    assert len(tiles) == 1
    text = Page(render_similarity(found)).text
    assert "mean over all layers" in text
    assert "layers with a skip" not in text


def test_markup_in_names_stays_text() -> None:
    found = figures([[EVIL, "skip"]], [EVIL, "b"]).model_copy(update={"space": EVIL})
    page = Page(render_similarity(found))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not any("alert" in script for script in page.scripts)
    assert EVIL in page.text


@needs_browser
@pytest.mark.parametrize("width", [420, 1280])
def test_the_page_stays_within_a_phone(s2: SimilarityRecord, width: int, tmp_path: Path) -> None:
    page, console = opened(render_similarity(s2), tmp_path, width)
    assert console == []
    assert overhang_px(page) == 0


@needs_browser
def test_the_picture_is_a_whole_png_of_twice_the_size(macro: SimilarityRecord, tmp_path: Path) -> None:
    save_picture(macro, tmp_path / "new" / "maps.png")
    content = (tmp_path / "new" / "maps.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert b"IEND" in content[-12:]
    _, size_px = draw_similarity(macro, 1400)
    assert struct.unpack(">II", content[16:24]) == tuple(2 * (px + 48) for px in size_px)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["maps.png"]


def browser_that(does: str, folder: Path) -> None:
    script = folder / "chromium"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)


def test_without_a_browser_it_says_what_to_do(
    macro: SimilarityRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeMissingError, match=r"none of chromium, .* is on the PATH"):
        save_picture(macro, tmp_path / "maps.png")


@pytest.mark.parametrize("does", ["exit 3", "exit 0"], ids=["fails", "makes nothing"])
def test_a_browser_that_takes_no_picture_leaves_no_file(
    macro: SimilarityRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    (tmp_path / "bin").mkdir()
    browser_that(does, tmp_path / "bin")
    assert subprocess.run([tmp_path / "bin" / "chromium"]).returncode == int(does[-1])
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(OutputError, match=r"couldn't take the picture for .*maps\.png"):
        save_picture(macro, tmp_path / "maps.png")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
