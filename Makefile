# Two commands: `make demo` and `make test`. Both set everything up in .venv, and are fast the second time.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-peers lint bench-data bench-extract bench-map clean

demo: .venv/installed
	$(BIN)/python train.py --config configs/quickstart.yaml
	@echo
	@echo "Look at the run:    $(BIN)/tensorboard --logdir runs --samples_per_plugin images=500"
	@echo "  Images            validate/density, validate/regions, validate/bmus_by_class: where images land at CL1..CL4"
	@echo "  Custom Scalars    quantisation and topographic error, energy, collision lift: all depths on one chart"
	@echo "  Scalars           test/robust_accuracy, test/pgd_displacement: the attacks, step = budget in 1/16 of 1/255"
	@echo "and in the run's folder: figures/*.png, measures.json, bmus.parquet, adversarial.parquet, maps.safetensors"

test: .venv/installed-dev
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow

# Beside other maps, which are installed for this and for the benchmark alone.
test-peers: .venv-bench/installed .venv/installed-dev
	.venv-bench/bin/python -m pytest tests/som/test_peers.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

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
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@ .venv/installed

# The peers live apart, on top of the packages of .venv.
.venv-bench/installed: benchmarks/requirements.txt | .venv/installed
	$(PYTHON) -m venv .venv-bench
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$(.venv-bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/somscope.pth
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

clean:
	rm -rf .venv .venv-bench runs benchmarks/cache
