# `make` lists what there is to make. Only python3 (3.11 or later) and make are needed.

# Once .venv is there its own Python is used, unless you name another: make run PYTHON=python3.13
PYTHON ?= $(or $(wildcard .venv/bin/python),python3)
BIN := .venv/bin

.PHONY: help run test fault-test bench audit-bench lint format typecheck js-test requirements reference clean env dev-env

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[36mmake %-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: env ## install what is needed, prepare the database, serve on HOST:PORT (127.0.0.1:8000)
	@exec $(BIN)/python -m scripts.serve

test: dev-env lint typecheck ## all checks and all tests, on SQLite and PostgreSQL
	@$(BIN)/python -m scripts.run_tests $(ARGS)

bench: dev-env ## measure beside the peers, write docs/benchmarks.md; ARGS="fanout --quick" for a part of it
	@$(BIN)/python -m tests.bench $(ARGS)

audit-bench: dev-env ## fill an audit log with two million entries, measure its pages, write docs/audit-benchmarks.md
	@$(BIN)/python -m tests.bench.audit_log $(ARGS)

fault-test: dev-env ## many events on both databases, while everything fails that may
	@$(BIN)/python -m scripts.run_faults $(ARGS)

lint: dev-env ## style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: dev-env ## put the style right
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typecheck: dev-env ## types
	@$(BIN)/mypy

js-test: ## the tests of the browser's client only
	@cd tests/js && npm ci --silent && npm test

requirements: ## pin again what pyproject.toml asks for (needs uv)
	uv pip compile --quiet --universal --no-header --python-version 3.11 pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --no-header --python-version 3.11 --extra dev pyproject.toml -o requirements-dev.txt

reference: dev-env ## write docs/reference from the code
	@$(BIN)/python -m scripts.write_reference

clean: ## remove what was installed, collected and cached; the database stays
	rm -rf .venv var/static tests/js/node_modules .*_cache .hypothesis .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

env: python
	@$(PYTHON) scripts/bootstrap.py requirements.txt

dev-env: python
	@$(PYTHON) scripts/bootstrap.py requirements-dev.txt

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or later is needed, and $(PYTHON) is not. Name one: make run PYTHON=python3.12' >&2; exit 1; }
