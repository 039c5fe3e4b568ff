# Everything runs in its own environment, .venv; `make train` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Each test process keeps to one BLAS thread: two of them share the cores. Bytecode is kept, whatever the environment says: the
# tests start more than a hundred processes.
PYTEST := PYTHONDONTWRITEBYTECODE= OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: train test test-all bench lint docs notebooks release clean help
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

train: $(VENV)/train  ## set up and train a convolutional network on the digits
	$(BIN)/weft train --out runs/digits --overwrite

test: $(VENV)/test  ## set up and run the tests (a few minutes)
	$(PYTEST) -m "not slow" -n 2 --dist worksteal

test-all: $(VENV)/test $(VENV)/release $(VENV)/docs  ## the slow tests too: killed processes, real data sets to their accuracies, the site, wheel and sdist
	$(PYTEST) -n 2 --dist worksteal

bench: $(VENV)/test  ## time primitives and training steps; against PyTorch where it is installed
	$(BIN)/weft bench

lint: $(VENV)/dev $(VENV)/src/weft  ## formatting, lint, types, docstrings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/typing
	$(BIN)/python tests/lint_docstrings.py

docs: $(VENV)/docs  ## build the site, docs/_build/html/index.html; nothing of it comes from a network
	$(BIN)/sphinx-build -W -q -j auto docs docs/_build/html

notebooks: $(VENV)/docs  ## run the tutorials by Jupyter and keep what they show
	$(BIN)/python docs/run_notebooks.py --keep

release: $(VENV)/release  ## build what is tagged, twice, check and try it: dist/
	$(BIN)/python .ci/release.py

# Paths are relative, as make splits absolute ones at a space. One stamp per extra, so that training does not wait for the tools of the tests.
$(VENV)/%: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@

# The package under its own name, for type checkers (see pyproject.toml).
$(VENV)/src/weft: | $(VENV)/bin/python
	mkdir -p $(@D)
	ln -sfn ../.. $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("weft needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

clean:  ## remove the environment and everything made
	rm -rf $(VENV) build dist runs docs/_build docs/_generated *.egg-info .pytest_cache .ruff_cache .mypy_cache
