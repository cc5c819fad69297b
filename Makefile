# Entry points for development. "make help" lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# The overlay that "make demo" and "make bench" set up.
BACKEND ?= ovs_gre
# Gates of "make check", targets of "make integration", scenarios of "make molecule", figures of "make bench"; empty: all of them.
GATES ?=
BENCHES ?=
TARGETS ?=
SCENARIOS ?=

export PATH := $(CURDIR)/.venv/bin:$(PATH)
SUMMARY := .cache/verify_summary

# What a target needs is made in the order in which it is listed, also with "make -j".
.NOTPARALLEL:

-include lab/lab.mk

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z.][a-z.-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv: .venv/.stamp ## Install the pinned tools into .venv, with this repository as crosshost.overlay
	@:

.venv/.stamp: requirements.txt requirements-dev.txt constraints-dev.txt
	@dev/venv.sh

.PHONY: check
check: .venv ## Run every check that needs no hosts (some: GATES="yaml lint")
	@dev/check.sh $(GATES)

.PHONY: unit
unit: .venv ## Run the unit tests on the control node's Python
	@PYTHONPATH=.venv/collections pytest --quiet

.PHONY: integration
integration: .venv ## Run the integration tests of the modules (some: TARGETS="ovs_gre_port")
	@dev/integration.sh $(TARGETS)

.PHONY: browser
browser: .venv ## Open the report's page in headless Chromium
	@dev/browser.sh

.PHONY: molecule
molecule: .venv ## Run the molecule scenarios, three at a time (some: SCENARIOS="default", one at a time: JOBS=1)
	@dev/molecule.sh $(SCENARIOS)

.PHONY: promises
promises: .venv ## Test what the README promises, with 30 killed runs for each backend (another number: OVERLAY_KILLS=6)
	@OVERLAY_KILLS=$${OVERLAY_KILLS:-30} dev/molecule.sh promises

.PHONY: test
test: .venv ## Run check, integration, browser and molecule
	@dev/test.sh

# What a backend needs in the lab besides the inventory.
WEAVE_VARS := .cache/weave/vars.yml
DEMO_PREPARE_weave = dev/weave_source.sh $(WEAVE_VARS)
DEMO_VARS_weave = -e @$(WEAVE_VARS)

# The last line printed is the summary that the role verify wrote.
.PHONY: demo
demo: .venv lab-up ## Start the lab, set up the overlay in it and prove it (Weave Net: BACKEND=weave)
	@mkdir -p .cache && rm -f $(SUMMARY)
	@$(DEMO_PREPARE_$(BACKEND))
	@ansible-playbook -i $(LAB_INVENTORY) -e overlay_backend=$(BACKEND) $(DEMO_VARS_$(BACKEND)) -e verify_summary_path=$(CURDIR)/$(SUMMARY) -e verify_report_directory=$(CURDIR)/.cache playbooks/site.yml
	@cat $(SUMMARY)

.PHONY: bench
bench: .venv lab-up ## Measure the overlay in the lab (Weave Net: BACKEND=weave; virtual machines: LAB=vm; some: BENCHES="swarm"; growth: BENCHES=grow HOSTS=12)
	@BENCH_LAB=$(LAB) BENCH_BACKEND=$(BACKEND) BENCH_INVENTORY=$(LAB_INVENTORY) python dev/bench $(BENCHES)

.PHONY: weave-vm
weave-vm: .venv ## Test Weave Net itself on virtual machines (WEAVE_SCRIPT=... WEAVE_IMAGE_ARCHIVE=...); afterwards: make lab-down LAB=vm
	@$(MAKE) lab-up LAB=vm
	@dev/weave_vm.sh

.PHONY: clean
clean: ## Remove .venv and everything that checks and tests leave behind (the lab: make lab-down)
	@rm -rf .venv .cache .ansible build tests/output
