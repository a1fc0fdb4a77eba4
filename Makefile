# `make demo` and `make test` need Python 3.10 or newer, and nothing else: the environment is made here.
# The tests of the studio need Chromium, which is installed where that can be done; elsewhere they are skipped.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow lint chromium clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP) lint chromium
	$(BIN)/python -m pytest

test-slow: $(STAMP) chromium
	$(BIN)/python -m pytest -m slow

chromium:
	@sh .ci/get_chromium.sh

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; $(PYTHON) is `$(PYTHON) --version 2>&1`. Try: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) .ci/make_venv.py $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info
