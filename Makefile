# Newcomers need two commands: `make serve` and `make test`. `make help` lists the others.
#
# Environments are created in .venv/ and updated only when their pins change:
#   .venv/serve   the service, without torch; verified by the hashes in constraints/serve.txt
#   .venv/dev     training, service and tools, from constraints/dev.txt
#   .venv/triton  a real Triton server for the tests, from constraints/triton-test.txt
#   .venv/lock    the resolver that writes constraints/
#   .venv/sbom    what lists the packages and licences of .venv/serve, from constraints/sbom.txt
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
SBOM := .venv/sbom
BENCH := .venv/bench-litserve .venv/bench-mlserver .venv/bench-plot
TRITON := .venv/triton
PIP_WHEEL := -m pip wheel --quiet --no-deps --no-index --no-build-isolation
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

# Processes share the files of tests out among themselves; PYTEST_WORKERS= keeps all in one.
PYTEST_WORKERS ?= --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: test
test: $(DEV)/.ready ## Run every test, or those of PYTEST_ARGS="tests/radiograph -k dicom"
	@$(MAKE) --no-print-directory triton-test-env \
		|| echo "Triton is not available for this machine: its tests are skipped" >&2
	$(DEV)/bin/python -m pytest $(PYTEST_WORKERS) $(PYTEST_ARGS)

# OMP_WAIT_POLICY: threads that wait for each other must not take the cores from those that compute.
.PHONY: model
model: export OMP_WAIT_POLICY ?= passive
model: $(DEV)/.ready ## Train the next version of the shipped model (on one GPU: GPU=1); run it again to resume
	$(DEV)/bin/g2d pretrain shipped_pretrain
	$(DEV)/bin/g2d finetune shipped_finetune $(if $(GPU),--out runs/shipped_finetune $(ON_ONE_GPU))
	$(DEV)/bin/g2d finetune shipped_refine $(if $(GPU),--out runs/shipped_refine $(ON_ONE_GPU))
	$(DEV)/bin/g2d finetune shipped_checks
	$(DEV)/bin/g2d finetune shipped_words
	$(DEV)/bin/g2d evaluate runs/shipped_words --least-auroc 0.7
	$(DEV)/bin/g2d export runs/shipped_words

# One process with all rows of a step, and ten times as many steps.
ON_ONE_GPU := --set batch_size=16 --set engine.devices=1 --set engine.workers=4 --set engine.prefetch=8 \
	--set max_steps=9000 --set epochs=30

# FUZZ_ARGS="dicom zip" chooses harnesses.
.PHONY: fuzz
fuzz: $(DEV)/.ready ## Fuzz the parsers of untrusted input, each for SECONDS=300 seconds
	$(DEV)/bin/python -m tests.fuzz.run --seconds $(or $(SECONDS),300) $(FUZZ_ARGS)

.PHONY: dev-env
dev-env: $(DEV)/.ready ## Install training, service and tools

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
	$(call compile,dicom-results,--generate-hashes --extra dicom-results --constraint constraints/serve.txt pyproject.toml)
	$(call compile,gateway,--generate-hashes --extra gateway --constraint constraints/serve.txt pyproject.toml)
	$(call compile,store,--generate-hashes --extra store --constraint constraints/serve.txt pyproject.toml)
	$(call compile,bench-litserve,--group bench-litserve)
	$(call compile,bench-mlserver,--group bench-mlserver)
	$(call compile,bench-plot,--group bench-plot)
	$(call compile,sbom,--generate-hashes --group sbom)
	$(call compile,triton,--generate-hashes --extra triton pyproject.toml)
	$(call compile,dev,--extra serve --extra otel --extra triton --extra postgres --extra train --extra shards --extra dicom-results --extra gateway --extra client --extra plot --extra store --extra mlflow --group docs --group dev --group fuzz --group build pyproject.toml)

# Resolve once for every supported Python and platform; the result names no index address.
compile = $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' $(LOCK_ARGS) $(2) \
	--output-file constraints/$(1).txt

.PHONY: docs
docs: $(DEV)/.ready ## Build the documentation site into build/site
	NO_MKDOCS_2_WARNING=1 $(DEV)/bin/mkdocs build --strict --quiet

.PHONY: wheels
wheels: $(DEV)/.ready ## Build the wheels g2d-radiograph and g2d-cxr-model into dist/
	rm -rf build/lib build/bdist.* dist
	$(DEV)/bin/python $(PIP_WHEEL) --wheel-dir dist .
	$(DEV)/bin/python -m wheels.model_wheel dist

.PHONY: check-wheels
check-wheels: wheels ## Install the wheels with all dependencies and analyse a phantom in an empty folder
	$(call create_environment,build/installed)
	build/installed/bin/python $(PIP_INSTALL) --constraint constraints/dev.txt --find-links dist \
		'g2d-radiograph[serve]' g2d-cxr-model
	rm -rf build/empty && mkdir -p build/empty
	build/installed/bin/python docs/example.py build/phantom.png
	cd build/empty && ../installed/bin/g2d predict ../phantom.png --task segment --format csv

.PHONY: bench-env
bench-env: $(addsuffix /.installed,$(BENCH)) ## Install the servers that bench/service.py compares with

.PHONY: sbom
sbom: $(SERVE)/.ready $(SBOM)/.installed ## Write a CycloneDX bill of materials and the licences of the service to build/sbom
	@mkdir -p build/sbom
	$(SBOM)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-format JSON --output-file build/sbom/service.cdx.json $(SERVE)/bin/python
	$(SBOM)/bin/pip-licenses --python=$(SERVE)/bin/python --from=mixed --with-urls --format=plain-vertical \
		--output-file=build/sbom/licences.txt

.PHONY: clean
clean: ## Remove caches and build products
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: clean-env
clean-env: ## Remove the environments in .venv/
	rm -rf $(SERVE) $(DEV) $(TRITON) $(LOCK) $(SBOM) $(BENCH)

$(SERVE)/.locked: constraints/build.txt constraints/serve.txt
	$(call create_environment,$(SERVE))
	@echo "Installing the serving environment (about 400 MB, only when its pins change)"
	$(SERVE)/bin/python $(PIP_INSTALL) --require-hashes $(addprefix -r ,$^)
	@touch $@

# pip would compile the 25,000 modules on one core. Some of them may need a newer Python.
$(DEV)/.locked: constraints/dev.txt
	$(call create_environment,$(DEV))
	@echo "Installing the development environment (about 6 GB, only when its pins change)"
	$(DEV)/bin/python $(PIP_INSTALL) --no-compile -r $<
	$(DEV)/bin/python -m compileall -qq -j 0 $(DEV)/lib || true
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

$(SBOM)/.installed: constraints/sbom.txt
	$(call create_environment,$(SBOM))
	$(SBOM)/bin/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(LOCK)/.ready: Makefile
	$(call create_environment,$(LOCK))
	$(LOCK)/bin/python $(PIP_INSTALL) uv==$(UV_VERSION)
	@touch $@

# The project itself, editable, built by the pinned setuptools.
%/.ready: %/.locked pyproject.toml
	$*/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
