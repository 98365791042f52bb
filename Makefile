# `make run` and `make test` set up .venv when it is missing or out of date; `make test-all` runs all tests,
# `make test-ci` those of `make test` and a share of the others, which changes with the commit; `make docs`
# builds the documentation into site/.
#   make run ARGS="strategy=evolution budget.trials=8"

PYTHON ?= python3.11
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test test-all test-ci compile lint format docs clean

run: .venv/run.stamp
	.venv/bin/python -m runner $(ARGS)

test: .venv/test.stamp lint compile
	.venv/bin/python -m pytest -m "not exhaustive" $(ARGS)

test-all: .venv/test.stamp lint compile
	.venv/bin/python -m pytest $(ARGS)

test-ci: .venv/test.stamp lint compile
	.venv/bin/python -m pytest --exhaustive=32 $(ARGS)

# Tests start hundreds of processes, each of which would compile half a second where Python is told
# to keep no bytecode.
compile: .venv/test.stamp
	.venv/bin/python -m compileall -q runner spaces benchmarks tests/toys

lint: .venv/test.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/test.stamp
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# The variable silences an advertisement; warnings of the build remain, and are errors.
docs: .venv/docs.stamp
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run.stamp: .venv/bin/python pyproject.toml constraints.txt
	@echo "Setting up .venv (once; a few minutes on a slow network) ..."
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

.venv/test.stamp: .venv/run.stamp
	$(PIP) --editable ".[dev]"
	@touch $@

.venv/docs.stamp: .venv/run.stamp
	$(PIP) --editable ".[docs]"
	@touch $@

clean:
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache
