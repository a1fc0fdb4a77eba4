# `make demo` and `make test` need Python 3.10 or newer, and nothing else: the environment is made here.
# `demo` and `test` install the versions of .ci/constraints.txt, which are those that were tested; `lock` renews them, and
# `test-latest` takes what is newest instead, in an environment of its own.
# The tests of the studio need Chromium, which is installed where that can be done; elsewhere they are skipped.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := .ci/constraints.txt
LATEST := .venv-latest
# Two processes of one thread each, a file's tests in one of them, since they share what is dear to make.
TWICE := --numprocesses 2 --dist loadfile
test test-latest: export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow test-gpu test-latest lint lock chromium clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP) lint chromium
	$(BIN)/python -m pytest $(TWICE)

test-slow: $(STAMP) chromium
	$(BIN)/python -m pytest -m slow

test-latest: chromium
	$(PYTHON) .ci/make_venv.py $(LATEST)
	$(LATEST)/bin/python -m pip install --quiet --editable '.[dev]'
	$(LATEST)/bin/python -m pytest $(TWICE)

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --upgrade --quiet \
		--no-annotate --custom-compile-command 'make lock' --constraint .ci/held.txt --output-file $(LOCK)

# On a machine with an NVIDIA GPU. TEST_DEVICE=cpu runs the same tests there, which only says that they run.
test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m gpu tests/gpu -v

chromium:
	@sh .ci/get_chromium.sh

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(STAMP): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; $(PYTHON) is `$(PYTHON) --version 2>&1`. Try: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) .ci/make_venv.py $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(LOCK) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(LATEST) demo build dist *.egg-info
