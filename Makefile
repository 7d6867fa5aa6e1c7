# make run    set up and start the gateway          make test   everything, with real peers
# make check  the fast gate                         make bench  capacity figures into docs/capacity.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test check bench format clean

run: $(VENV)/.installed
	$(BIN)/roombridge serve $(ARGS)

test: $(VENV)/.tested
	sh tests/install-peers.sh
	$(MAKE) check
	$(BIN)/python -m pytest -m interop $(ARGS)

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not interop" $(ARGS)

bench: $(VENV)/.tested
	$(BIN)/roombridge bench $(ARGS)

format: $(VENV)/.tested
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: setup.cfg constraints.txt
	sh conf/venv.sh $(PYTHON) $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
