# Set-up and the main commands. Each target works on a fresh checkout and says what it does.
# What it needs on the machine: Python 3.11+, git, make, Terraform 1.10+ (or OpenTofu, see README).

PYTHON ?= python3
# Dagster's storage: sqlite or postgres; empty: what the home has.
STORAGE ?= $(RAY_PLATFORM_STORAGE)
# The environment of `up` and `doctor`.
ENVIRONMENT ?= local
# "local" for a GitHub on this machine, and a pull request played through on it.
GITHUB ?=
# A topic of the tests: the folders of that name in unit, contract and integration; empty for all tests.
TOPIC ?=
TESTS := $(if $(TOPIC),$(wildcard $(addsuffix /$(TOPIC),tests/unit tests/contract tests/integration)))
UV_VERSION := 0.13.9
TOOLS := .venv-tools
UV := $(TOOLS)/bin/uv
BIN := .venv/bin
SETUP := .venv/.set-up
SETUP_TEST := .venv/.set-up-test

# uv takes the machine's own Python, and this checkout's own environment whatever else is active.
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV
# Where images forbid it, each of hundreds of processes would compile its imports anew: half of a command's start.
unexport PYTHONDONTWRITEBYTECODE
export RAY_PLATFORM_STORAGE := $(STORAGE)
# The tests choose for themselves.
test test-fast bench: RAY_PLATFORM_STORAGE :=

.PHONY: help up dev down doctor test test-fast test-kubernetes lint bench clean

help:
	@echo "make up      set up, then run every stage in the environment local"
	@echo "             STORAGE=postgres keeps Dagster's history in a local PostgreSQL"
	@echo "             ENVIRONMENT=kind uses a cluster in Docker: docs/how-to/run-on-kind.md"
	@echo "             GITHUB=local plays a pull request on a local GitHub"
	@echo "make dev     set up, then the Dagster UI on http://127.0.0.1:3000"
	@echo "make down    stop all local services of this checkout"
	@echo "make doctor  check this machine's tools, ports and disk"
	@echo "make test    set up, then run lint and every test; TOPIC=cost runs one topic"
	@echo "make lint    ruff, mypy, import-linter and the prose check"
	@echo "make bench   run the benchmarks of bench/"

up: $(SETUP)
	@$(BIN)/ray-platform doctor --env $(ENVIRONMENT)
ifeq ($(GITHUB),local)
	@$(BIN)/ray-platform github local --set-up
endif
	@$(BIN)/ray-platform up --env $(ENVIRONMENT)
ifeq ($(GITHUB),local)
	@$(BIN)/ray-platform github local
endif

dev: $(SETUP)
	@$(BIN)/dagster dev --host 127.0.0.1 --port 3000

down: $(SETUP)
	@$(BIN)/ray-platform down

doctor: $(SETUP)
	@$(BIN)/ray-platform doctor --env $(ENVIRONMENT)

test: $(SETUP_TEST) lint
ifneq ($(TOPIC),)
	@test -n "$(TESTS)" || { echo "there is no topic $(TOPIC): see the folders below tests/unit, tests/integration, tests/contract"; exit 1; }
endif
	@$(BIN)/python -m tests.support.set_up
	@$(BIN)/pytest -n 3 --dist loadgroup --no-loadscope-reorder --durations=15 $(TESTS)

test-fast: $(SETUP_TEST)
	@$(BIN)/pytest -m "not real" -q

# What the local Kubernetes API is held to, on the API of a kubeconfig's context that serves KubeRay's objects.
test-kubernetes: $(SETUP_TEST)
	@RAY_PLATFORM_TEST_CONTEXT=$(CONTEXT) $(BIN)/pytest tests/contract/kubernetes -q

lint: $(SETUP_TEST)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports
	@$(BIN)/python -m tests.prose

bench: $(SETUP_TEST)
	@$(UV) sync --frozen --inexact --quiet --python $(PYTHON) --group sandbox --group dev --group bench
	@for script in bench/load_time.py bench/policy.py bench/whatif.py bench/ledger.py bench/pull_requests.py bench/apply.py; do $(BIN)/python $$script || exit 1; done

clean:
	@rm -rf .venv $(TOOLS)

$(UV):
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Python is missing: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V): Python 3.11 or newer is needed, name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@command -v git >/dev/null || { echo "git is missing: install git"; exit 1; }
	@echo "set-up 1/2: uv $(UV_VERSION), which installs the locked dependencies"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet uv==$(UV_VERSION)

$(SETUP): pyproject.toml sandbox/pyproject.toml uv.lock | $(UV)
	@echo "set-up 2/2: the locked dependencies into .venv (about 1.5 GB, once)"
	@$(UV) sync --frozen --inexact --python $(PYTHON) --no-default-groups --group sandbox
	@touch $@

$(SETUP_TEST): $(SETUP)
	@echo "set-up: what the tests need besides"
	@$(UV) sync --frozen --inexact --python $(PYTHON) --group sandbox --group dev --group browser --group mlflow-server
	@touch $@ $(SETUP)
	@touch $@
