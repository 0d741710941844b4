# The few commands of larder's house. A fresh machine needs only Python 3.11 or later (and Java 17 with mvn, or Docker, for Kafka).
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# Any Python from 3.11 on; name one with PYTHON=... The system's own comes first: it is compiled with profiles, and larder
# takes a tenth less of CPU on it than on one that was built here without (docs/benchmarks.md).
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
LOCKED := --quiet --universal --python-version 3.11 --only-binary :all: --generate-hashes --no-emit-index-url --no-emit-find-links
CHECKED := shared services larder tests

.DEFAULT_GOAL := help
.PHONY: help env lock check format test chaos rehearse demo docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/made  ## make .venv with everything (at once when nothing changed)

$(VENV)/made: requirements.lock browser.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "larder needs Python 3.11 or later with venv; none found (name one: make env PYTHON=/path/to/python3)"; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps -r browser.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock:  ## work out requirements.lock and browser.lock anew (needs uv)
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile requirements.in -o requirements.lock $(LOCKED)
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile browser.in -o browser.lock --no-deps $(LOCKED)

check: env  ## format, lint, types, import rules: seconds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports

format: env  ## put the format right, and what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: env  ## everything this machine can run; says first what it uses and leaves out
	$(BIN)/python -m pytest --ignore=tests/compose --ignore=tests/chaos/test_lost_log.py --ignore=tests/chaos/test_three_brokers.py

chaos: env  ## everything that is killed, also two of three brokers, and a broker whose log is lost for good (needs a quiet machine)
	$(BIN)/python -m pytest tests/chaos

rehearse: env  ## bring up docker-compose.yml for real, and deliver an order through it
	$(BIN)/python -m pytest tests/compose

demo: env  ## an evening of real baskets, with a live display
	$(BIN)/larder demo

docs: env  ## draw the diagrams and grids of docs/ from the tables
	$(BIN)/larder docs

clean:  ## take away what was made here (.venv, caches, .larder once it is down)
	@if [ -x $(BIN)/larder ]; then $(BIN)/larder down || true; fi
	rm -rf $(VENV) .larder build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
