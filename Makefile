# The two commands of a newcomer are `make demo` and `make test`; everything else helps the people who work here.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements.txt requirements-sandbox.txt requirements-dev.txt
READY := $(VENV)/.ready

.PHONY: help
help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(READY): $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || { echo 'KrotRay needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@echo '» setting up $(VENV) (about a minute, once)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@for lock in $(LOCKS); do \
		echo "»   $$lock ($$(grep -c == $$lock) packages)"; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -r $$lock || exit 1; \
	done
	@touch $@

.PHONY: setup
setup: $(READY)  ## make .venv with everything that the other commands use

.PHONY: demo
demo: $(READY)  ## run the whole service on real parts, with a guided purchase; Ctrl-C ends it
	@exec $(BIN)/python -m sandbox.demo

.PHONY: smoke
smoke: $(READY)  ## the same guided purchase, then stop: exit code 0 or 1
	@exec $(BIN)/python -m sandbox.demo --smoke

.PHONY: test
test: $(READY)  ## checkers and every test, on real PostgreSQL, Redis and Xray
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --ignore tests/system

.PHONY: test-system
test-system: $(READY)  ## tests that need Debian's own servers (installs them; root)
	@$(BIN)/python -m pytest tests/system --timeout 900

.PHONY: audit
audit: $(READY)  ## ask the public databases about known holes in the locked versions
	@for lock in $(LOCKS); do $(BIN)/pip-audit --requirement $$lock --no-deps --disable-pip || exit 1; done

.PHONY: storm
storm: $(READY)  ## an hour of 2,000 people with every fault on, in minutes
	@STORM_PEOPLE=$${STORM_PEOPLE:-2000} $(BIN)/python -m pytest -s tests/test_storm.py

.PHONY: chaos
chaos: $(READY)  ## minutes of breakdowns under load; prints the seed (CHAOS_SECONDS, CHAOS_SIMULATED, CHAOS_SEED)
	@CHAOS_SECONDS=$${CHAOS_SECONDS:-120} CHAOS_SIMULATED=$${CHAOS_SIMULATED:-26} $(BIN)/python -m pytest -s tests/test_chaos.py

.PHONY: crash
crash: $(READY)  ## kill -9 at every single step of every verb
	@CRASH_EVERYWHERE=1 $(BIN)/python -m pytest -s tests/test_crash_points.py tests/test_crash_converge.py

.PHONY: bench
bench: $(READY)  ## measure everything beside its limit, and write docs/performance.md (under ten minutes)
	@$(BIN)/python -m benchmarks $(PARTS)

.PHONY: curves
curves: $(READY)  ## the same figures with up to 1,000,000 subscribers and 30 servers, into docs/performance.md and docs/growth.svg
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@$(BIN)/python -m benchmarks.curves

.PHONY: soak
soak: $(READY)  ## an hour's worth of mixed work at half the limit: memory, connections and p99 over time (SOAK_MINUTES)
	@$(BIN)/python -m benchmarks.soak $${SOAK_MINUTES:-60}

.PHONY: screenshots
screenshots: $(READY)  ## take the README's pictures anew, on a walk through the demo
	@rm -rf .state/walk && WALK_SCREENSHOTS=$(CURDIR)/.state/walk $(BIN)/python -m pytest -q tests/browser/test_walk.py
	@mkdir -p docs/screenshots && for name in hello shop active key tried; do \
		cp .state/walk/ru-light-390x844/*-$$name.png docs/screenshots/$$name.png || exit 1; \
		cp .state/walk/en-dark-390x844/*-$$name.png docs/screenshots/$$name-dark.png || exit 1; \
	done

.PHONY: format
format: $(READY)  ## put the code into the house's form
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

.PHONY: protos
protos: $(READY)  ## regenerate the gRPC stubs from protos/
	@$(BIN)/python -m grpc_tools.protoc -I protos --python_out=. --pyi_out=. --grpc_python_out=. protos/krotray_core/xray/stubs/*.proto

.PHONY: lock
lock: $(READY)  ## compile requirements*.in into the locked files
	@for name in requirements requirements-sandbox requirements-dev requirements-bench; do \
		$(BIN)/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file $$name.txt $$name.in || exit 1; \
	done

.PHONY: clean
clean:  ## forget the demo's and the tests' state (.venv stays)
	@rm -rf .state .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
