# make demo: install into .venv and run the whole flow.   make test: everything CI checks.
# make fuzz: the property tests from fresh seeds, and 5,000 damaged files of each kind.
# Every path is relative and quoted, so that a checkout under a path with spaces works.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-fast test lint types layers pytest fuzz wheel clean

demo: .venv/installed
	$(BIN)/python -m hwnas demo

demo-fast: .venv/installed
	$(BIN)/python -m hwnas demo --fast

test: lint types layers pytest

lint: .venv/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: .venv/installed-dev
	$(BIN)/python -m mypy

layers: .venv/installed-dev
	$(BIN)/lint-imports

# Bytecode is written whatever the environment says: tests start hundreds of processes that would compile hwnas anew.
pytest: .venv/installed-dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --max-worker-restart 0

fuzz: .venv/installed-dev
	HYPOTHESIS_PROFILE=fresh FUZZ_EXAMPLES=5000 $(BIN)/python -m pytest -m 'hypothesis or fuzz' --numprocesses 2 --dist loadgroup --max-worker-restart 0

# A stamp file, so that a second run installs nothing; made anew when what to install changes.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("hwnas needs Python 3.11 to 3.13, %s is %s" % (sys.executable, sys.version.split()[0]) if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch .venv/installed

.venv/installed-dev: .venv/installed plugins/hwnas-ncnn/pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]' --editable plugins/hwnas-ncnn
	touch .venv/installed-dev

wheel: .venv/installed-dev
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
