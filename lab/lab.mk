# The lab: Linux hosts as containers on this machine. See lab/README.md. Included by the Makefile.
VENV ?= .venv
HOSTS ?= 3

.PHONY: lab-up lab-down lab-clean

lab-up: .venv ## Start the lab with HOSTS=n hosts (3), or bring it back to that
	@$(VENV)/bin/ansible-playbook -i localhost, molecule/shared/create.yml -e lab_hosts=$(HOSTS)

lab-down: .venv ## Remove the lab: everything with its label, and nothing else
	@$(VENV)/bin/ansible-playbook -i localhost, molecule/shared/destroy.yml

lab-clean: lab-down ## Remove the lab and the image of its hosts
	@! docker info >/dev/null 2>&1 || docker image ls --format "{{.Repository}}:{{.Tag}}" crosshost-overlay-lab | xargs --no-run-if-empty docker image rm
