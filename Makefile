# Everything a fresh clone needs: Python 3.11 to 3.13, make and git. `make` alone lists the targets.

PYTHON ?= python3
PORT ?= 3000
# Test processes: one more than two cores, since the tests of live servers mostly wait.
JOBS ?= 3
# Tests create some thousand small databases, and on a disk half of their time is waiting for writes: they are created in
# memory where there is space. Elsewhere: make TEST_FOLDER=/path/to/folder test.
TEST_FOLDER ?= $(shell df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 >= 2000 { print "/dev/shm" }')
PYTEST = $(if $(TEST_FOLDER),PYTEST_DEBUG_TEMPROOT='$(TEST_FOLDER)') $(PY) -m pytest
# Passed tests are recorded in a file until all have passed: an interrupted target resumes where it stopped.
FRESH ?=
RESUMED = $(if $(FRESH),rm -f build/passed/$@ &&) $(PYTEST) -n $(JOBS) --resume build/passed/$@
# The tests of `make check`: documents against code, and the examples in docstrings.
DOCUMENTS := tests/docs tests/core/test_errors.py relspec_core relspec_dagster

# Random plans and random edits of catalogs that `make fuzz` tries.
PLANS ?= 20000
EDITS ?= 20000
# Runs that `make chaos` kills.
KILLS ?= 300

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check
READY := $(VENV)/.ready
UNFINISHED := $(VENV)/.unfinished
# The oldest supported release of SQLGlot; the tests that depend on it most run with this one, too.
OLDEST_SQLGLOT := 30.8.0
OLDEST := $(VENV)/sqlglot-$(OLDEST_SQLGLOT)
SQLGLOT_TESTS := tests/laws/test_lineage_cases.py tests/core/test_inferred_deps.py tests/core/fingerprints/test_query_fingerprint.py
# The browser for the tests of Dagster's pages. Not on Debian: make CHROMIUM=/path/to/chromium test.
# `make NO_BROWSER=1 test` leaves those tests out.
CHROMIUM ?= /usr/bin/chromium
NO_BROWSER ?=
# The database server that tests start. Not on Debian: make POSTGRES=/path/to/its/bin test.
# `make NO_POSTGRES=1 test` leaves those tests out.
POSTGRES ?= $(or $(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin))),$(patsubst %/pg_ctl,%,$(shell command -v pg_ctl)))
NO_POSTGRES ?=
export CHROMIUM NO_BROWSER POSTGRES NO_POSTGRES
DATABASE := build/jaffle_shop.duckdb
DAGSTER_HOME_DIR := $(CURDIR)/build/dagster_home

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup debian postgres data demo lint check test fuzz chaos mutants dev bench-inference bench-rebuild bench-run bench-dagster clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Each sets up $(VENV) first if need be. Another Python: make PYTHON=python3.12 demo"

setup: $(READY) ## Make .venv and install relspec with its development tools (one to two minutes, once)

# The stamp is written last. While packages are being written to .venv it holds an 'unfinished' mark, so an
# interrupted setup starts over with an empty .venv instead of trusting half a package. The pip that comes with
# Python 3.11 takes three times as long as later ones to choose among releases. Modules are compiled by all processors
# at once, which pip does not, and not the tests of others; a few files are written for another Python, and stay as
# they are.
$(READY): pyproject.toml constraints.txt
	@rm -f $(READY)
	@if [ -e $(UNFINISHED) ] || ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  command -v $(PYTHON) >/dev/null 2>&1 || { \
	    echo "relspec needs Python 3.11, 3.12 or 3.13, and there is no '$(PYTHON)' here. Name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }; \
	  $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "relspec needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }; \
	  echo "==> Making $(VENV) with $$($(PYTHON) --version 2>&1)"; \
	  $(PYTHON) -m venv --clear $(VENV); \
	fi
	@echo "==> Installing relspec and its tools into $(VENV) (one to two minutes, once)"
	@touch $(UNFINISHED)
	@$(PIP) install --quiet --upgrade pip -c constraints.txt
	@$(PIP) install --no-compile -e '.[dev]' -c constraints.txt
	@$(PY) -m compileall -q -q -j 0 -x '/lib/.*/tests?/' $(VENV)/lib relspec_core relspec_dagster || true
	@rm -f $(UNFINISHED)
	@touch $(READY)

$(OLDEST)/.ready: $(READY)
	@$(PIP) install --quiet --no-deps --target $(OLDEST) sqlglot==$(OLDEST_SQLGLOT)
	@touch $@

# What the tests need that pip does not install.
debian: $(if $(NO_BROWSER),,$(CHROMIUM)) $(if $(NO_POSTGRES)$(POSTGRES),,postgres)

/usr/bin/chromium:
	@command -v apt-get >/dev/null 2>&1 || { \
	  echo "The tests look at Dagster in a browser, and there is no Chromium here. Name one: make CHROMIUM=/path/to/chromium test, or leave those tests out: make NO_BROWSER=1 test" >&2; exit 1; }
	@echo "==> Installing Debian's Chromium for the tests in a browser"
	@sudo=$$(test "$$(id -u)" = 0 || echo sudo); export DEBIAN_FRONTEND=noninteractive; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends chromium

postgres:
	@command -v apt-get >/dev/null 2>&1 || { \
	  echo "The tests start a PostgreSQL server, and there is none here. Name its programs: make POSTGRES=/path/to/bin test, or leave those tests out: make NO_POSTGRES=1 test" >&2; exit 1; }
	@echo "==> Installing Debian's PostgreSQL for the tests of other engines"
	@sudo=$$(test "$$(id -u)" = 0 || echo sudo); export DEBIAN_FRONTEND=noninteractive; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends postgresql

data: $(READY) ## Generate the example's raw data (once, into examples/jaffle_shop/data)
	@$(PY) -m examples.jaffle_shop.generate

demo: data ## Build the example twice: the second run has nothing to do, and says why
	@mkdir -p build
	@echo; echo "==> relspec run: builds what is missing or out of date"
	@$(BIN)/relspec run
	@echo; echo "==> relspec run, again: nothing has changed"
	@$(BIN)/relspec run
	@echo; echo "The tables are in $(CURDIR)/$(DATABASE)"
	@echo "Next: '$(BIN)/relspec plan' shows what each task reads; 'make dev' opens the same graph in Dagster."

lint: $(READY)
	@echo "==> ruff check"; $(PY) -m ruff check
	@echo "==> ruff format"; $(PY) -m ruff format --check
	@echo "==> ty"; $(PY) -m ty check
	@echo "==> import layers"; $(BIN)/lint-imports --no-logo

check: lint ## Lint, formatting, types, import layers, documents and doctests (20 seconds)
	@echo "==> documents and doctests"; $(PY) -m pytest -q -p no:xdist $(DOCUMENTS)

# Steps that use one core run side by side: Debian's packages beside pip's, linting and the example's data (half a minute,
# once) beside the pass with the oldest SQLGlot.
test: ## Everything: lint, formatting, types, import layers, all tests and doctests (8 minutes on two cores)
	@$(MAKE) --no-print-directory debian & installing=$$!; $(MAKE) --no-print-directory $(OLDEST)/.ready && wait $$installing
	@mkdir -p build
	@$(PY) -m examples.jaffle_shop.generate & making=$$!; \
	  { echo "==> pytest, SQLGlot $(OLDEST_SQLGLOT)"; PYTHONPATH=$(OLDEST) $(PYTEST) -q -p no:xdist $(SQLGLOT_TESTS); } >build/oldest_sqlglot.log 2>&1 & oldest=$$!; \
	  trap 'kill $$making $$oldest 2>/dev/null || true' EXIT; set -e; \
	  $(MAKE) --no-print-directory lint; \
	  wait $$oldest || { cat build/oldest_sqlglot.log; exit 1; }; cat build/oldest_sqlglot.log; \
	  wait $$making
	@echo "==> pytest"; $(PYTEST) -n $(JOBS)

# Each of these three resumes where it was interrupted; `make FRESH=1 fuzz` starts over.
fuzz: $(READY) ## Try 20,000 random plans and as many random edits (hours, resumable; fewer: make PLANS=1000 EDITS=0 fuzz)
	@$(RESUMED) --plans $(PLANS) --edits $(EDITS) tests/laws/test_plans.py tests/laws/test_edits.py

chaos: $(READY) ## Kill 300 runs at random moments and fill 60 disks: is each table old or new? (15 minutes, resumable; fewer: make KILLS=60 chaos)
	@$(RESUMED) --kills $(KILLS) tests/system/test_chaos.py tests/system/test_faults.py

mutants: $(READY) ## Edit all queries of TPC-H and TPC-DS in every way: do fingerprints notice what matters? (some minutes, resumable)
	@$(RESUMED) --all-mutants tests/laws/test_mutants.py

dev: data ## Open the example in Dagster on http://localhost:3000 (another port: make PORT=3001 dev)
	@mkdir -p $(DAGSTER_HOME_DIR)
	@cp examples/dagster_home/dagster.yaml $(DAGSTER_HOME_DIR)/dagster.yaml
	@DAGSTER_HOME='$(DAGSTER_HOME_DIR)' exec $(PY) -W 'ignore:Function `dev_command` is superseded' -m dagster dev -w workspace.yaml -p $(PORT)

bench-inference: $(READY) ## Time the inference on TPC-DS beside SQLGlot's (RIVALS=1: beside SQLMesh, SQLLineage and DataHub too)
	@$(PY) -m benchmarks.inference $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(RIVALS),--rivals)

bench-rebuild: data ## Time rebuilds after edits, an idle plan and digests (RIVALS=1: beside SQLMesh and dbt too)
	@$(PY) -m benchmarks.rebuild $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(RIVALS),--rivals)

bench-run: $(READY) ## Time runs beside plain DuckDB, and a graph of 100,000 tasks; peak memory (RIVALS=1: beside dbt and SQLMesh too)
	@$(PY) -m benchmarks.running $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(RIVALS),--rivals)
	@$(PY) -m benchmarks.peak_memory
	@$(PY) -m benchmarks.large_graph $(if $(ROUNDS),--rounds $(ROUNDS))

bench-dagster: $(READY) ## Time what relspec's assets cost in Dagster beside the same written by hand, and beside plain DuckDB
	@$(PY) -m benchmarks.dagster $(if $(ROUNDS),--rounds $(ROUNDS))
	@$(PY) -m benchmarks.dagster_sensor $(if $(ROUNDS),--rounds $(ROUNDS))

clean: ## Remove .venv, the databases, the generated data and all caches
	rm -rf $(VENV) build dist examples/jaffle_shop/data hamilton_dag.py
	rm -rf .relspec_cache .hypothesis .import_linter_cache .pytest_cache .ruff_cache *.egg-info .tmp_dagster_home_*
	find relspec_core relspec_dagster tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
