# `make` alone lists the targets. `make check` is exactly what CI runs.
.DEFAULT_GOAL := help
.PHONY: help setup dev run stack test lint types docs docs-check check mutants pictures lock lock-check bench scorecard test-faults chaos fuzz clean

PYTHON := .venv/bin/python
READY := .venv/.ready
# Extras to install too: make setup EXTRAS="grafana influx archive river notices certificates workflows assistants tracing cluster"
EXTRAS ?=
# More arguments for pytest or the benchmarks: make test ARGS="-k router", make bench ARGS=--long
ARGS ?=

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) $(EXTRAS:%=.venv/.extra-%) ## Make the environment (.venv); does nothing when it is up to date

$(READY): pyproject.toml deploy/lock/run.txt deploy/lock/build.txt deploy/bootstrap/setup.sh
	@./deploy/bootstrap/setup.sh
	@touch $@

.venv/.extra-%: deploy/lock/%.txt $(READY)
	@./deploy/bootstrap/setup.sh $*
	@touch $@

dev: .venv/.extra-dev ## Add what the tests and checks need

run: setup ## Run everything on this machine: broker, simulated fleet, pipeline, database, page
	@.venv/bin/driftline up --demo

stack: $(READY) .venv/.extra-grafana .venv/.extra-influx ## Run the same with VictoriaMetrics and Grafana beside it, where they are on PATH
	@.venv/bin/driftline up --demo --stack

test: dev ## Run the tests
	@$(PYTHON) -m pytest $(ARGS)

lint: dev ## Check style, unused names, and that every import is declared
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m vulture
	@$(PYTHON) -m deptry .

types: dev ## Check types
	@$(PYTHON) -m mypy

docs: dev ## Write the generated pages, the schema and the sample configuration
	@$(PYTHON) -m driftline.reference

docs-check: dev ## Fail where a generated file is not what `make docs` writes
	@$(PYTHON) -m driftline.reference --check

check: lint types docs-check test ## Everything that CI runs

mutants: dev ## Put small bugs into a room, and see whether its tests notice: make mutants ROOM=alerts
	@$(PYTHON) tests/support/mutants.py $(or $(ROOM),alerts) $(ARGS)

pictures: dev ## Make the guides' pictures again from a running service (needs Chromium and VictoriaMetrics)
	@PYTHONPATH=tests/support $(PYTHON) tests/support/make_pictures.py $(ARGS)

lock: dev ## Bring deploy/lock in line with pyproject.toml (ARGS=--upgrade: and to the newest versions)
	@$(PYTHON) deploy/lock.py $(ARGS)

lock-check: dev ## Show what the newest versions would change
	@$(PYTHON) deploy/lock.py --check

bench: dev ## Measure speed, as ratios within one run
	@$(PYTHON) -m benchmarks $(ARGS)

scorecard: dev ## Score the default detectors on simulated plants whose faults are known; writes benchmarks/scorecard.json
	@$(PYTHON) -m driftline score --seeds reporting --out benchmarks/scorecard.json $(ARGS)

test-faults: dev ## Break it on purpose and count what was lost
	@DRIFTLINE_FAULTS=full $(PYTHON) -m pytest tests/faults -n 2 --dist worksteal --durations 12 $(ARGS)

fuzz: dev .venv/.extra-fuzz ## Fuzz a target for MINUTES, following what is reached: make fuzz TARGET=codecs (frames, codecs, journal, snapshots, config, sql)
	@$(PYTHON) tests/fuzz/run_fuzz.py $(or $(TARGET),codecs) $(or $(MINUTES),10)

chaos: dev ## Break it at random for MINUTES (30), and check what must be there
	@DRIFTLINE_CHAOS_MINUTES=$(or $(MINUTES),30) $(PYTHON) -m pytest tests/faults/test_chaos.py -s $(ARGS)

clean: ## Remove the environment and all caches; recorded data in ./var stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
