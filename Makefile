# Two commands matter: `make leaderboard` and `make test`. Both work on a fresh clone with no other step.
PYTHON ?= python3
SUITE  ?= quick
# A further package index for torch: PyTorch's own CPU index saves a machine without a card several GB.
TORCH_INDEX ?=
# The browser that tests open the page in; they are skipped where there is none.
CHROME ?= chromium
export CHROME

RUN     := .venv/bin/python
INSTALL := .venv/.installed
SOURCES := lmrl_envs agents leaderboards data_scripts tests

.DEFAULT_GOAL := help
.PHONY: help leaderboard test test-all benchmark check clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

leaderboard: $(INSTALL)  ## train and score every agent of SUITE (quick), write leaderboard.html
	$(RUN) -m leaderboards.run --suite $(SUITE)

test: $(INSTALL)  ## run the tests that take under 20 s each
	$(RUN) -m pytest -q -m "not slow"

test-all: $(INSTALL)  ## run every test
	$(RUN) -m pytest -q

benchmark: $(INSTALL)  ## measure speed and memory
	$(RUN) -m pytest -n 0 --benchmark-only tests/benchmarks

check: $(INSTALL)  ## lint, format and types
	$(RUN) -m ruff check $(SOURCES)
	$(RUN) -m ruff format --check $(SOURCES)
	$(RUN) -m mypy

clean:  ## remove the environment and caches; runs/ stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .benchmarks dist

# The stamp is newer than pyproject.toml exactly when the environment matches it.
$(INSTALL): pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv (some minutes the first time)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[bench,dev]'
	@touch $@

.venv/bin/python:
	@command -v $(PYTHON) > /dev/null || { \
		echo "$(PYTHON): no such program. Install Python 3.11 or later, or name yours: make PYTHON=/path/to/python3.11"; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "lmrl-envs needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
			"Install a newer one and name it: make PYTHON=python3.11"; \
		exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: its venv or ensurepip module is missing." \
			"On Debian and Ubuntu: apt-get install python3-venv"; \
		exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
