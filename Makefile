# make demo, make test, make bench: each sets up a virtual environment itself and says what it does.

PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 8101
SPEED  ?=
ARGS   ?=
QUICK  ?=

BIN   := $(VENV)/bin
# The servers that wsflask is compared with have an environment of their own.
BENCH := .venv-bench
NPM   := $(shell command -v npm 2>/dev/null)
say    = @printf '\033[1m%s\033[0m\n' '==> $(1)'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint check coverage walk faults cuts bench bench-views clean

help:
	@echo 'make demo      set up and run the demonstration on port $(PORT)'
	@echo 'make test      set up and run all tests (ARGS="-k name" selects some)'
	@echo 'make lint      ruff, mypy and tsc'
	@echo 'make check     what CI runs: lint and test'
	@echo 'make coverage  the Python tests, with branch coverage'
	@echo 'make bench     set up and run all benchmarks, half an hour (QUICK=1: four minutes, and no peers but two)'
	@echo 'make bench-views  what live views cost: changes, memory, queries, the way to the browser (QUICK=1: three minutes)'
	@echo 'make walk      half an hour of random changes, compared with an oracle (QUICK=1: three minutes)'
	@echo 'make faults    workers killed, databases frozen, networks cut, an hour (QUICK=1: under six minutes)'
	@echo 'make cuts      every connection cut every 2 s for 10 minutes, beside Flask-SocketIO'
	@echo 'make clean     remove the virtual environment and everything built'

demo: $(VENV)/installed-demo
	$(call say,Start the demonstration; Ctrl-C ends it)
	@exec $(BIN)/wsflask demo --port $(PORT) $(if $(SPEED),--speed $(SPEED)) $(ARGS)

test: $(VENV)/installed-test node_modules/.installed
	$(call say,Look for what the tests start: mongod$(,) a browser$(,) node)
	@$(BIN)/python scripts/check_machine.py
	$(call say,Run the tests: in Python$(,) in node and in the browser)
	@$(BIN)/python scripts/run_tests.py $(ARGS)

lint: $(VENV)/installed-test node_modules/.installed
	$(call say,Check style and types)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@if [ -z '$(NPM)' ]; then echo 'tsc skipped: there is no npm; install Node 20 or later'; \
	elif [ -f package.json ]; then npm run --silent types; fi

check: lint test

coverage: $(VENV)/installed-test
	@$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

walk: $(VENV)/installed-test
	$(call say,Walk at random: writers$(,) clients$(,) rights that change$(,) workers that are killed)
	@$(BIN)/python -m tests.walk $(if $(QUICK),--quick) $(ARGS)

faults: $(VENV)/installed-test node_modules/.installed
	$(call say,Do harm: kill$(,) freeze$(,) cut$(,) slow down; and count what is lost)
	@$(BIN)/python -m tests.faults $(if $(QUICK),--quick) $(ARGS)

cuts: $(BENCH)/installed benchmarks/node_modules/.installed node_modules/.installed
	$(call say,Cut every connection every 2 s; beside Flask-SocketIO)
	@$(BENCH)/bin/python -m benchmarks.cuts --beside flask-socketio $(if $(QUICK),--minutes 1) $(ARGS)

bench: $(BENCH)/installed benchmarks/node_modules/.installed
	$(call say,Build the load generator and the limit)
	@$(MAKE) --silent --no-print-directory -C benchmarks
	$(call say,Run the benchmarks; nothing else should run now)
	@$(BENCH)/bin/python -m benchmarks $(if $(QUICK),--quick) $(ARGS)

bench-views: $(BENCH)/installed
	$(call say,Build the load generator)
	@$(MAKE) --silent --no-print-directory -C benchmarks
	$(call say,Measure live views; nothing else should run now)
	@$(BENCH)/bin/python -m benchmarks.views $(if $(QUICK),--quick) $(ARGS)

clean:
	rm -rf $(VENV) $(BENCH) benchmarks/node_modules benchmarks/.build build dist node_modules *.egg-info .coverage htmlcov .mypy_cache .pytest_cache .ruff_cache

# A stamp for each extra: pip runs again only when setup.py has changed.
$(VENV)/installed-%: setup.py | $(BIN)/python
	$(call say,Install wsflask and what its extra [$*] needs into $(VENV); the first time takes a minute or two)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(BENCH)/installed: benchmarks/requirements.txt setup.py | $(BENCH)/bin/python
	$(call say,Install wsflask and the servers it is compared with into $(BENCH); the first time takes some minutes)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r $< --editable '.[test]'
	@touch $@

$(BIN)/python $(BENCH)/bin/python: %/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo 'wsflask needs Python 3.11 or later; name one with: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(call say,Create a virtual environment in $*)
	@$(PYTHON) -m venv $* || { rm -rf $*; \
	  echo 'Python cannot create virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }

node_modules/.installed: $(wildcard package.json package-lock.json)
ifneq ($(NPM),)
ifneq ($(wildcard package-lock.json),)
	$(call say,Install the type checker of the JavaScript client$(,) and a WebSocket for it under Node)
	@npm ci --silent --no-audit --no-fund
endif
endif
	@mkdir -p node_modules && touch $@

benchmarks/node_modules/.installed: benchmarks/package.json benchmarks/package-lock.json
ifeq ($(NPM),)
	@echo 'make bench compares with servers on Node; install Node 20 or later' >&2; exit 1
endif
	$(call say,Install the servers on Node)
	@cd benchmarks && npm ci --silent --no-audit --no-fund
	@touch $@

, := ,
