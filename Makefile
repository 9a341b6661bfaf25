# Newcomers need two commands: `make serve` and `make test`. `make help` lists the others.
#
# Environments are created in .venv/ and updated only when their pins change:
#   .venv/serve   the service, without torch; verified by the hashes in constraints/serve.txt
#   .venv/dev     training, service and tools, from constraints/dev.txt
#   .venv/triton  a real Triton server for the tests, from constraints/triton-test.txt
#   .venv/lock    the resolver that writes constraints/
#   .venv/bench-* peers of the benchmark and its plot, from constraints/bench-*.txt

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first interpreter that is recent enough; `make PYTHON=/path/to/python3.12 ...` selects another.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python, \
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(p))))

SERVE := .venv/serve
DEV := .venv/dev
LOCK := .venv/lock
BENCH := .venv/bench-litserve .venv/bench-mlserver .venv/bench-plot
TRITON := .venv/triton
PIP_INSTALL := -m pip --disable-pip-version-check --no-input install --quiet
UV_VERSION := 0.13.9

# Report what is missing before venv fails with a traceback. An existing environment is kept.
# $(1): directory of the environment.
define create_environment
@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found: install it, or name it with \
	make PYTHON=/path/to/python3.11" >&2; exit 1; }
@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Python 3.11 or newer is \
	required, but $(PYTHON) is %d.%d: use make PYTHON=/path/to/python3.11" % v[:2])'
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module: \
	install it (package python3-venv on Debian and Ubuntu)" >&2; exit 1; }
test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
endef

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: serve
serve: $(SERVE)/.ready ## Start the service with the shipped model on 127.0.0.1:8000
	@exec $(SERVE)/bin/g2d serve

.PHONY: test
test: $(DEV)/.ready ## Run every test, or those of PYTEST_ARGS="tests/radiograph -k dicom"
	@$(MAKE) --no-print-directory triton-test-env \
		|| echo "Triton is not available for this machine: its tests are skipped" >&2
	$(DEV)/bin/python -m pytest $(PYTEST_ARGS)

# OMP_WAIT_POLICY: threads that wait for each other must not take the cores from those that compute.
.PHONY: model
model: export OMP_WAIT_POLICY ?= passive
model: $(DEV)/.ready ## Train the next version of the shipped model (on one GPU: GPU=1); run it again to resume
	$(DEV)/bin/g2d pretrain shipped_pretrain
	$(DEV)/bin/g2d finetune shipped_finetune $(if $(GPU),--out runs/shipped_finetune $(ON_ONE_GPU))
	$(DEV)/bin/g2d finetune shipped_refine $(if $(GPU),--out runs/shipped_refine $(ON_ONE_GPU))
	$(DEV)/bin/g2d evaluate runs/shipped_refine --least-auroc 0.7
	$(DEV)/bin/g2d export runs/shipped_refine

# One process with all rows of a step, and ten times as many steps.
ON_ONE_GPU := --set batch_size=16 --set engine.devices=1 --set engine.workers=4 --set engine.prefetch=8 \
	--set max_steps=9000 --set epochs=30

.PHONY: triton-test-env
triton-test-env: $(TRITON)/.locked ## Install a real Triton server for the tests (Linux, x86-64)

.PHONY: check check-format check-lint check-types check-imports check-files
check: check-format check-lint check-types check-imports check-files ## Check formatting, lint, types and import contracts

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
		|| { echo "an __init__.py under tests/ would shadow the packages" >&2; exit 1; }
	@! grep -n '://' constraints/*.txt \
		|| { echo "constraints must not name an index address: run make lock" >&2; exit 1; }

.PHONY: format
format: $(DEV)/.ready ## Format the code, and apply the fixes of ruff
	$(DEV)/bin/ruff format .
	$(DEV)/bin/ruff check --fix .

.PHONY: lock
lock: $(LOCK)/.ready ## Rewrite constraints/, keeping valid pins; LOCK_ARGS=--upgrade upgrades them
	$(call compile,build,--generate-hashes --group build)
	$(call compile,serve,--generate-hashes --extra serve pyproject.toml)
	$(call compile,gpu,--generate-hashes --extra gpu pyproject.toml)
	$(call compile,otel,--generate-hashes --extra otel --constraint constraints/serve.txt pyproject.toml)
	$(call compile,postgres,--generate-hashes --extra postgres --constraint constraints/serve.txt pyproject.toml)
	$(call compile,bench-litserve,--group bench-litserve)
	$(call compile,bench-mlserver,--group bench-mlserver)
	$(call compile,bench-plot,--group bench-plot)
	$(call compile,triton,--generate-hashes --extra triton pyproject.toml)
	$(call compile,dev,--extra serve --extra otel --extra triton --extra postgres --extra train --extra shards --group dev --group build pyproject.toml)

# Resolve once for every supported Python and platform; the result names no index address.
compile = $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' $(LOCK_ARGS) $(2) \
	--output-file constraints/$(1).txt

.PHONY: bench-env
bench-env: $(addsuffix /.installed,$(BENCH)) ## Install the servers that bench/service.py compares with

.PHONY: clean
clean: ## Remove caches and build products
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: clean-env
clean-env: ## Remove the environments in .venv/
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

# The dependencies of the package are left out: the server imports none of them.
$(TRITON)/.locked: constraints/triton-test.txt
	$(call create_environment,$(TRITON))
	@echo "Installing Triton for the tests (about 350 MB, only when its pins change)"
	$(TRITON)/bin/python $(PIP_INSTALL) --no-deps -r $<
	@touch $@

$(LOCK)/.ready: Makefile
	$(call create_environment,$(LOCK))
	$(LOCK)/bin/python $(PIP_INSTALL) uv==$(UV_VERSION)
	@touch $@

# The project itself, editable, built by the pinned setuptools.
%/.ready: %/.locked pyproject.toml
	$*/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
