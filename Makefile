# Two commands for a newcomer: `make serve` and `make test`. `make help` lists the rest.
#
# Environments live in .venv/ and are brought up to date only when their pins change:
#   .venv/serve   the service, no torch; every file checked against constraints/serve.txt's hashes
#   .venv/dev     training, service and tools, from constraints/dev.txt
#   .venv/triton  a real Triton for the tests, from constraints/triton-test.txt
#   .venv/lock    the resolver that writes constraints/
#   .venv/bench-* peers of the benchmark and its plot, from constraints/bench-*.txt

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12 ...` names another.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python, \
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(p))))

SERVE := .venv/serve
DEV := .venv/dev
LOCK := .venv/lock
BENCH := .venv/bench-litserve .venv/bench-mlserver .venv/bench-plot
TRITON := .venv/triton
PIP_INSTALL := -m pip --disable-pip-version-check --no-input install --quiet
UV_VERSION := 0.13.9

# Say what is missing before venv fails with a traceback; an environment that stands is kept.
# $(1): the environment's folder.
define create_environment
@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found: install one, or name it with \
	make PYTHON=/path/to/python3.11" >&2; exit 1; }
@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Python 3.11 or newer is \
	needed, and $(PYTHON) is %d.%d: make PYTHON=/path/to/python3.11" % v[:2])'
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) comes without venv: install \
	it (on Debian and Ubuntu the package python3-venv)" >&2; exit 1; }
test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
endef

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: serve
serve: $(SERVE)/.ready ## Start the service with the shipped model on 127.0.0.1:8000
	@exec $(SERVE)/bin/g2d serve

.PHONY: test
test: $(DEV)/.ready ## Run every test; PYTEST_ARGS="tests/radiograph -k dicom" narrows them
	@$(MAKE) --no-print-directory triton-test-env \
		|| echo "No Triton for this machine: its tests are skipped" >&2
	$(DEV)/bin/python -m pytest $(PYTEST_ARGS)

.PHONY: triton-test-env
triton-test-env: $(TRITON)/.locked ## A real Triton server for the tests (Linux, x86-64)

.PHONY: check check-format check-lint check-types check-imports check-files
check: check-format check-lint check-types check-imports check-files ## Format, lint, types, import rules

check-format: $(DEV)/.ready
	$(DEV)/bin/ruff format --check .

check-lint: $(DEV)/.ready
	$(DEV)/bin/ruff check .

check-types: $(DEV)/.ready
	$(DEV)/bin/mypy

check-imports: $(DEV)/.ready
	$(DEV)/bin/lint-imports

check-files:
	@! find tests -name __init__.py | grep . \
		|| { echo "an __init__.py under tests/ shadows the packages" >&2; exit 1; }
	@! grep -n '://' constraints/*.txt \
		|| { echo "constraints name no address: run make lock" >&2; exit 1; }

.PHONY: format
format: $(DEV)/.ready ## Format, and fix what ruff can fix
	$(DEV)/bin/ruff format .
	$(DEV)/bin/ruff check --fix .

.PHONY: lock
lock: $(LOCK)/.ready ## Pin constraints/ anew, keeping what fits; LOCK_ARGS=--upgrade takes newer releases
	$(call compile,build,--generate-hashes --group build)
	$(call compile,serve,--generate-hashes --extra serve pyproject.toml)
	$(call compile,gpu,--generate-hashes --extra gpu pyproject.toml)
	$(call compile,otel,--generate-hashes --extra otel --constraint constraints/serve.txt pyproject.toml)
	$(call compile,postgres,--generate-hashes --extra postgres --constraint constraints/serve.txt pyproject.toml)
	$(call compile,bench-litserve,--group bench-litserve)
	$(call compile,bench-mlserver,--group bench-mlserver)
	$(call compile,bench-plot,--group bench-plot)
	$(call compile,triton,--generate-hashes --extra triton pyproject.toml)
	$(call compile,dev,--extra serve --extra otel --extra triton --extra postgres --extra train --group dev --group build pyproject.toml)

# One resolution for every supported Python and platform, with no index address in the result.
compile = $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' $(LOCK_ARGS) $(2) \
	--output-file constraints/$(1).txt

.PHONY: bench-env
bench-env: $(addsuffix /.installed,$(BENCH)) ## Environments of the peers that bench/service.py compares with

.PHONY: clean
clean: ## Remove caches and build products
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: clean-env
clean-env: ## Remove the environments as well
	rm -rf $(SERVE) $(DEV) $(TRITON) $(LOCK) $(BENCH)

$(SERVE)/.locked: constraints/build.txt constraints/serve.txt
	$(call create_environment,$(SERVE))
	@echo "Installing the serving environment (about 400 MB, only when its pins change)"
	$(SERVE)/bin/python $(PIP_INSTALL) --require-hashes $(addprefix -r ,$^)
	@touch $@

$(DEV)/.locked: constraints/dev.txt
	$(call create_environment,$(DEV))
	@echo "Installing the development environment (about 6 GB, only when its pins change)"
	$(DEV)/bin/python $(PIP_INSTALL) -r $<
	@touch $@

.venv/bench-%/.installed: constraints/bench-%.txt
	$(call create_environment,.venv/bench-$*)
	@echo "Installing $(@D)"
	.venv/bench-$*/bin/python $(PIP_INSTALL) -r $<
	@touch $@

# Without what the package asks for beside the server itself: nothing of it is imported.
$(TRITON)/.locked: constraints/triton-test.txt
	$(call create_environment,$(TRITON))
	@echo "Installing Triton for the tests (about 350 MB, only when its pins change)"
	$(TRITON)/bin/python $(PIP_INSTALL) --no-deps -r $<
	@touch $@

$(LOCK)/.ready: Makefile
	$(call create_environment,$(LOCK))
	$(LOCK)/bin/python $(PIP_INSTALL) uv==$(UV_VERSION)
	@touch $@

# The project itself, editable and built by the pinned setuptools.
%/.ready: %/.locked pyproject.toml
	$*/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
