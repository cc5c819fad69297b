# The lab: Linux hosts as containers (LAB=container) or virtual machines (LAB=vm) on this machine. See lab/README.md.
# Included by the Makefile.
VENV ?= .venv
LAB ?= container
HOSTS ?= $(if $(filter vm,$(LAB)),2,3)
LAB_INVENTORY = $(if $(filter vm,$(LAB)),.lab/vm/hosts.yml,inventories/lab/hosts.yml)
# What "make lab-power LAB=vm" does to HOST: cut, restore, or one after the other.
POWER ?= cycle

ifeq ($(filter container vm,$(LAB)),)
$(error LAB is '$(LAB)', and the labs are: container, vm)
endif
lab_suffix := $(if $(filter vm,$(LAB)),_vm)

.PHONY: lab-up lab-down lab-clean lab-power

lab-up: .venv ## Start the lab with HOSTS=n hosts (3), or bring it back to that; virtual machines (2): LAB=vm
	@$(VENV)/bin/ansible-playbook -i localhost, molecule/shared/create$(lab_suffix).yml -e lab_hosts=$(HOSTS)

lab-down: .venv ## Remove the lab: everything that is marked as its own, and nothing else
	@$(VENV)/bin/ansible-playbook -i localhost, molecule/shared/destroy$(lab_suffix).yml

lab-power: .venv ## Cut the power of one virtual machine and restore it: LAB=vm HOST=h1 (only one of it: POWER=cut, POWER=restore)
	@test "$(LAB)" = vm || { echo "Containers have no power switch: make lab-power LAB=vm HOST=h1" >&2; exit 2; }
	@test -n "$(HOST)" || { echo "Which host? make lab-power LAB=vm HOST=h1 [POWER=cut|restore|cycle]" >&2; exit 2; }
	@$(VENV)/bin/python lab/vm/machines.py power .lab/vm "$(HOST)" "$(POWER)"

lab-clean: lab-down ## Remove the lab and the image of its hosts
ifeq ($(LAB),vm)
	@lab/vm/image.sh --clean
else
	@! docker info >/dev/null 2>&1 || docker image ls --format "{{.Repository}}:{{.Tag}}" crosshost-overlay-lab | xargs --no-run-if-empty docker image rm
endif
