"""The package as a stranger meets it: public names, import weight, what is shipped, what must not be inside."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hwnas
from hwnas.cli.main import main
from tests.extending.plugins import blocks

ROOT = Path(__file__).parents[1]


def test_public_names() -> None:
    assert sorted(set(hwnas.__all__)) == sorted(hwnas.__all__)
    for name in hwnas.__all__:
        assert getattr(hwnas, name) is not None
    documented = {"get_space", "count", "LatencyTable", "LatencyPredictor", "Supernet", "derive", "load_scarlet",
                  "search", "export", "Objective", "Budget"}  # fmt: skip
    assert documented <= set(hwnas.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hwnas.nothing


SCRIPT = """
import hwnas

{reveals}
space = hwnas.get_space("scarlet-tiny")
latency: float = hwnas.predict("table.yaml", ["scarlet-a", space.sample(8, seed=0)]).latency_ms[0]
run: str = hwnas.train("supernet.yaml", seed=3).run.name
madds: int = hwnas.count("scarlet-a").madds
hwnas.seach(space)
madds = hwnas.count("scarlet-a").peak_activation_mb
"""


def test_a_type_checker_knows_every_public_name_and_no_other(tmp_path: Path) -> None:
    names = [name for name in hwnas.__all__ if name != "__version__"]
    (tmp_path / "script.py").write_text(
        SCRIPT.format(reveals="\n".join(f"reveal_type(hwnas.{name})" for name in names))
    )
    (page,) = blocks("in-python.md")
    (tmp_path / "page.py").write_text(page)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache",
         "script.py", "page.py"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(ROOT)},
    )  # fmt: skip
    lines = [line for line in checked.stdout.splitlines() if line.startswith("script.py")]
    errors = [line for line in lines if ": error: " in line]
    revealed = [line.partition("Revealed type is ")[2] for line in lines if "Revealed type" in line]
    assert "page.py" not in checked.stdout, checked.stdout
    assert len(revealed) == len(names)
    assert not {'"builtins.object"', '"Any"', '"object"'} & set(revealed)
    assert len(errors) == 2, checked.stdout
    assert 'no attribute "seach"' in errors[0]
    assert "Incompatible types in assignment" in errors[1]


def test_search_stays_callable_after_its_package_was_imported() -> None:
    import hwnas.optimize.strategies.nsga2

    assert callable(hwnas.search)


OF_THEIR_OWN = [
    "artifacts.check_file", "artifacts.first_run", "artifacts.process_memory", "onnx.infer", "profiling.trial",
]  # fmt: skip
"""Modules that are started in a process of their own, often several in a verb."""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import hwnas", ("torch", "onnxruntime", "plotly", "sklearn", "scipy")),
        ("import hwnas.cli.main", ("torch", "onnxruntime", "plotly", "sklearn", "scipy")),
        ("import hwnas.flow.kernels", ("torch", "plotly", "sklearn", "scipy")),
        ("import hwnas.optimize, hwnas.prediction.costs", ("torch", "onnxruntime", "plotly", "sklearn")),
        *((f"import hwnas.{name}", ("torch", "plotly", "sklearn", "scipy")) for name in OF_THEIR_OWN),
    ],
)
def test_what_takes_long_to_load_is_not_imported(code: str, unwanted: tuple[str, ...]) -> None:
    script = f"{code}\nimport sys\nheavy = [m for m in {unwanted} if m in sys.modules]"
    result = subprocess.run(
        [sys.executable, "-c", f"{script}\nassert not heavy, heavy"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


VERBS = [
    *("demo", "space list", "space show", "space feasible", "count", "profile", "table show", "table validate"),
    *("predict", "train", "rank", "similarity", "search", "derive", "export", "bench", "report"),
    *("artifact check", "artifact zip", "artifact unzip", "artifact triton"),
]

DRAWING = ["demo", "profile", "table validate", "train", "rank", "similarity", "search", "derive", "export", "bench"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json_and_those_that_draw_a_seed(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["hwnas", *verb.split(), "--help"])
    with pytest.raises(SystemExit) as caught:
        main()
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(option in text for option in ("Usage: ", "--json"))
    assert ("--seed" in text) == (verb in DRAWING)
    assert "…" not in text.replace("i,j,k,…", "")


def test_the_wheel_works_away_from_the_checkout(tmp_path: Path) -> None:
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    built = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("hwnas-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        assert {name.partition("/")[0].partition("-")[0] for name in archive.namelist()} == {"hwnas"}  # and no plugin
    lines = [
        "import hwnas, hwnas.reporting.report",
        "from importlib.resources import files",
        "from hwnas.records.target import target_names",
        "from hwnas.shipped import shipped",
        "table = next(shipped('latency_tables').glob('*/scarlet-s2-224-onnxruntime-fp32-1t.yaml'))",
        "hwnas.LatencyTable.load(table)",
        "assert files('hwnas.reporting').joinpath('page.css').is_file()",
        "assert files('hwnas').joinpath('py.typed').is_file()",
        "print(hwnas.__file__, table, *target_names(), sep='\\n')",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    package, table, *targets = result.stdout.splitlines()
    assert Path(package).is_relative_to(tmp_path)
    assert Path(table).is_relative_to(tmp_path)
    assert "onnx-fp32" in targets


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_paths_of_one_machine_are_tracked() -> None:
    for path in _tracked():
        if path.suffix in (".py", ".md", ".yaml", ".toml", ".json", "") and path.is_file():
            text = path.read_text("utf-8")
            for word in ("/ho" + "me/", "/ro" + "ot/", "/wo" + "rk/"):
                assert word not in text, f"{path} has {word}"


def test_every_file_has_one_purpose() -> None:
    """A long file is a sign of two; 350 lines is where we look again."""
    long = [p for p in (ROOT / "hwnas").rglob("*.py") if len(p.read_text("utf-8").splitlines()) > 350]
    assert not long
