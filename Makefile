# Every target is one line of what it does; `make` lists them. Nothing but make and Python 3.11 or newer is assumed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Where it forbids bytecode, each of the hundreds of processes of the suite compiles the package again: a second of CPU.
unexport PYTHONDONTWRITEBYTECODE
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK_FLAGS := --quiet --universal --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
# -n 3: on two cores, for journeys wait for their processes half of the time; loadfile keeps a file's module fixtures (an
# exchange, a chain) in one worker, and files are begun in the order of tests/conftest.py: the longest first.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo check lint types layers tidy gates world test test-fast bench mutation soak lock lock-npm clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv from the hashed lock (does nothing when nothing changed)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(0 if sys.version_info >= (3, 11) else \
	  f"basis-daemon needs Python 3.11 or newer, and `$(PYTHON)` is {v}; try: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)
	@echo "$(VENV) is ready"

demo: setup ## ten simulated days of the BTC basis strategy; writes report.html
	$(BIN)/basis-daemon demo --strategy btc_basis --seed 7 --days 10 --report report.html

check: lint types layers tidy gates ## everything that needs no running system: style, types, layers, house rules, gates

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup
	$(BIN)/mypy --strict basis_daemon tests

layers: setup
	$(BIN)/lint-imports --no-cache

tidy: setup
	$(BIN)/python -m pytest -q tests/test_tidy.py

gates: setup
	$(BIN)/python -m tests.quality_gates --category all

world: setup ## install and build the sandbox chain in the user's cache (needs Node.js; a minute, once)
	@$(BIN)/basis-daemon sandbox chain --prepare-only

test: world ## all tests but the longest journeys, which are part of the soak
	$(PYTEST) -m "not soak" tests

test-fast: setup ## what needs no running exchange, chain or process: a minute
	$(PYTEST) -m "not journey and not slow and not soak" tests

bench: setup ## throughput and latency against the committed floors
	$(BIN)/python -m tests.bench

mutation: setup ## plant bugs into a copy of the source and drill until each is found
	$(BIN)/python -m tests.mutation

soak: world ## the long journeys, 200 kills at random instants, 1,000 quiet hours of market
	$(PYTEST) -m soak tests
	$(BIN)/python -m tests.soak

lock: setup ## resolve the lock files again (UPGRADE=--upgrade takes newer versions)
	$(BIN)/uv pip compile $(LOCK_FLAGS) $(UPGRADE) --extra research --extra test pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK_FLAGS) $(UPGRADE) -c requirements.lock pyproject.toml -o requirements-runtime.lock
	$(BIN)/uv pip compile $(LOCK_FLAGS) $(UPGRADE) tests/bench/peer/requirements.in -o tests/bench/peer/requirements.lock

lock-npm: ## resolve the packages of the sandbox chain again, after an edit of their package.json
	cd basis_daemon/sandbox/chain && npm install --package-lock-only --ignore-scripts --legacy-peer-deps \
	  --omit-lockfile-registry-resolved --no-audit --no-fund

clean: ## remove the environment and everything generated
	rm -rf $(VENV) .features.json .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist report.html
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
