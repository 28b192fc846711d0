# SPDX-License-Identifier: GPL-2.0-or-later
# `make help` lists what can be done.  Nothing here needs root but what says so.

VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCE := agent sim_backend tests
# More workers than most machines have processors: half of their time tests wait for a process.
SPREAD := --numprocesses=4

.DEFAULT_GOAL := help
.PHONY: help run demo demo-xen test coverage check lint types format pictures man xenstored test-xen test-xen-all bench fuzz wheel test-wheel onefile sbom constraints deb deb-bundled rpm release test-deb clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/runs ## show this guest's memory; not on Xen: that of the built-in simulated guest
	@$(BIN)/balloon-agent status || { code=$$?; \
	  if [ $$code -eq 69 ]; then \
    echo "$(BIN)/balloon-agent --sim balloon-up status"; \
    $(BIN)/balloon-agent --sim balloon-up status; \
	  else [ $$code -lt 64 ]; fi; }

demo: $(VENV)/runs ## two guests without and with the agent, and a host, simulated; plots in dist/demo
	$(BIN)/balloon-agent simulate --demo dist/demo
	@$(BIN)/python -m sim_backend.published.host dist/demo/host --show

demo-xen: $(VENV)/develops ## ... in guests of a real Xen: minutes; plots and samples in dist/demo-xen
	$(BIN)/python -m tests.xenlab demonstrate dist/demo-xen

test: $(VENV)/develops ## all tests but those that boot a real Xen
	$(BIN)/pytest $(SPREAD)

coverage: $(VENV)/develops ## how much of what judges and is shown the tests reach, with the floor it must keep
	$(BIN)/coverage run -m pytest tests/core tests/report tests/cli/test_install_service.py
	$(BIN)/coverage report

check: lint types test ## lint, types and tests: what a change must pass

lint: $(VENV)/develops ## style and likely mistakes (ruff)
	$(BIN)/ruff check $(SOURCE)
	$(BIN)/ruff format --check $(SOURCE)

types: $(VENV)/develops ## static types (mypy --strict)
	$(BIN)/mypy

format: $(VENV)/develops ## bring the source into shape
	$(BIN)/ruff check --fix $(SOURCE)
	$(BIN)/ruff format $(SOURCE)

pictures: $(VENV)/develops ## make the documents' pictures anew
	$(BIN)/python -m tests.pictures

man: $(VENV)/develops ## make the manual page anew from what --help says
	$(BIN)/python -m tests.manual > docs/balloon-agent.1

xenstored: ## fetch Debian's real xenstored and its tools, for the tests that want them
	tests/support/xenstored/fetch.sh .cache/xenstored
	tests/support/xenstore_tools/fetch.sh .cache/xenstore-tools

test-xen: $(VENV)/develops ## boot a real Xen and test in its guests: the main line, in MINUTES if given
	BALLOON_AGENT_XENLAB_MINUTES=$(MINUTES) $(BIN)/pytest -v -m "xen and quick" tests/xen

test-xen-all: $(VENV)/develops ## ... every scenario, guest kernel and Xen: before a release
	$(BIN)/pytest -v -m xen tests/xen

bench: $(VENV)/develops ## what it costs, as ratios measured in one run
	$(BIN)/python -m tests.bench

fuzz: $(VENV)/develops ## fuzz every parser of outside data, SECONDS each (default 5), or INPUTS over all
	@$(PIP) install --constraint packaging/constraints.txt atheris || echo "No atheris here: random mutations."
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),5) --inputs $(or $(INPUTS),0)

wheel: $(VENV)/develops ## the wheel and the source archive, in dist/
	$(BIN)/python -m build --no-isolation --outdir dist

test-wheel: wheel ## the tests against the built wheel in an environment of its own, not this tree
	packaging/test-wheel.sh dist

onefile: $(VENV)/develops ## the program in one file, dist/balloon-agent.pyz: copy it to a guest and run it
	BUILD_PYTHON=$(BIN)/python packaging/make-onefile.sh dist $(RELEASES)

sbom: wheel ## the wheel's bill of materials (CycloneDX), beside it
	packaging/make-sbom.sh dist

constraints: ## pin the newest versions of everything that is installed
	packaging/renew-constraints.sh

deb: ## Debian packages with Debian's libraries, in dist/ (12 and Ubuntu 24.04 on); as root it installs what it wants
	packaging/make-deb.sh dist

deb-bundled: onefile ## ... with the libraries inside, for Debian 11 and Ubuntu 22.04
	packaging/make-deb.sh dist bundled

rpm: onefile ## the RPM around the one file, for RHEL 9 and its kin, Amazon Linux 2023, Fedora
	packaging/make-rpm.sh dist

release: $(VENV)/develops ## all of it, with bill of materials and SHA256SUMS
	BUILD_PYTHON=$(BIN)/python RELEASES="$(or $(RELEASES),bullseye bookworm trixie sid)" packaging/make-release.sh dist

test-deb: $(VENV)/develops ## build them, and install, upgrade, remove and purge them in a fresh Debian 12, or RELEASES
	BALLOON_AGENT_RELEASES="$(RELEASES)" $(BIN)/pytest -m deb tests/deb

clean: ## remove everything that was made, but the cache of downloads
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/runs: pyproject.toml packaging/constraints.txt
	@packaging/make-venv.sh $(VENV)
	@echo "Installing balloon-agent into $(VENV) ..."
	@$(PIP) install --constraint packaging/constraints.txt -e .
	@touch $@

$(VENV)/develops: $(VENV)/runs
	@echo "Installing the tools for development into $(VENV) ..."
	@$(PIP) install --constraint packaging/constraints.txt -e '.[dev]'
	@touch $@
