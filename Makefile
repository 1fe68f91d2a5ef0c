# `make help` lists what there is. Everything lives in .venv and .venv-bench, made from $(PYTHON) on first use.
PYTHON ?= python3
MINUTES ?= 10
RESTARTS ?= 0
OUTAGE ?= 0
KILLS ?= 50
CHANGES ?= 200
HOSTILE ?= 1000000
BIN := .venv/bin
PIP = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-consumers soak soak-consumers servers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' Makefile

demo: .venv/demo.stamp ## run a workflow on the embedded default, print its document and what to try next
	@$(BIN)/tailrace demo

test: .venv/test.stamp ## run every test; those with real servers need Java 17 and Maven
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: .venv/test.stamp ## check style, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: .venv-bench/bench.stamp ## measure the logging call beside its rivals (half an hour; ARGS=--quick: two minutes)
	@.venv-bench/bin/python -m benchmarks $(ARGS)
	@.venv-bench/bin/python -m benchmarks.decorated

bench-consumers: .venv/test.stamp .venv-quix/peer.stamp .venv-bytewax/peer.stamp ## measure the consumers beside their rivals (an hour; ARGS=--quick: minutes)
	@$(BIN)/python -m benchmarks.consumers $(ARGS)

soak: .venv/test.stamp ## kill agents for MINUTES=10, a broker RESTARTS=0 times, be without one for OUTAGE=0 s; count
	@MINUTES=$(MINUTES) SEED=$(SEED) RESTARTS=$(RESTARTS) OUTAGE=$(OUTAGE) $(BIN)/python -m tests.soak
	@$(BIN)/python -m tests.stdlib.both_ways

soak-consumers: .venv/test.stamp ## kill, crowd, mislead and cut off the consumers (hours; KILLS=, CHANGES=, HOSTILE=, MINUTES=)
	@KILLS=$(KILLS) CHANGES=$(CHANGES) HOSTILE=$(HOSTILE) MINUTES=$(MINUTES) SEED=$(SEED) $(BIN)/python -m tests.soak.consumers

servers: .venv/test.stamp ## run Apache Kafka and OpenSearch until Ctrl-C, and print their URLs as settings
	@$(BIN)/python -m tests.servers

clean: ## delete the environments, builds and caches
	rm -rf .venv .venv-bench .venv-quix .venv-bytewax dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A stamp, not the directory, tells that a step is done: an interrupted one is repeated.
.venv/made.stamp .venv-bench/made.stamp .venv-quix/made.stamp .venv-bytewax/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "tailrace needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(@D)
	@$(PIP) --upgrade 'pip>=25.1'  # the first that knows dependency groups
	@touch $@

.venv/demo.stamp: pyproject.toml .venv/made.stamp
	@echo "installing tailrace into .venv ..."
	@$(PIP) --editable '.[cli]'
	@touch $@

.venv/test.stamp: pyproject.toml .venv/made.stamp
	@echo "installing tailrace and its tests' dependencies into .venv ..."
	@$(PIP) --editable '.[cli,opensearch,metrics,fast]' --group test --group lint
	@touch $@

# Rivals never enter .venv: what is tested is what is installed.
.venv-bench/bench.stamp: pyproject.toml .venv-bench/made.stamp
	@echo "installing tailrace and what it is compared with into .venv-bench ..."
	@$(PIP) --editable '.[fast]' --group bench
	@touch $@

.venv-quix/peer.stamp .venv-bytewax/peer.stamp: .venv-%/peer.stamp: pyproject.toml .venv-%/made.stamp
	@echo "installing what the consumers are compared with into $(@D) ..."
	@$(PIP) --group bench-$*
	@touch $@
