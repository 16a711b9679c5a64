# Everything that a person does here, from a fresh clone: `make` lists it.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
DEBUG ?= 1
export HOST DEBUG

VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := src:.
# Wheels only: nothing is compiled, so nobody needs a compiler.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:

.DEFAULT_GOAL := help
.PHONY: help run crowd bench test fuzz lint format lock clean

help: ## List what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

run: $(VENV)/lobby ## Run the lobby at http://127.0.0.1:8000 (PORT=, HOST=, WORKERS=, DATABASE_URL=, REDIS_URL=)
	@$(BIN)/python manage.py migrate --verbosity 0
	@exec $(BIN)/python manage.py serve --host "$(HOST)" --port "$(PORT)" --workers "$(WORKERS)"

crowd: export URL ?= http://127.0.0.1:$(PORT)
crowd: $(VENV)/dev ## Let 200 simulated people come and go in the running lobby (PORT=, URL=, PEOPLE=, SECONDS=)
	@exec $(BIN)/python -m bench.crowd

bench: $(VENV)/dev ## Measure it all with 100,000 sockets, into bench/RESULTS.md (half an hour; SOCKETS=5000 takes minutes, into bench/short/; REPEAT=, HOLD=; fails where a goal is missed)
	@scripts/need redis-server
	@exec $(BIN)/python -m bench $(if $(SOCKETS),--sockets $(SOCKETS)) $(if $(REPEAT),--repeat $(REPEAT)) $(if $(HOLD),--hold $(HOLD))

test: $(VENV)/dev ## Run all tests; installs Chromium and the like if missing and may be installed
	@scripts/need chromium node redis-server postgresql nginx openssl
	node --test tests/js/*.test.js
	$(BIN)/python -m pytest

fuzz: export FUZZ_INPUTS ?= 35000
fuzz: $(VENV)/dev ## Send the socket more than 100,000 hostile inputs (minutes)
	$(BIN)/python -m pytest tests/fuzz

lint: $(VENV)/dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev ## Put the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Pin the newest dependencies, with hashes, in requirements/*.txt
	scripts/lock

clean: ## Remove what the targets above have made (not the database)
	rm -rf $(VENV) .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis staticfiles

$(BIN)/python:
	@scripts/make-venv "$(PYTHON)" $(VENV)

# Stamps: what is installed already is not looked at again.
$(VENV)/lobby: requirements/lobby.txt | $(BIN)/python
	@echo "Installing what the lobby runs on (once)"
	@$(PIP_INSTALL) -r requirements/lobby.txt
	@touch $@

$(VENV)/dev: requirements/dev.txt | $(BIN)/python
	@echo "Installing what the tests need (once)"
	@$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@ $(VENV)/lobby
