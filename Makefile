# Kiln. `make` alone shows what there is.
SHELL := /bin/sh
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
# Boards wait for brokers and clocks most of the time, and share nothing: several at once, beside the other tests.
BOARDS := -n 4 --dist loadfile tests/integration/device
# Empty is not set: containers often forbid Python to keep what it compiled, and then each process of the tests compiles anew.
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo serve test check unit contract integration e2e lint types arch fmt device bench powercut images firmware lock clean

##@ Start
help: ## show this help
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*##/ {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## a push updates a board, live, with real parts (KEEP=1 leaves it running)
	@$(PYTHON) -m deploy.demo $(if $(KEEP),--keep)

serve: setup ## run the service alone: http://127.0.0.1:8080, data in .kiln/
	@$(PYTHON) -m service serve

# Two processes at once, of about the same length; each has a processor of CI's two.
test: setup-test check ## everything that CI runs
	@mkdir -p .kiln; { $(PYTEST) $(BOARDS) tests/contract; boards=$$?; $(PYTEST) tests/e2e && exit $$boards; } \
	  >.kiln/other-tests.txt 2>&1 & other=$$!; trap "kill $$other" INT TERM; \
	$(PYTEST) tests/unit tests/integration --ignore tests/integration/device; rest=$$?; \
	wait $$other; code=$$?; cat .kiln/other-tests.txt; exit $$((rest | code))

##@ Parts
check: lint types arch ## every check that runs nothing

unit: setup-test ## the fast tests
	@$(PYTEST) -n 2 tests/unit

contract: setup-test ## each port's suite, on each of its adapters
	@$(PYTEST) tests/contract

integration: setup-test ## real Docker, MicroPython, Mosquitto, S3 server, killed processes
	@$(PYTEST) $(BOARDS)
	@$(PYTEST) tests/integration --ignore tests/integration/device

e2e: setup-test ## the demo's story, asserted step by step
	@$(PYTEST) tests/e2e

bench: setup-test ## the measured goals, as ratios against a baseline in the same run
	@$(PYTHON) -m tests.bench

powercut: setup-test ## a power cut at every flash operation of a board's life, and random lives (an hour)
	@$(PYTHON) -m tests.integration.device.powercut

lint: setup-test
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m codespell_lib

types: setup-test
	@$(PYTHON) -m mypy

arch: setup-test ## who may import whom
	@.venv/bin/lint-imports

fmt: setup-test ## format
	@$(PYTHON) -m ruff check --fix . ; $(PYTHON) -m ruff format .

##@ Set-up
setup: ## install what `make demo` and `make serve` need
	@deploy/host/setup

setup-test: ## install what `make test` needs
	@deploy/host/setup --test

FIRMWARE_LIST = $${KILN_FIRMWARE:-$${KILN_DATA:-.kiln}/firmware}/firmware.toml
images: setup ## the build images of all families, and base firmware where you list some
	@$(PYTHON) build-images/build.py
	@! test -e "$(FIRMWARE_LIST)" || $(PYTHON) -m runners firmware fetch || true

firmware: setup ## base firmware for flash images, as your list of it says (docs/boards.md)
	@$(PYTHON) -m runners firmware fetch

lock: setup-test ## resolve the lock files anew
	@deploy/host/lock

clean: ## remove the virtual environment and all data of this checkout
	rm -rf .venv .kiln
