# Two commands: `make demo` and `make test`. Both set everything up in .venv, and are fast the second time.
PYTHON ?= python3
BIN := .venv/bin
PIP ?= $(BIN)/python -m pip install --quiet
# Tests run on so many processes, of one thread each: a file's tests in the same one, since they share its fixtures.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow test-browser test-peers coverage lint docs bench-attack bench-data bench-extract bench-map clean

demo: .venv/installed
	$(BIN)/python train.py --config configs/quickstart.yaml
	@echo
	@echo "Look at the run:    $(BIN)/tensorboard --logdir runs"
	@echo "  Images            1_maps, 2_depths, 3_attacks: where images land at CL1..CL4; 4_growth: the same while fitting"
	@echo "  Custom Scalars    collision lift, explained variance, errors: all depths on one chart; the attacks below"
	@echo "  HParams           settings beside final numbers, a row a run; Projector: the prototypes"
	@echo "and in the run's folder: figures/*.png, measures.json, bmus.parquet, adversarial.parquet, maps.safetensors"

test: .venv/installed-dev
	$(PYTEST) $(COVERAGE) -m "not slow and not browser"

test-slow: .venv/installed-dev
	$(PYTEST) -m slow

# The fast tests, and the share of lines that they run: at least 95 %, of every file.
coverage:
	$(MAKE) test COVERAGE=--cov

# TensorBoard over a run of the demo, in a real browser; leaves build/screenshots/*.png.
test-browser: .venv/installed-browser
	@for name in chromium chromium-browser google-chrome; do if command -v $$name >/dev/null; then exit 0; fi; done; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else echo "make test-browser needs Chromium; on Debian: sudo apt-get install chromium" >&2; exit 1; fi
	OMP_NUM_THREADS=$(WORKERS) $(BIN)/python -m pytest -m browser tests/test_browser.py

# Beside other maps, which are installed for this and for the benchmark alone.
test-peers: .venv-bench/installed .venv/installed-dev
	.venv-bench/bin/python -m pytest tests/som/test_peers.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

# The pages in build/site, from docs/ and the docstrings; a broken link or an unknown name is an error.
docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

bench-attack: .venv/installed
	$(BIN)/python -m benchmarks.bench_attack

bench-data: .venv/installed
	$(BIN)/python -m benchmarks.bench_data

bench-map: .venv-bench/installed
	.venv-bench/bin/python -m benchmarks.bench_map

bench-extract: .venv/installed
	$(BIN)/python -m benchmarks.bench_extract

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "somscope needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(PIP) --editable .
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(PIP) --editable ".[dev]"
	@touch $@ .venv/installed

.venv/installed-browser: pyproject.toml | .venv/bin/python
	$(PIP) --editable ".[dev,browser]"
	@touch $@ .venv/installed .venv/installed-dev

# The peers live apart, on top of the packages of .venv.
.venv-bench/installed: benchmarks/requirements.txt | .venv/installed
	$(PYTHON) -m venv .venv-bench
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$(.venv-bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/somscope.pth
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

clean:
	rm -rf .venv .venv-bench runs benchmarks/cache
