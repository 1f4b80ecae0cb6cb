# Tickcast needs Python 3.11 or newer, make and git. Everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed

.PHONY: demo test check bench lock clean help

help:  ## show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(RUNTIME)  ## a live demonstration on a generated market, until Ctrl-C
	@exec $(BIN)/python -m cluster demo

test: $(DEV)  ## checks and all tests
	$(MAKE) --no-print-directory check
	$(BIN)/pytest tests -q

check: $(DEV)  ## style, types, import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(DEV)  ## benchmarks beside their rivals, as tables
	$(BIN)/python -m tests.bench

lock:  ## pin requirements/*.in anew, with hashes (needs the dev environment)
	$(BIN)/uv pip compile requirements/runtime.in $(LOCK) -o requirements/runtime.txt
	$(BIN)/uv pip compile requirements/dev.in $(LOCK) -o requirements/dev.txt
LOCK := -q --universal -p 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links

clean:  ## remove the environment and all caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Tickcast needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv

$(RUNTIME): requirements/runtime.txt | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@echo "compiling the kernels, once"
	@$(BIN)/python -m features.warm_up
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes \
	  -r requirements/runtime.txt -r requirements/dev.txt
	@touch $@
