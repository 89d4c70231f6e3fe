# The commands of this project. Each does its own set-up; `ci/` holds what they run.
#
#   make test PYTHON=python3.13    another interpreter (then remove .venv first)
#   make run APP=main:app          another application

PYTHON ?=
PROFILE ?= checked
APP ?= tests.apps.example:app
PORT ?= 8000
export PYTHON PROFILE

BIN = .venv/bin

.PHONY: help build run test bench slow conformance docs fuzz fmt lint types rust python endure clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## .venv with the project built into it (PROFILE=release: as users get it)
	@ci/setup

run: ## serve the example on http://127.0.0.1:8000 (APP=module:app, PORT=8000)
	@PROFILE=release ci/setup
	$(BIN)/ferricorn $(APP) --port $(PORT)

test: ## every check and every test
	@ci/all

bench: ## compare with other servers under load
	@ci/bench $(ARGS)

slow: ## measure what slow clients cost good ones
	@PROFILE=release ci/setup
	FERRICORN_BENCH_PYTHON=$(CURDIR)/$(BIN)/python $(BIN)/python benchmarks/slow.py $(ARGS)

docs: ## the documentation, into site/
	@ci/setup
	@ci/docs

conformance: ## the Autobahn testsuite against the WebSocket core
	@ci/conformance $(ARGS)

fuzz: ## fuzz each target for a long time (SECONDS_EACH=600)
	@ci/fuzz $${SECONDS_EACH:-600}

fmt: ## format Python and Rust
	@ci/setup
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	cargo fmt --all
	cargo fmt --manifest-path native/fuzz/Cargo.toml

lint: ## format, lint and layers, without changing anything
	@ci/setup
	@ci/format
	@ci/lint
	@ci/layers

types: ## mypy --strict, and the stub against the native module
	@ci/setup
	@ci/types

rust: ## Rust tests only
	@ci/rust-tests

python: ## Python tests only (ARGS="-k name")
	@ci/setup
	@ci/python-tests $(ARGS)

endure: ## replace, kill and upgrade workers under load, many times (ROUNDS=20)
	@ci/setup
	FERRICORN_TEST_ROUNDS=$${ROUNDS:-20} ci/python-tests -s tests/process/test_endurance.py

clean: ## remove everything that was built
	rm -rf site target native/fuzz/target .venv .venv-bench .venv-autobahn .mypy_cache .pytest_cache .ruff_cache
	find pysrc -name '_native*.so' -delete
	find pysrc tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
