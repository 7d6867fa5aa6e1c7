# make run    set up and start the gateway          make test   everything, with real peers
# make check  the fast gate                         make bench  capacity figures into docs/capacity.md
#
# ARGS is handed on: make run ARGS="--config my.yaml --state /var/lib/roombridge"
# PYTHON names the interpreter that the virtual environment is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=
# Many tests wait for real time: three at once keep two cores busy.
WORKERS ?= 3
# Calls of real peers wait for real time, too; two at once keep two cores busy. What measures time or loss runs alone.
PEERS ?= 2
# A machine that is busy for a moment can spoil a call in real time: what failed of them is tried once more, one after
# the other, and both runs stand in the output. What fails twice fails. Unit tests get no second try.
AGAIN := --last-failed --last-failed-no-failures none

# What pytest makes of the tests' modules is kept for the next run, also where Python is told to keep nothing.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check bench format clean

# Ctrl-C ends the gateway in good order; with the trap make does not call it an error.
run: $(VENV)/.installed
	@trap : INT; $(BIN)/roombridge serve $(ARGS)

test: $(VENV)/.tested
	sh tests/install-peers.sh
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n $(PEERS) --dist worksteal -m "interop and not alone" $(ARGS) || \
		$(BIN)/python -m pytest -m "interop and not alone" $(AGAIN)
	$(BIN)/python -m pytest -m "interop and alone" $(ARGS) || $(BIN)/python -m pytest -m "interop and alone" $(AGAIN)

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not interop" $(ARGS)

bench: $(VENV)/.tested
	$(BIN)/roombridge bench $(ARGS)

format: $(VENV)/.tested
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: setup.cfg constraints.txt
	@sh conf/venv.sh "$(PYTHON)" $(VENV)
	@echo "Installing what Roombridge needs into $(VENV); this is done once ..."
	@$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV) ..."
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
