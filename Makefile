# `make` alone lists the targets. `make check` is exactly what CI runs.
.DEFAULT_GOAL := help
.PHONY: help setup run stack test lint types docs docs-check check bench scorecard test-faults clean

PYTHON := .venv/bin/python
STAMP := .venv/.ready
# More arguments for pytest or the benchmarks: make test ARGS="-k router", make bench ARGS=--long
ARGS ?=

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the environment (.venv); does nothing when it is up to date

$(STAMP): pyproject.toml deploy/bootstrap/setup.sh
	@./deploy/bootstrap/setup.sh
	@touch $@

run: setup ## Run everything on this machine: broker, simulated fleet, pipeline, database, page
	@.venv/bin/driftline up --demo

stack: setup ## Run the same with VictoriaMetrics and Grafana beside it, where they are on PATH
	@.venv/bin/driftline up --demo --stack

test: setup ## Run the tests
	@$(PYTHON) -m pytest $(ARGS)

lint: setup ## Check style
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

types: setup ## Check types
	@$(PYTHON) -m mypy

docs: setup ## Write the generated pages, the schema and the sample configuration
	@$(PYTHON) -m driftline.reference

docs-check: setup ## Fail where a generated file is not what `make docs` writes
	@$(PYTHON) -m driftline.reference --check

check: lint types docs-check test ## Everything that CI runs

bench: setup ## Measure speed, as ratios within one run
	@$(PYTHON) -m benchmarks $(ARGS)

scorecard: setup ## Score the default detectors on simulated plants whose faults are known; writes benchmarks/scorecard.json
	@$(PYTHON) -m driftline score --seeds reporting --out benchmarks/scorecard.json $(ARGS)

test-faults: setup ## Break it on purpose and count what was lost
	@DRIFTLINE_FAULTS=full $(PYTHON) -m pytest tests/faults -n 2 --dist worksteal --durations 12 $(ARGS)

clean: ## Remove the environment and all caches; recorded data in ./var stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
