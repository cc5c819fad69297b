#!/usr/bin/env bash
# Test Weave Net itself, which the container lab has a stand-in for, on virtual machines: dev/weave_vm.sh
# WEAVE_SCRIPT and WEAVE_IMAGE_ARCHIVE name its script and its images. Takes the lab that "make lab-up LAB=vm" has started.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${WEAVE_SCRIPT:?names the script of Weave Net, and is missing}" "${WEAVE_IMAGE_ARCHIVE:?names a docker save archive of its images, and is missing}"
export PATH=$PWD/.venv/bin:$PATH
inventory=.lab/vm/hosts.yml vars=.cache/weave/vars.yml

# On hosts without an overlay: they start routers by hand.
CONTRACT_INVENTORY=$inventory CONTRACT_OWN_CLOCKS=1 timeout 3600 pytest -c tests/contract/pytest.ini tests/contract

dev/weave_source.sh "$vars"
# What the tests run again finds all it needs in the inventory.
given=.lab/vm/weave.yml
python - "$inventory" "$vars" "$given" <<'PYTHON'
import pathlib
import sys

import yaml

inventory, more, given = (pathlib.Path(path) for path in sys.argv[1:])
content = yaml.safe_load(inventory.read_text(encoding="utf-8"))
content["overlay"]["vars"] |= {"overlay_backend": "weave", **yaml.safe_load(more.read_text(encoding="utf-8"))}
given.write_text(yaml.safe_dump(content), encoding="utf-8")
PYTHON
timeout 1800 ansible-playbook -i "$given" crosshost.overlay.site
OVERLAY_INVENTORY=$given OVERLAY_NETWORK=weave OVERLAY_MACHINES=$PWD/.lab/vm timeout 3600 \
    pytest -c tests/testinfra/pytest.ini tests/testinfra/vm_weave tests/testinfra/weave/test_1_traffic.py
