# Every target makes its own environment in .venv; a fresh machine needs Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .cache/uv
UV := $(TOOLS)/bin/uv
STAMP := $(VENV)/.synced
PEERS := $(VENV)/.peers
OPENCLAW := .cache/openclaw

.PHONY: help setup demo test check openclaw browser audit release bench characters score skill docs clean

help:
	@echo 'make demo   a tour on a simulated cluster'
	@echo 'make test   every test but those of make openclaw, and of make browser without a Chromium'
	@echo 'make browser  Chromium for the test that looks at the page (as root)'
	@echo 'make check  format, lint, types, imports, sizes, tests'
	@echo 'make openclaw  the tests inside a real OpenClaw, which is installed into .cache (node, npm)'
	@echo 'make audit  known vulnerabilities of the locked dependencies, where they can be looked up'
	@echo 'make release  wheel, source, bill of materials, checksums, into dist/'
	@echo 'make bench  the budgets, side by side with other clients'
	@echo 'make characters  what an agent has to read, side by side with other clients'
	@echo 'make score  how closely the simulated cluster answers like a real PVE (needs ../shared)'
	@echo 'make docs   write the generated reference pages anew'
	@echo 'make skill  check the skill folder'

setup: $(STAMP)

$(UV):
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.7,<1'

$(STAMP): pyproject.toml uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=$(VENV) UV_PYTHON_DOWNLOADS=never $(UV) sync --locked --quiet --inexact
	@touch $@

$(PEERS): $(STAMP)
	UV_PROJECT_ENVIRONMENT=$(VENV) UV_PYTHON_DOWNLOADS=never $(UV) sync --locked --quiet --inexact --group peers
	@touch $@

demo: setup
	@$(BIN)/pve demo tour

browser:
	@command -v chromium >/dev/null || { apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }

test: $(PEERS)
	$(BIN)/pytest -n 2 --dist worksteal

check: $(PEERS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

# Scripts of its dependencies are not run; the Node that it needs comes as a package, too.
$(OPENCLAW)/.installed: tests/openclaw/package.json tests/openclaw/package-lock.json
	rm -rf $(OPENCLAW) && mkdir -p $(OPENCLAW)
	cp tests/openclaw/package.json tests/openclaw/package-lock.json $(OPENCLAW)
	npm ci --prefix $(OPENCLAW) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

openclaw: setup $(OPENCLAW)/.installed
	PVEOPS_OPENCLAW=$(OPENCLAW) $(BIN)/pytest tests/openclaw

audit: setup
	@$(BIN)/python tools/audit.py

release: setup
	$(BIN)/python tools/release.py

bench: $(PEERS)
	$(BIN)/python benchmarks/characters.py --write
	$(BIN)/python benchmarks/bench.py --write

characters: $(PEERS)
	$(BIN)/python benchmarks/characters.py --write

score: setup
	$(BIN)/python benchmarks/score.py

docs: setup
	$(BIN)/python docs/generate.py

skill: setup
	$(BIN)/pve skill check

clean:
	rm -rf $(VENV) dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
