# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
CONFIG ?= config/starter.yaml
JOBS ?= 4
ENGINE_LOCK := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU \
                 && echo engine-cuda || echo engine-cpu)
VENV := .venv
ENGINE_VENV := .venv-engine
VENV_READY := $(VENV)/.ready
ENGINE_READY := $(ENGINE_VENV)/.ready-$(ENGINE_LOCK)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes
IN_VENV := $(VENV)/bin

.PHONY: help setup demo demo-eval eval bench up test test-fast check fmt starter-models lock config-docs bundle-demo \
  images validate-capacity clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(VENV_READY) $(ENGINE_READY) ## both environments, from the lock files

$(VENV_READY): requirements/appliance.txt pyproject.toml
	@echo "==> $(VENV): the appliance and its tools"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; say which: make setup PYTHON=python3.11" \
	  if sys.version_info < (3, 11) else 0)'
	@test -x $(IN_VENV)/python || $(PYTHON) -m venv $(VENV)
	@$(IN_VENV)/python $(PIP_INSTALL) -r requirements/appliance.txt 2> >(grep -v '^WARNING: Location' >&2)
	@$(IN_VENV)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --editable . 2> >(grep -v '^WARNING: Location' >&2)
	@touch $@

$(ENGINE_READY): requirements/$(ENGINE_LOCK).txt
	@echo "==> $(ENGINE_VENV): vLLM ($(ENGINE_LOCK); 2 GB and about 1–2 minutes on the CPU, more for CUDA)"
	@test -x $(ENGINE_VENV)/bin/python || $(PYTHON) -m venv $(ENGINE_VENV)
	@$(ENGINE_VENV)/bin/python $(PIP_INSTALL) --no-deps -r requirements/$(ENGINE_LOCK).txt \
	  2> >(grep -v '^WARNING: Location' >&2) \
	  || { echo "vLLM's environment could not be made; requirements/README.md says where torch comes from" >&2; exit 1; }
	@rm -f $(ENGINE_VENV)/.ready-*
	@touch $@

demo: setup ## the main job on the embedded starter pool: ask, plan, execute, verify, compare; then stop
	@$(IN_VENV)/python -m benchmarks.starter demo --config $(CONFIG)

demo-eval: setup ## the held-out set through the running appliance: orchestrated against the generalist
	@$(IN_VENV)/python -m benchmarks.starter evaluate --config $(CONFIG)

bench: setup ## the starter pool under direct, orchestrated and mixed load: a sweep of rates, tables, and a report
	@$(IN_VENV)/python -m benchmarks.bench

eval: setup ## does it pay on the starter pool? train a router head, gate it, compare it at work, write the report
	@$(IN_VENV)/python -m benchmarks.starter learn --config $(CONFIG)

up: setup ## start the starter pool and the gateway, and leave them running until Ctrl-C
	@exec $(IN_VENV)/appliance up --config $(CONFIG)

test: setup ## every test, unit and e2e (real vLLM on the CPU)
	@.ci/postgresql
	@.ci/chromium
	@$(IN_VENV)/python -m pytest -n $$(( $$(nproc) < 4 ? $$(nproc) : 4 )) -m "not e2e"
	@$(IN_VENV)/python -m pytest -m e2e # one after the other: a dozen engines on few cores starve each other

test-fast: $(VENV_READY) ## the tests without real vLLM
	@$(IN_VENV)/python -m pytest -n $$(( $$(nproc) < 4 ? $$(nproc) : 4 )) -m "not e2e and not gpu"

check: $(VENV_READY) ## format, lint, types, import directions
	@$(IN_VENV)/ruff format --check .
	@$(IN_VENV)/ruff check .
	@$(IN_VENV)/mypy
	@$(IN_VENV)/lint-imports

fmt: $(VENV_READY) ## format and mend what can be mended
	@$(IN_VENV)/ruff format .
	@$(IN_VENV)/ruff check --fix .

starter-models: setup ## train the starter models anew (hours on 4 cores; resumable)
	@$(ENGINE_VENV)/bin/python -m models.starter build --jobs $(JOBS)
	@$(IN_VENV)/python -m appliance.catalog.manifest models/starter/weights models/catalog/starter-*.yaml

config-docs: $(VENV_READY) ## write docs/config.md and docs/config.schema.json from the settings
	@$(IN_VENV)/appliance config schema > docs/config.schema.json
	@$(IN_VENV)/appliance config reference > docs/config.md
	@deploy/helm/sync.sh

lock: ## write the lock files anew (needs uv)
	uv pip compile -q --generate-hashes --no-header --no-annotate --extra dev --python-version 3.11 --universal \
	  --upgrade pyproject.toml -o requirements/appliance.txt
	@sed -n 's/ *\\$$//; /==/p' requirements/appliance.txt > requirements/.pins
	uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 --universal \
	  --constraint requirements/.pins pyproject.toml -o requirements/appliance-runtime.txt
	echo hatchling | uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 --universal \
	  --constraint requirements/.pins - -o requirements/build.txt
	@rm requirements/.pins
	cd requirements && uv pip compile -q --no-deps --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --no-emit-find-links engine-cpu.in -o engine-cpu.txt
	cd requirements && uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_35 engine-cuda.in -o engine-cuda.txt

bundle-demo: setup ## make, verify and install a bundle of the starter pool without a network, and let it serve
	@$(IN_VENV)/python -m benchmarks.bundle_demo

validate-capacity: setup ## how far the simulator is off, against real vLLM (three quarters of an hour on a quiet machine)
	@$(IN_VENV)/python -m benchmarks.validate_capacity

images: ## build the container images with docker, podman or buildah
	@deploy/images/build.sh

clean: ## remove environments, caches and the data directory
	rm -rf $(VENV) $(ENGINE_VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
