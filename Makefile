# Needs Python >= 3.11 and make. Everything is installed into .venv, and again only when a lock file or a source changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV ?= uv
# Most tests wait for something most of the time: more workers than cores. Those marked `serial` run alone.
WORKERS ?= 3
SOURCES := pyproject.toml $(shell find rotator -name '*.py' -o -name py.typed)
# The installed wheel is what runs and what is tested, never the checkout.
export PYTHONSAFEPATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiled tests are kept: every worker reads all of them.
unexport PYTHONDONTWRITEBYTECODE

# Here each branch is taken by some test; pyproject.toml has the share of the whole.
PURE := */rotator/model/*,*/rotator/lifecycle/*,*/rotator/documents/*

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help dev example test check bench image lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: $(VENV)/.installed ## see a whole key life within a minute; nothing else to install
	$(BIN)/rotator dev

example: $(VENV)/.tools $(VENV)/.installed ## run the example service: two instances behind a rotating keyset
	$(BIN)/python examples/web/run.py

test: $(VENV)/.tools $(VENV)/.installed ## run all tests on the installed wheel and real servers, with coverage; ARGS="-k word" some
	@$(BIN)/python -c 'import rotator, sys; sys.exit(not rotator.__file__.startswith(sys.prefix) and "not the wheel: " + rotator.__file__)'
	@PYTHONPATH=$(CURDIR) $(BIN)/python -m tests.support.servers.prepare
ifneq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest $(ARGS)
else
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100
endif

check: $(VENV)/.tools ## lint, formatting, types, layers, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy rotator $(wildcard tests/typing bench/*)
	$(BIN)/lint-imports
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/codespell
	$(BIN)/hadolint Dockerfile

bench: $(VENV)/.installed ## start-up, memory, the client and the listener, as ratios; needs nginx and wrk
	$(BIN)/python bench/startup
	$(BIN)/python bench/client
	$(BIN)/python bench/listener

image: ## build the container image rotator:dev
	docker build -t rotator:dev .

lock: ## renew the lock files (needs uv)
	$(call compile,--group build,requirements-build.lock)
	$(call compile,pyproject.toml,requirements-runtime.lock)
	$(call compile,pyproject.toml --group test --group build -c requirements-runtime.lock,requirements.lock)

clean: ## remove the virtual environment and the caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* dist

define compile
$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --output-file $(2) $(1)
endef

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rotator needs Python >= 3.11: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements-build.lock requirements-runtime.lock | $(VENV)/bin/python
	# The locks are complete: without --no-deps pip looks at newer releases of what an extra names, and then wants their hash.
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-build.lock -r requirements-runtime.lock
	@touch $@

$(VENV)/.tools: requirements.lock | $(VENV)/.runtime
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.runtime $(SOURCES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --quiet --no-deps --no-build-isolation --force-reinstall .
	@touch $@
