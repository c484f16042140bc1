# Everything from a fresh clone with only Python 3.11+ and make; each target installs what it needs.
PYTHON ?= python3
VENV ?= .venv
CLIENTS ?= .venv-clients
NODE_MODULES = tests/e2e/clients/node_modules
NPM := $(shell command -v npm)
PYTEST_ARGS ?=

.PHONY: run test check format bench dist clean

run: $(VENV)/.demo  ## the daemon against an embedded STS emulator; no AWS account needed
	$(VENV)/bin/imds demo $(ARGS)

test: $(VENV)/.dev $(CLIENTS)/.installed $(if $(NPM),$(NODE_MODULES)/.installed)  ## the whole suite
	IMDS_CLIENTS=$(abspath $(CLIENTS)) $(VENV)/bin/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.dev  ## lint, types, import contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(VENV)/.dev  ## figures as ratios to reference servers measured in the same run
	$(VENV)/bin/python -m benchmarks $(ARGS)

dist: $(VENV)/.dev  ## wheel and sdist
	$(VENV)/bin/python -m build

clean:
	rm -rf $(VENV) $(CLIENTS) $(NODE_MODULES) dist build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo

# Real clients live apart: some pin a botocore of their own.
$(CLIENTS)/.installed: tests/e2e/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --requirement tests/e2e/requirements.txt
	touch $@

$(NODE_MODULES)/.installed: tests/e2e/clients/package.json tests/e2e/clients/package-lock.json
	$(NPM) ci --prefix tests/e2e/clients --silent --no-audit --no-fund
	touch $@
