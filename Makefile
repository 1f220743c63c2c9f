# One word each; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := .uv/bin/uv
BIN := .venv/bin
IN_TWO := --numprocesses 2 --no-loadscope-reorder

# Compile once while installing: imports are three times slower when every process compiles again.
export UV_COMPILE_BYTECODE := 1
export UV_PYTHON := $(shell command -v $(PYTHON))
export UV_PYTHON_DOWNLOADS := never

.PHONY: help
help:  ## say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1|/' | column -t -s '|'

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed."; exit 1; }
	@$(PYTHON) -m venv .uv || { echo "$(PYTHON) cannot make a virtual environment; install it (Debian: apt-get install python3-venv)."; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check uv

.venv/.installed: $(UV) uv.lock pyproject.toml
	@$(UV) sync --frozen --extra airflow --extra kubernetes --extra mlflow --all-groups --quiet
	@touch $@

.PHONY: setup
setup: .venv/.installed  ## install everything into .venv
	@$(BIN)/python -m compileall -q airflow_batch_endpoints

.PHONY: demo
demo: setup  ## run the main job on real data through a real Airflow
	@$(BIN)/python -m demo

.PHONY: demo-stop
demo-stop:  ## stop the Airflow that the demo left running
	@test ! -x $(BIN)/python || $(BIN)/python -m demo stop

.PHONY: check
check: setup  ## lint, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# Azure ML's SDK needs some libraries older than Airflow does.
.azure/.installed: tests/azure/requirements.txt $(UV)
	@$(UV) venv --quiet --clear .azure
	@$(UV) pip install --quiet --python .azure/bin/python -r $<
	@touch $@

.PHONY: test
test: check  ## all tests that need no cluster
	@$(BIN)/pytest -m "not kubernetes and not extended and not fuzz" $(IN_TWO) --durations 25

.PHONY: test-extended
test-extended: setup .azure/.installed  ## what takes minutes: pipelines and assets in a real Airflow, Azure ML's SDK, a proxy, the FAB auth manager, killed servers, Postgres, environments
	@$(BIN)/pytest -m extended $(IN_TWO)

.PHONY: fuzz
fuzz: setup  ## requests made up from the OpenAPI document, for BATCH_ENDPOINTS_FUZZ_SECONDS
	@$(BIN)/pytest -m fuzz

.PHONY: test-kubernetes
test-kubernetes: setup  ## the tests on the cluster that KUBECONFIG points to; see CONTRIBUTING.md
	@$(BIN)/pytest -m kubernetes $(if $(ONLY),-k $(ONLY))

.benchmarks/%/.installed: benchmarks/requirements-%.txt benchmarks/requirements-worker.txt $(UV)
	@$(UV) venv --quiet --clear .benchmarks/$*
	@$(UV) pip install --quiet --python .benchmarks/$*/bin/python -r $< -e .
	@touch $@

.PHONY: benchmarks
benchmarks: setup .benchmarks/worker/.installed .benchmarks/peers/.installed  ## measure beside the peers (hours; see docs/benchmarks.md), write the page
	@.benchmarks/peers/bin/python -m benchmarks $(BENCHMARKS) run $(RUN)
	@.benchmarks/peers/bin/python -m benchmarks $(BENCHMARKS) micro
	@$(BIN)/python -m benchmarks $(BENCHMARKS) airflow
	@.benchmarks/peers/bin/python -m benchmarks $(BENCHMARKS) report

.PHONY: campaign
campaign: setup  ## ten thousand simulated jobs under faults, and how well their work is shared out; an hour or so
	@$(BIN)/python -m tests.campaigns.simulation

.PHONY: docs
docs: setup  ## build the documentation into docs/_build
	@$(BIN)/sphinx-build -W -q -b html docs docs/_build/html

.PHONY: clean
clean: demo-stop  ## stop and remove all that was made here
	@rm -rf .azure .demo .benchmarks .venv .uv docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
