# Everything a person or CI runs. Each target sets up what it needs; a second run of any starts in seconds.
PYTHON ?= python3
# constraints-newest.txt with PYTHON=python3.13: the other end of the versions that CI tests.
CONSTRAINTS ?= constraints.txt
# What `make bench-peers` compares with; TORCH=torch==VERSION for another version.
TORCH ?= torch
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint $(CONSTRAINTS) --editable .

.PHONY: help run test test-quick check format docs pictures bench bench-gpu bench-peers bench-optima bench-snapshots bench-sweeps soak clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

run: .venv/run.stamp ## the default experiment
	$(BIN)/python simplexity/run_experiment.py

test: .venv/dev.stamp ## every test that this machine can run; TESTS=tests/training for some
	$(BIN)/python -m pytest -n auto --dist loadgroup $(TESTS)

test-quick: .venv/dev.stamp ## the tests that start no whole programs, SLURM or containers
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not slurm and not container and not gpu" $(TESTS)

check: .venv/dev.stamp ## ruff, basedpyright, the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: .venv/dev.stamp ## ruff's corrections
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/run.stamp ## docs/processes.md and processes.json, from the docstrings and configs of the processes
	JAX_PLATFORMS=cpu $(BIN)/python docs/generate_processes.py

pictures: .venv/run.stamp ## the README's pictures, from the default run
	folder=$$(mktemp -d) && $(BIN)/python simplexity/run_experiment.py hydra.run.dir="$$folder/run" && \
	    cp "$$folder"/run/figures/belief_states.png "$$folder"/run/figures/belief_regression.png \
	    "$$folder"/run/figures/loss.png docs/images/ && rm -r "$$folder"

bench: .venv/run.stamp ## ratios: against a naive loop and peers, of a pack and a sweep; RECORD=--record records them
	$(BIN)/python -m benchmarks $(RECORD)
	$(BIN)/python -m benchmarks.peers $(RECORD)

bench-gpu: ## the same on a GPU, and the record of it
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks --gpu

bench-peers: .venv/run.stamp .venv-torch/run.stamp ## against PyTorch and Equinox; ROWS='"LSTM 4" RNN' for some rows
	$(BIN)/python -m benchmarks.peers --record $(ROWS)

bench-optima: .venv/run.stamp ## the optima of all processes at length 1,024 (a minute), and of their mixtures (hours)
	$(BIN)/python -m benchmarks.optima --length 1024 --alone
	$(BIN)/python -m benchmarks.optima

bench-snapshots: .venv/run.stamp ## what snapshots cost a run of a small model
	$(BIN)/python -m benchmarks.snapshots

bench-sweeps: .venv/run.stamp ## sweeps: 1,000 runs on a throwaway SLURM, 96 small ones here, 100,000 complete ones
	$(BIN)/python -m benchmarks.sweeps
	$(BIN)/python -m benchmarks.local_sweep
	$(BIN)/python -m benchmarks.many_runs

soak: .venv/dev.stamp ## a run that is killed 50 times
	$(BIN)/python -m pytest tests/test_soak.py --kills 50

clean: ## removes .venv and .venv-torch
	rm -rf .venv .venv-torch

.venv/bin/python:
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14)' 2>/dev/null || \
	    { echo "simplexity needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	    { rm -rf .venv; echo "this Python cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@# Dependency groups need pip 25.1.
	$(PIP) install --quiet --constraint $(CONSTRAINTS) --upgrade pip

.venv/run.stamp: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(INSTALL)
	@touch $@

.venv/dev.stamp: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(INSTALL) --group test --group check
	@touch $@ .venv/run.stamp

# PyTorch's packages stay out of .venv. Where a package index has both, TORCH=torch==VERSION+cpu is the small build.
.venv-torch/run.stamp:
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python -m pip --disable-pip-version-check install --quiet $(TORCH)
	@touch $@
